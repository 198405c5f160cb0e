"""The data types that every layer shares: names, offsets, records and columns of records.

Offsets, timestamps and ids are plain ``int`` and ``str`` under their own names: the hot path does
arithmetic on them per batch, and a ``NewType`` would need a call at each step.

Invariants:

* Every bound is exclusive; only a batch's ``last_offset`` is inclusive.
* Times are integer milliseconds since 1970, UTC.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Generic, TypeAlias, TypeVar

import msgspec

TopicName: TypeAlias = str
Offset: TypeAlias = int
TimestampMs: TypeAlias = int
ProducerId: TypeAlias = int
Headers: TypeAlias = tuple[tuple[str, bytes | None], ...]

RECORD_OVERHEAD_BYTES: Final = 21
"""The most bytes around a record of less than 2 GiB without headers: lengths, deltas, attributes."""

HEADER_OVERHEAD_BYTES: Final = 10
"""The most bytes around a header's name and value."""

K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True, slots=True, order=True)
class TopicPartition:
    """One partition of a topic: the unit of order, ownership and storage."""

    topic: TopicName
    partition: int

    def __str__(self) -> str:
        return f"{self.topic}-{self.partition}"


class Isolation(Enum):
    """Which records of transactions a reader sees."""

    READ_UNCOMMITTED = 0
    READ_COMMITTED = 1


@dataclass(frozen=True, slots=True)
class LogOffsets:
    """The four offsets that bound one partition, in ascending order.

    Each is the *next* offset after the records that it bounds, so any two of them bound a half-open range
    and ``end - start`` is the number of offsets in the range. No caller adds or subtracts one.
    """

    log_start: Offset
    last_stable: Offset
    high_watermark: Offset
    log_end: Offset

    def __post_init__(self) -> None:
        assert self.log_start >= 0
        assert self.log_start <= self.last_stable
        assert self.last_stable <= self.high_watermark
        assert self.high_watermark <= self.log_end

    def visible_end(self, isolation: Isolation) -> Offset:
        """Return the offset at which a reader with this isolation stops."""
        if isolation is Isolation.READ_COMMITTED:
            return self.last_stable
        return self.high_watermark


class Record(msgspec.Struct, Generic[K, V], frozen=True):
    """A key, a value, a timestamp and headers, at an offset of a partition.

    ``topic``, ``partition`` and ``offset`` are empty, -1 and -1 on a record that is not in a log yet.
    """

    key: K
    value: V
    timestamp_ms: int = -1
    headers: Headers = ()
    topic: TopicName = ""
    partition: int = -1
    offset: Offset = -1


class Windowed(msgspec.Struct, Generic[K], frozen=True, order=True):
    """A key in one window: ``[start_ms, end_ms)`` of event time."""

    key: K
    start_ms: TimestampMs
    end_ms: TimestampMs


@dataclass(slots=True)
class RecordColumns:
    """Records of one partition as columns of equal length.

    The log and the operators work on whole batches: a list of values costs one object, where a list of
    records would cost one object per record. ``headers`` is ``None`` if no record has headers.
    """

    keys: list[bytes | None] = field(default_factory=list)
    values: list[bytes | None] = field(default_factory=list)
    timestamps_ms: list[TimestampMs] = field(default_factory=list)
    headers: list[Headers] | None = None
    size_bytes: int | None = field(default=None, compare=False, repr=False)
    """The most bytes that the records take in a batch, uncompressed; ``None`` before they are added up."""

    def __len__(self) -> int:
        return len(self.values)

    def measure(self) -> int:
        """Return the most bytes that the records take in a batch, uncompressed; they are added up once."""
        if self.size_bytes is None:
            size_bytes = _total_bytes(self.keys) + _total_bytes(self.values)
            size_bytes += len(self.values) * RECORD_OVERHEAD_BYTES
            if self.headers is not None:
                size_bytes += sum(
                    len(name) + len(value or b"") + HEADER_OVERHEAD_BYTES
                    for row in self.headers
                    for name, value in row
                )
            self.size_bytes = size_bytes
        return self.size_bytes

    def slice(self, start: int, end: int) -> RecordColumns:
        """Return the rows ``[start, end)``."""
        return RecordColumns(
            self.keys[start:end],
            self.values[start:end],
            self.timestamps_ms[start:end],
            None if self.headers is None else self.headers[start:end],
        )

    def take(self, rows: Sequence[int]) -> RecordColumns:
        """Return the rows with these indexes, in the given order."""
        return RecordColumns(
            [self.keys[row] for row in rows],
            [self.values[row] for row in rows],
            [self.timestamps_ms[row] for row in rows],
            None if self.headers is None else [self.headers[row] for row in rows],
        )

    def extend(self, other: RecordColumns) -> None:
        """Append the rows of other columns."""
        if self.size_bytes is not None:
            self.size_bytes += other.measure()
        if other.headers is not None or self.headers is not None:
            self.headers = self._full_headers() + other._full_headers()
        self.keys += other.keys
        self.values += other.values
        self.timestamps_ms += other.timestamps_ms

    def _full_headers(self) -> list[Headers]:
        return self.headers if self.headers is not None else [()] * len(self.values)


def _total_bytes(column: Sequence[bytes | None]) -> int:
    try:
        return sum(map(len, column))  # type: ignore[arg-type]
    except TypeError:
        return sum(len(field) for field in column if field is not None)


@dataclass(slots=True, kw_only=True)
class FetchedColumns(RecordColumns):
    """Consecutive records of one partition as a reader returns them, with their offsets.

    ``next_offset`` is the offset at which the next read starts: after the last record, and after the markers
    and the aborted or compacted records that follow it.
    """

    partition: TopicPartition
    offsets: list[Offset]
    next_offset: Offset

    def records(self) -> list[Record[bytes | None, bytes | None]]:
        """Return the rows as one ``Record`` object each."""
        topic, partition = self.partition.topic, self.partition.partition
        if self.headers is None:
            return [
                Record(key, value, timestamp_ms, (), topic, partition, offset)
                for key, value, timestamp_ms, offset in zip(
                    self.keys, self.values, self.timestamps_ms, self.offsets, strict=True
                )
            ]
        return [
            Record(key, value, timestamp_ms, headers, topic, partition, offset)
            for key, value, timestamp_ms, headers, offset in zip(
                self.keys, self.values, self.timestamps_ms, self.headers, self.offsets, strict=True
            )
        ]


@dataclass(frozen=True, slots=True)
class CommittedOffset:
    """A group's committed offset of one partition, with a note of at most 4,096 characters.

    The offset is the next one to read after a restart.
    """

    offset: Offset
    metadata: str = ""
    leader_epoch: int = -1
    """The leader epoch of the last record read, if the client sends it; -1 for none."""


@dataclass(frozen=True, slots=True)
class Membership:
    """A group member's credentials: its member id and generation."""

    member_id: str
    generation: int
    instance_id: str | None = None


def __getattr__(name: str) -> object:
    """Return the class that an old name stood for, with a warning; the old name goes in version 0.3."""
    if name == "CommittedPosition":
        warnings.warn(
            "streamcore.model.CommittedPosition is now CommittedOffset", DeprecationWarning, stacklevel=2
        )
        return CommittedOffset
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
