"""The partitions that a consumer reads: where it is in each, and what is fetched beyond that.

The position of a partition is past what was handed out, never past what was merely fetched. What is
fetched ahead is bounded: a partition is fetched only when nothing of it is left.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias

from streamcore.durations import time_ms
from streamcore.errors import OffsetOutOfRangeError, UsageError, fact_text
from streamcore.log.client import port
from streamcore.model import FetchedColumns, Isolation, Offset, Record, TopicPartition

_logger = logging.getLogger(__name__)

BytesRecord: TypeAlias = Record[bytes | None, bytes | None]
Start: TypeAlias = str | int | datetime

_OWN_TURN_RECORDS = 1_000
"""A partition with so many records at once ends the turn: the others have theirs in the next one."""


@dataclass(slots=True)
class Reading:
    """One assigned partition: where the program is, and what is fetched beyond that."""

    position: Offset
    records: list[BytesRecord] = field(default_factory=list)
    """Fetched and not yet handed out, from ``taken`` on."""
    taken: int = 0
    fetched_to: Offset = 0
    """Where the last fetch ended: the position, once its records are handed out."""
    committed: Offset = -1
    is_paused: bool = False

    def __post_init__(self) -> None:
        self.fetched_to = self.position

    def keep(self, run: FetchedColumns) -> None:
        """Take a fetched run; nothing fetched before is left."""
        self.records, self.taken = run.records(), 0
        self.fetched_to = run.next_offset
        if not self.records:
            self.position = run.next_offset

    def hand_out(self, count_max: int) -> list[BytesRecord]:
        """The next records, at most so many."""
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
        """Go on from another place."""
        self.records, self.taken = [], 0
        self.position = self.fetched_to = offset


class Readings:
    """All partitions that a consumer reads, in the order in which they have their turns."""

    def __init__(self, log: port.Log, *, start: Start, isolation: Isolation, fetch_bytes_max: int) -> None:
        _check_start(start)
        self._log = log
        self._start = start
        self._isolation = isolation
        self._fetch_bytes_max = fetch_bytes_max
        self._reader = log.reader(isolation=isolation)
        self._by_place: dict[TopicPartition, Reading] = {}
        self._order: list[TopicPartition] = []
        self._is_reader_stale = False

    def __contains__(self, place: TopicPartition) -> bool:
        return place in self._by_place

    def __len__(self) -> int:
        return len(self._by_place)

    def places(self) -> tuple[TopicPartition, ...]:
        """The partitions, in the order in which they came."""
        return tuple(self._by_place)

    def items(self) -> Iterable[tuple[TopicPartition, Reading]]:
        """The partitions and where the consumer is in them."""
        return self._by_place.items()

    def get(self, place: TopicPartition) -> Reading | None:
        """Where the consumer is in a partition, if it reads it."""
        return self._by_place.get(place)

    def on_progress(self, callback: Callable[[], None]) -> None:
        """Have ``callback`` called, from any thread, when something may have become readable."""
        self._reader.on_progress(callback)

    def add(self, positions: Mapping[TopicPartition, Offset], committed: Iterable[TopicPartition]) -> None:
        """Read more partitions from these positions, some of which are the group's committed ones."""
        for place, position in positions.items():
            self._by_place[place] = Reading(position)
        for place in committed:
            self._by_place[place].committed = positions[place]
        self._order = list(self._by_place)
        self._is_reader_stale = True

    def remove(self, places: Iterable[TopicPartition]) -> None:
        """Read these no more, and forget what was fetched."""
        for place in places:
            self._by_place.pop(place, None)
        self._order = list(self._by_place)
        self._is_reader_stale = True

    def move(self, place: TopicPartition, offset: Offset) -> None:
        """Go on from another place."""
        self._by_place[place].move(offset)
        self._is_reader_stale = True

    def pause(self, places: Iterable[TopicPartition], is_paused: bool) -> None:
        """Hand out nothing of these partitions, or do so again."""
        for place in places:
            self._by_place[place].is_paused = is_paused
        self._is_reader_stale = True

    def lag(self) -> dict[TopicPartition, int]:
        """How many offsets of each partition were not handed out yet."""
        marks = self._log.offsets(self.places())
        return {
            place: max(0, marks[place].visible_end(self._isolation) - reading.position)
            for place, reading in self._by_place.items()
        }

    def close(self) -> None:
        """Stop reading."""
        self._reader.close()
        self._by_place.clear()
        self._order.clear()

    def collect(self, limit: int) -> list[BytesRecord]:
        """One turn of the partitions, until there is about one fetch's worth of records."""
        if self._is_reader_stale:
            self._assign_reader()
        collected: list[BytesRecord] = []
        collected_bytes = 0
        for _ in range(len(self._order)):
            place = self._order[0]
            reading = self._by_place[place]
            if not reading.is_paused:
                if not reading.records:
                    self._fetch(place, reading)
                handed = reading.hand_out(limit - len(collected))
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

    def _fetch(self, place: TopicPartition, reading: Reading) -> None:
        while not reading.records:
            try:
                run = self._reader.fetch(place, bytes_max=self._fetch_bytes_max)
            except OffsetOutOfRangeError as error:
                self._reset(place, reading, error)
                continue
            if run is None:
                return
            reading.keep(run)

    def _reset(self, place: TopicPartition, reading: Reading, error: OffsetOutOfRangeError) -> None:
        """Go on where ``start`` says, if it says so for any time."""
        marks = self._log.offsets([place])[place]
        match self._start:
            case "earliest":
                offset = marks.log_start
            case "latest":
                offset = marks.visible_end(self._isolation)
            case _:
                raise error
        facts = fact_text(partition=place, position=reading.position, reset_to=offset)
        _logger.warning("the position is out of range, reading goes on elsewhere %s", facts)
        reading.move(offset)
        self._assign_reader()

    def _assign_reader(self) -> None:
        self._reader.assign(
            {place: reading.fetched_to for place, reading in self._by_place.items() if not reading.is_paused}
        )
        self._is_reader_stale = False

    def start_offsets(self, places: Sequence[TopicPartition]) -> dict[TopicPartition, Offset]:
        """Where ``start`` says to begin."""
        match self._start:
            case "earliest":
                return {place: marks.log_start for place, marks in self._log.offsets(places).items()}
            case "latest":
                marks = self._log.offsets(places)
                return {place: mark.visible_end(self._isolation) for place, mark in marks.items()}
            case int() as offset:
                # One offset for partitions of any length: where it is not in the log, the nearest that is.
                return {
                    place: min(max(offset, mark.log_start), mark.high_watermark)
                    for place, mark in self._log.offsets(places).items()
                }
            case moment:
                return self._log.offsets_for_time(dict.fromkeys(places, time_ms(moment)))


def _check_start(start: Start) -> None:
    if isinstance(start, str) and start in ("earliest", "latest"):
        return
    if isinstance(start, int) and not isinstance(start, bool):
        if start < 0:
            raise UsageError(f"an offset is not negative; say 'latest' for the end {fact_text(start=start)}")
        return
    time_ms(start)
