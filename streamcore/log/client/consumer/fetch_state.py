"""The fetch states of a consumer: for each partition the position, and the records fetched ahead.

The position of a partition is behind the records that were returned, not behind those that were fetched.
Memory is bounded: a partition is fetched only when all its fetched records were returned.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias

from streamcore.durations import time_ms
from streamcore.errors import OffsetOutOfRangeError, UsageError, fact_text, with_facts
from streamcore.log.client import port
from streamcore.model import FetchedColumns, Isolation, Offset, Record, TopicPartition

_logger = logging.getLogger(__name__)

BytesRecord: TypeAlias = Record[bytes | None, bytes | None]
Start: TypeAlias = str | int | datetime

_OWN_TURN_RECORDS = 1_000
"""A partition that returns this many records ends the turn; the other partitions have the next one."""


@dataclass(slots=True)
class FetchState:
    """The fetch state of one assigned partition: the program's position, and the records fetched ahead."""

    position: Offset
    records: list[BytesRecord] = field(default_factory=list)
    """Records that were fetched; those from ``taken`` on were not returned yet."""
    taken: int = 0
    fetched_to: Offset = 0
    """Where the last fetch ended: the position after all its records are returned."""
    committed: Offset = -1
    is_paused: bool = False

    def __post_init__(self) -> None:
        self.fetched_to = self.position

    def keep(self, columns: FetchedColumns) -> None:
        """Store fetched columns. All records that were fetched before must have been returned."""
        self.records, self.taken = columns.records(), 0
        self.fetched_to = columns.next_offset
        if not self.records:
            self.position = columns.next_offset

    def hand_out(self, count_max: int) -> list[BytesRecord]:
        """Return the next records, at most ``count_max``."""
        records, taken = self.records, self.taken
        if not records:
            return []
        if taken == 0 and len(records) <= count_max:
            handed, self.records = records, []
        else:
            handed = records[taken : taken + count_max]
            self.taken = taken + len(handed)
            if self.taken == len(records):
                self.records, self.taken = [], 0
        if not self.records:
            self.position = self.fetched_to
        elif handed:
            self.position = handed[-1].offset + 1
        return handed

    def move(self, offset: Offset) -> None:
        """Set the position and drop the fetched records."""
        self.records, self.taken = [], 0
        self.position = self.fetched_to = offset


