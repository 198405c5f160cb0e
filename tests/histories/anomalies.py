"""What may be wrong with a history: the kinds, and the evidence for one.

The names are Jepsen's where it has one. What it counts and this does not: cycles of writes between
transactions, which Kafka's transactions do not exclude.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from tests.histories.operations import Operation, written


class Kind(StrEnum):
    """A rule that was broken."""

    LOST_WRITE = "lost write"
    """Acknowledged or seen, and at the end readers pass over the place where it was."""
    UNSEEN = "unseen"
    """Acknowledged, and at the end readers do not get as far as that."""
    DUPLICATE = "duplicate"
    """One record at two offsets, although its producer rules that out."""
    OFFSET_REUSED = "offset reused"
    """Two records at one offset."""
    REORDERED = "reordered"
    """A producer's records stand in another order than it sent them in."""
    SENT_BACKWARDS = "sent backwards"
    """A record was sent after another was acknowledged, and stands before it."""

    PHANTOM = "phantom"
    """A record that nobody sent, or that was sent to another place, or not yet."""
    FAILED_WRITE_READ = "failed write read"
    """A record whose producer was told that it was refused."""
    CORRUPT = "corrupt"
    """The bytes of a record are not those that were sent."""
    POLL_OUT_OF_ORDER = "poll out of order"
    """Offsets in one poll do not grow, or lie outside of it."""
    SKIPPED = "skipped"
    """A reader passed over a record that was there."""
    BEYOND_VISIBLE_END = "beyond the visible end"
    """A record from where its reader may not look yet, or no longer."""

    ABORTED_READ = "aborted read"
    """A reader of committed records saw one of an aborted transaction."""
    DIRTY_READ = "dirty read"
    """A reader of committed records saw one of a transaction before it was asked to be committed."""
    TORN_TRANSACTION = "torn transaction"
    """A part of a transaction is there and another is not."""
    PROCESSED_TWICE = "processed twice"
    """One record has two outputs, each of them committed with the position after it."""
    NOT_PROCESSED = "not processed"
    """The committed position is past a record that has no output."""
    PROCESSED_AHEAD = "processed ahead"
    """A record has its output, and the committed position is not past it."""

    WENT_BACK = "went back"
    """A high watermark, a last stable offset or a log start is lower than it was."""
    DELETED_CAME_BACK = "deleted came back"
    """A topic or records that were deleted are there again."""
    DELETED_UNASKED = "deleted unasked"
    """A partition begins later, and neither a request nor its settings are the reason."""
    STALE_POSITION = "stale position"
    """A committed position was read that had been replaced, or none where there was one."""
    PHANTOM_POSITION = "phantom position"
    """A committed position was read that nobody committed."""
    ASSIGNED_TWICE = "assigned twice"
    """Two members own one partition in one generation."""
    STALE_COMMIT = "stale commit"
    """A position was taken from a member of an old generation, after the next one had begun."""


@dataclass(frozen=True, slots=True)
class Anomaly:
    """One breach of a rule, and the operations that prove it."""

    kind: Kind
    text: str
    evidence: tuple[Operation, ...] = ()

    def __str__(self) -> str:
        lines = written(self.evidence).decode().splitlines()
        return "\n".join((f"{self.kind}: {self.text}", *(f"    {line}" for line in lines)))
