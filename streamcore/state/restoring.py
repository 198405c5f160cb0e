"""Decides what a store needs to equal the replay of its changelog: nothing, the tail, or everything.

The store's checkpoint is compared with what the log holds now. The tail may be replayed only onto data
that is a true prefix of the same log, with no tombstone lost in between; otherwise the store is emptied
and rebuilt from the log start.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from uuid import UUID

from streamcore.model import Offset, TimestampMs


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How far a store's data reaches in the log that it was made from."""

    offset: Offset
    topic_id: UUID
    stamped_ms: TimestampMs | None = None


@dataclass(frozen=True, slots=True)
class ChangelogExtent:
    """What a changelog partition holds: offsets ``[log_start, visible_end)`` can be read now."""

    topic_id: UUID
    log_start: Offset
    visible_end: Offset
    log_end: Offset

    def __post_init__(self) -> None:
        assert self.log_start <= self.visible_end <= self.log_end


class Restoring(Enum):
    """What is to be done."""

    NOTHING = "nothing"
    TAIL = "tail"
    """Replay from the checkpoint onto the data."""
    TAIL_IF_EMPTY = "tail if empty"
    """As ``REBUILD``, if the tail holds a record; markers of transactions alone change nothing."""
    REBUILD = "rebuild"
    """Empty the store, then replay from the log start."""


@dataclass(frozen=True, slots=True)
class RestorePlan:
    """Replay ``[start, end)`` of this changelog; ``reason`` is told to people."""

    kind: Restoring
    start: Offset
    end: Offset
    reason: str
    changelog: ChangelogExtent

    def as_rebuild(self) -> RestorePlan:
        """The plan that does not trust the store's data."""
        return replace(self, kind=Restoring.REBUILD, start=self.changelog.log_start)


def plan_restore(
    checkpoint: Checkpoint | None,
    changelog: ChangelogExtent,
    *,
    is_windowed: bool,
    now_ms: TimestampMs,
    delete_retention_ms: int,
) -> RestorePlan:
    """Decide how a store catches up with its changelog.

    A key-value store whose checkpoint the log no longer reaches back to may have missed tombstones,
    and so may one whose checkpoint is older than tombstones live: their tails cannot be trusted.
    Windowed stores drop windows without tombstones; only an agent that deletes a window writes one, and
    its window ends with the retention in any case. What retention took from their changelogs while they were
    away is at worst missing, so their own data, older as it is, is better than none.
    """
    log_start, end = changelog.log_start, changelog.visible_end

    def plan(kind: Restoring, start: Offset, reason: str) -> RestorePlan:
        return RestorePlan(kind, start, end, reason, changelog)

    if checkpoint is None:
        return plan(Restoring.REBUILD, log_start, "the store has no checkpoint")
    if checkpoint.topic_id != changelog.topic_id:
        return plan(Restoring.REBUILD, log_start, "the topic was deleted and created anew")
    if checkpoint.offset > changelog.log_end:
        return plan(Restoring.REBUILD, log_start, "the checkpoint is ahead of the log end")
    if checkpoint.offset >= end:
        return plan(Restoring.NOTHING, end, "the store is up to date")
    if checkpoint.offset < log_start:
        if is_windowed:
            return plan(Restoring.TAIL, log_start, "retention moved the log start past the checkpoint")
        return plan(Restoring.REBUILD, log_start, "the log start moved past the checkpoint")
    stamped_ms = checkpoint.stamped_ms
    if not is_windowed and stamped_ms is not None and now_ms - stamped_ms > delete_retention_ms:
        return plan(
            Restoring.TAIL_IF_EMPTY, checkpoint.offset, "the checkpoint is older than tombstones live"
        )
    return plan(Restoring.TAIL, checkpoint.offset, "the store is behind")
