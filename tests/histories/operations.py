"""The words of a history: what clients asked a broker, when, and what they were told.

A history is a list of these, in any order. Each has the client that asked, and two moments of one clock:
when the question was put, and when the answer had come. Whatever an operation does to the log happens between
the two. An operation whose answer never came has no second moment: it may take effect at any time, or never.

Every record carries an id that no other record has, so that it is known wherever it turns up. ``Place`` names
a partition of one incarnation of a topic: a topic that was deleted and made again is another place.

A history is kept as lines of JSON; ``written`` and ``read`` are the two directions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import NamedTuple, TypeAlias

import msgspec

RecordId: TypeAlias = int


class Place(NamedTuple):
    """A partition. The topic's name is to tell its incarnations apart."""

    topic: str
    partition: int

    def __str__(self) -> str:
        return f"{self.topic}-{self.partition}"


class Outcome(StrEnum):
    """What a client knows of what it asked for."""

    OK = "ok"
    FAILED = "failed"
    """It was refused for good, and nothing of it was done."""
    UNKNOWN = "unknown"
    """No answer came, or one that leaves it open."""


class Isolation(StrEnum):
    """Which records a reader wants."""

    UNCOMMITTED = "uncommitted"
    COMMITTED = "committed"


class Operation(msgspec.Struct, frozen=True, kw_only=True, tag=True, omit_defaults=True):
    """What all of them have."""

    client: str
    begun_us: int
    ended_us: int | None = None


class TopicMade(Operation, frozen=True, kw_only=True):
    """A topic, and what its settings allow to happen to its records."""

    topic: str
    is_compacted: bool = False
    may_expire: bool = False
    """Whether retention may delete records that nobody asked to delete."""


class TopicDeleted(Operation, frozen=True, kw_only=True):
    """Somebody asked for the end of a topic."""

    topic: str
    outcome: Outcome


class Send(Operation, frozen=True, kw_only=True):
    """A batch of records, sent to one partition until it was acknowledged or given up."""

    place: Place
    ids: tuple[RecordId, ...]
    outcome: Outcome
    offset: int | None = None
    """Of the first record, as it was acknowledged."""
    producer: str | None = None
    """An idempotent producer: whatever it sends to a partition is there once, in the order it was sent."""
    attempt_count: int = 1
    """How often it was sent. Without a producer each may have left a copy."""
    transaction: str | None = None
    keys: tuple[str | None, ...] = ()
    tombstones: tuple[RecordId, ...] = ()
    sources: tuple[RecordId, ...] = ()
    """For each record the one that it was made from, if it was made from others."""

    def key_of(self, id_: RecordId) -> str | None:
        """The key of one of its records."""
        return self.keys[self.ids.index(id_)] if self.keys else None


class Poll(Operation, frozen=True, kw_only=True):
    """A reader at ``start`` was given records, and stands at ``end`` now."""

    place: Place
    isolation: Isolation
    start: int
    end: int
    records: tuple[tuple[int, RecordId], ...] = ()
    """Offset and id of each record, in the order in which they came."""
    high_watermark: int
    last_stable: int
    log_start: int
    corrupt: tuple[int, ...] = ()
    """Offsets of records whose bytes are not those that were sent."""
    is_final: bool = False
    """Part of the reading at the end, which sees all there is to see."""


class Transaction(Operation, frozen=True, kw_only=True):
    """From its first record until its end was answered."""

    name: str
    outcome: Outcome
    """OK: it was committed. FAILED: it was aborted, or its end as committed was never asked for."""
    commit_begun_us: int | None = None
    """When it was first asked to be committed."""
    group: str | None = None
    positions: dict[str, int] = {}
    """Positions of ``group`` that it commits, by the text of their place."""


class PositionsCommitted(Operation, frozen=True, kw_only=True):
    """A group's positions, outside transactions."""

    group: str
    positions: dict[str, int]
    outcome: Outcome
    generation: int = -1


class PositionsRead(Operation, frozen=True, kw_only=True):
    """The positions that the broker says a group has committed; those of no place are not there."""

    group: str
    positions: dict[str, int | None]
    is_final: bool = False


class Assigned(Operation, frozen=True, kw_only=True):
    """A member learnt which places it owns in a generation of its group."""

    group: str
    member: str
    generation: int
    places: tuple[str, ...]


class RecordsDeleted(Operation, frozen=True, kw_only=True):
    """Somebody asked for the deletion of all records before an offset."""

    place: Place
    before: int
    outcome: Outcome
    log_start: int | None = None
    """Where the partition begins now, as it was answered."""


class Disturbance(Operation, frozen=True, kw_only=True):
    """Something that was done to the broker. For who reads a history; no rule depends on it."""

    what: str


_AnyOperation: TypeAlias = (
    TopicMade
    | TopicDeleted
    | Send
    | Poll
    | Transaction
    | PositionsCommitted
    | PositionsRead
    | Assigned
    | RecordsDeleted
    | Disturbance
)

_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(_AnyOperation)


def written(history: Iterable[Operation]) -> bytes:
    """A history as lines of JSON, in the order in which its operations began."""
    return _ENCODER.encode_lines(sorted(history, key=lambda operation: operation.begun_us))


def read(lines: bytes) -> Sequence[Operation]:
    """The history that ``written`` made these lines of."""
    return _DECODER.decode_lines(lines)