class FetchStates:
    """The fetch states of all partitions that a consumer reads, in the order of their turns."""

    def __init__(self, log: port.Log, *, start: Start, isolation: Isolation, fetch_bytes_max: int) -> None:
        _check_start(start)
        self._log = log
        self._start = start
        self._isolation = isolation
        self._fetch_bytes_max = fetch_bytes_max
        self._reader = log.reader(isolation=isolation)
        self._by_partition: dict[TopicPartition, FetchState] = {}
        self._order: list[TopicPartition] = []
        self._is_reader_stale = False

    def __contains__(self, partition: TopicPartition) -> bool:
        return partition in self._by_partition

    def __len__(self) -> int:
        return len(self._by_partition)

    def partitions(self) -> tuple[TopicPartition, ...]:
        """Return the partitions, in the order in which they were added."""
        return tuple(self._by_partition)

    def items(self) -> Iterable[tuple[TopicPartition, FetchState]]:
        """Return the partitions and their fetch states."""
        return self._by_partition.items()

    def get(self, partition: TopicPartition) -> FetchState | None:
        """Return the fetch state of a partition, or ``None`` if the consumer does not read it."""
        return self._by_partition.get(partition)

    def on_progress(self, callback: Callable[[], None]) -> None:
        """Call ``callback``, from any thread, when records may have become readable."""
        self._reader.on_progress(callback)

    def add(self, positions: Mapping[TopicPartition, Offset], committed: Iterable[TopicPartition]) -> None:
        """Read more partitions from these positions, some of which are the group's committed offsets."""
        for partition, position in positions.items():
            self._by_partition[partition] = FetchState(position)
        for partition in committed:
            self._by_partition[partition].committed = positions[partition]
        self._order = list(self._by_partition)
        self._is_reader_stale = True

    def remove(self, partitions: Iterable[TopicPartition]) -> None:
        """Stop reading these partitions, and drop what was fetched of them."""
        for partition in partitions:
            self._by_partition.pop(partition, None)
        self._order = list(self._by_partition)
        self._is_reader_stale = True

    def move(self, partition: TopicPartition, offset: Offset) -> None:
        """Set the position of a partition and drop what was fetched of it."""
        self._by_partition[partition].move(offset)
        self._is_reader_stale = True

    def pause(self, partitions: Iterable[TopicPartition], is_paused: bool) -> None:
        """Pause or resume the return of records of these partitions."""
        for partition in partitions:
            self._by_partition[partition].is_paused = is_paused
        self._is_reader_stale = True

    def lag(self) -> dict[TopicPartition, int]:
        """Return how many offsets of each partition were not returned yet."""
        marks = self._log.offsets(self.partitions())
        return {
            partition: max(0, marks[partition].visible_end(self._isolation) - state.position)
            for partition, state in self._by_partition.items()
        }

    def close(self) -> None:
        """Stop reading."""
        self._reader.close()
        self._by_partition.clear()
        self._order.clear()

    def collect(self, limit: int) -> list[BytesRecord]:
        """Give each partition one turn, until the records of about one fetch are collected."""
        if self._is_reader_stale:
            self._assign_reader()
        collected: list[BytesRecord] = []
        collected_bytes = 0
        for _ in range(len(self._order)):
            partition = self._order[0]
            state = self._by_partition[partition]
            if not state.is_paused:
                if not state.records:
                    self._fetch(partition, state)
                handed = state.hand_out(limit - len(collected))
                collected = collected + handed if collected else handed
                if len(collected) >= limit:
                    break
                if len(handed) < _OWN_TURN_RECORDS:
                    collected_bytes += sum([len(record.value or b"") for record in handed])
                else:
                    collected_bytes = self._fetch_bytes_max
            self._order.append(self._order.pop(0))
            if collected_bytes >= self._fetch_bytes_max:
                break
        return collected

    def _fetch(self, partition: TopicPartition, state: FetchState) -> None:
        while not state.records:
            try:
                columns = self._reader.fetch(partition, bytes_max=self._fetch_bytes_max)
            except OffsetOutOfRangeError as error:
                self._reset(partition, state, error)
                continue
            if columns is None:
                return
            state.keep(columns)

    def _reset(self, partition: TopicPartition, state: FetchState, error: OffsetOutOfRangeError) -> None:
        """Move a partition to its start or end, as ``start`` says. Raises ``error`` for another ``start``."""
        marks = self._log.offsets([partition])[partition]
        match self._start:
            case "earliest":
                offset = marks.log_start
            case "latest":
                offset = marks.visible_end(self._isolation)
            case _:
                raise error
        facts = fact_text(partition=partition, position=state.position, reset_to=offset)
        _logger.warning("the position is out of range, continuing at another offset %s", facts)
        state.move(offset)
        self._assign_reader()

    def _assign_reader(self) -> None:
        self._reader.assign(
            {
                partition: state.fetched_to
                for partition, state in self._by_partition.items()
                if not state.is_paused
            }
        )
        self._is_reader_stale = False

    def start_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, Offset]:
        """Return the offsets where ``start`` says to begin."""
        match self._start:
            case "earliest":
                return {
                    partition: marks.log_start for partition, marks in self._log.offsets(partitions).items()
                }
            case "latest":
                marks = self._log.offsets(partitions)
                return {partition: mark.visible_end(self._isolation) for partition, mark in marks.items()}
            case int() as offset:
                # The offset is one for partitions of any length: outside a partition it
                # means the nearest offset inside.
                return {
                    partition: min(max(offset, mark.log_start), mark.high_watermark)
                    for partition, mark in self._log.offsets(partitions).items()
                }
            case moment:
                return self._log.offsets_for_time(dict.fromkeys(partitions, time_ms(moment)))


def _check_start(start: Start) -> None:
    if isinstance(start, str) and start in ("earliest", "latest"):
        return
    if isinstance(start, int) and not isinstance(start, bool):
        if start < 0:
            raise UsageError(with_facts("an offset is not negative; say 'latest' for the end", start=start))
        return
    time_ms(start)
