"""The public consumer: reads topics, alone or as a member of a group.

What is fetched ahead is kept per partition and handed out by ``poll``. The position of a partition is
past what ``poll`` has returned, never past what was merely fetched, so ``commit`` cannot lose a record
that nobody saw.

In a group, the membership (``membership``) tells what happens, and ``poll`` acts on it: revoke, join,
assign. With a cooperative assignor reading goes on while the group agrees.
"""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Self, TypeAlias

from streamcore.clock import Clock
from streamcore.durations import duration_ms, time_ms
from streamcore.errors import (
    ClosedError,
    OffsetOutOfRangeError,
    RebalanceInProgressError,
    StaleGenerationError,
    UnknownTopicError,
    UsageError,
    fact_text,
)
from streamcore.log.client import port
from streamcore.log.client.membership import (
    Failed,
    GroupLog,
    GroupMembership,
    GroupSettings,
    Joined,
    Lost,
    MustJoin,
)
from streamcore.model import (
    CommittedPosition,
    Isolation,
    Offset,
    Record,
    RecordRun,
    TopicName,
    TopicPartition,
)

_logger = logging.getLogger(__name__)

BytesRecord: TypeAlias = Record[bytes | None, bytes | None]
PartitionLike: TypeAlias = TopicPartition | tuple[TopicName, int]
Start: TypeAlias = str | int | datetime
RebalanceCallback: TypeAlias = Callable[[Sequence[TopicPartition]], None]
Duration: TypeAlias = str | timedelta | int

_WAIT_S_MAX = 0.5
_TOPICS_CHECK_S = 1.0
_COMMIT_WAIT_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumerSettings:
    """How a consumer reads."""

    start: Start = "earliest"
    """Where to begin where nothing is committed: ``earliest``, ``latest``, an offset or a time. An offset
    that a partition does not have, or has no more, means the nearest that it has."""
    isolation: Isolation = Isolation.READ_COMMITTED
    fetch_bytes_max: int = 1024 * 1024
    """How much is fetched of a partition at once; what is not handed out yet bounds memory by this."""
    records_max: int = 100_000
    """How many records one ``poll`` returns at most."""
    on_assigned: RebalanceCallback | None = None
    """Called in ``poll`` with the partitions that came; the place to seek."""
    on_revoked: RebalanceCallback | None = None
    """Called in ``poll`` with the partitions that go, while they can still be committed."""
    on_lost: RebalanceCallback | None = None
    """Called instead of ``on_revoked`` when they are already somebody else's; ``on_revoked`` by default."""


@dataclass(slots=True)
class _Reading:
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

    def keep(self, run: RecordRun) -> None:
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


class Consumer:
    """Reads records. For one thread at a time."""

    def __init__(
        self,
        log: GroupLog,
        clock: Clock,
        *,
        topics: Sequence[TopicName] = (),
        assign: Sequence[PartitionLike] | Mapping[TopicPartition, Offset] = (),
        group: str | None = None,
        settings: ConsumerSettings | None = None,
        group_settings: GroupSettings | None = None,
    ) -> None:
        self._log = log
        self._group = group
        self._settings = settings or ConsumerSettings()
        self._monotonic_s = clock.monotonic_s
        self._topics = tuple(dict.fromkeys(topics))
        self._readings: dict[TopicPartition, _Reading] = {}
        self._order: list[TopicPartition] = []
        self._is_closed = False
        self._is_assignment_stale = False
        self._topics_checked_s = self._monotonic_s()
        self._news = threading.Event()
        self._membership: GroupMembership | None = None
        _check_start(self._settings.start)
        if bool(self._topics) == bool(assign):
            raise UsageError(
                "a consumer reads topics, or the partitions given with assign=; give one of the two"
            )
        self._ensure_topics_exist(self._topics or tuple(_place(place).topic for place in assign))
        self._reader = log.reader(isolation=self._settings.isolation)
        self._reader.on_progress(self._news.set)
        if group is not None and self._topics:
            self._membership = GroupMembership(
                log, group, self._topics, group_settings or GroupSettings(), clock, self._news.set
            )
            # A consumer that is dropped without close() must not keep its partitions for ever.
            self._finalizer = weakref.finalize(self, self._membership.stop)
            self._membership.order_join(())
        elif isinstance(assign, Mapping):
            self._take(tuple(assign), assign)
        elif assign:
            self._take(tuple(_place(place) for place in assign))
        else:
            self._take(self._all_partitions())

    # --- reading --------------------------------------------------------------------------------

    def poll(self, timeout: Duration = "1s", *, records_max: int | None = None) -> list[BytesRecord]:
        """Return records as soon as there are any, and nothing when the time is over.

        Partitions take turns; each one's records come in order. Callbacks of a rebalance run in here.

        Raises:
            OffsetOutOfRangeError: the position is no longer there, and ``start`` does not say where else.
            StaleGenerationError: another member took this one's static instance id.
        """
        deadline_s = self._monotonic_s() + duration_ms(timeout) / 1000
        limit = self._settings.records_max if records_max is None else records_max
        if limit < 1:
            raise UsageError(f"a poll returns at least one record {fact_text(records_max=limit)}")
        while True:
            self._ensure_open()
            self._news.clear()
            self._follow_group()
            self._follow_topics()
            records = self._collect(limit)
            if records:
                return records
            left_s = deadline_s - self._monotonic_s()
            if left_s <= 0:
                return records
            self._news.wait(min(left_s, _WAIT_S_MAX))

    # --- positions ------------------------------------------------------------------------------

    def commit(
        self,
        what: BytesRecord
        | Record[Any, Any]
        | Mapping[TopicPartition, Offset | CommittedPosition]
        | None = None,
    ) -> None:
        """Make positions durable: where the group goes on after a restart.

        Args:
            what: nothing: past everything that ``poll`` has returned; a record: past that record; or
                positions by partition.

        Raises:
            StaleGenerationError: the partitions are another member's by now, which reads again from the last
                commit.
            UsageError: the consumer has no group.
        """
        self._ensure_open()
        if self._group is None:
            raise UsageError("a consumer commits for its group: log.consumer(…, group=…)")
        positions = self._positions_of(what)
        if not positions:
            return
        self._commit(self._group, positions)
        for place, position in positions.items():
            if (reading := self._readings.get(place)) is not None:
                reading.committed = position.offset

    def commit_into(self, transaction: port.Transaction) -> None:
        """Make the positions part of a transaction; see ``Transaction.commit_offsets``."""
        self._ensure_open()
        if self._group is None:
            raise UsageError("a consumer commits for its group: log.consumer(…, group=…)")
        positions = self._positions_of(None)
        if positions:
            membership = None if self._membership is None else self._membership.membership
            transaction.commit_positions(self._group, positions, membership=membership)

    def committed(
        self, partitions: Iterable[PartitionLike] | None = None
    ) -> dict[TopicPartition, CommittedPosition]:
        """The group's committed positions, of the assigned partitions if none are named."""
        self._ensure_open()
        if self._group is None:
            return {}
        places = list(self._readings) if partitions is None else [_place(place) for place in partitions]
        return self._log.committed(self._group, places)

    def position(self, partition: PartitionLike) -> Offset:
        """The offset of the next record that ``poll`` may return."""
        return self._reading(partition).position

    def seek(self, partition: PartitionLike, offset: Offset) -> None:
        """Go on from an offset."""
        if offset < 0:
            raise UsageError(f"an offset is not negative {fact_text(offset=offset)}")
        self._reading(partition).move(offset)
        self._is_assignment_stale = True

    def seek_to_time(
        self, time: datetime | str | int, partitions: Iterable[PartitionLike] | None = None
    ) -> None:
        """Go on from the first record whose time is at or after this one, in all partitions or in these."""
        places = self._places(partitions)
        for place, offset in self._log.offsets_for_time(dict.fromkeys(places, time_ms(time))).items():
            self.seek(place, offset)

    def seek_to_beginning(self, partitions: Iterable[PartitionLike] | None = None) -> None:
        """Go back to the first record that is still there, in all partitions or in these."""
        for place, marks in self._log.offsets(self._places(partitions)).items():
            self.seek(place, marks.log_start)

    def seek_to_end(self, partitions: Iterable[PartitionLike] | None = None) -> None:
        """Skip what is there, in all partitions or in these."""
        for place, marks in self._log.offsets(self._places(partitions)).items():
            self.seek(place, marks.visible_end(self._settings.isolation))

    def lag(self) -> dict[TopicPartition, int]:
        """How many offsets each assigned partition has that ``poll`` has not returned yet."""
        marks = self._log.offsets(list(self._readings))
        return {
            place: max(0, marks[place].visible_end(self._settings.isolation) - reading.position)
            for place, reading in self._readings.items()
        }

    # --- assignment -----------------------------------------------------------------------------

    def assignment(self) -> frozenset[TopicPartition]:
        """The partitions that this consumer reads now."""
        return frozenset(self._readings)

    def pause(self, partitions: Iterable[PartitionLike] | None = None) -> None:
        """Return nothing of all partitions, or of these, until ``resume``."""
        for place in self._places(partitions):
            self._readings[place].is_paused = True
        self._is_assignment_stale = True

    def resume(self, partitions: Iterable[PartitionLike] | None = None) -> None:
        """End ``pause``."""
        for place in self._places(partitions):
            self._readings[place].is_paused = False
        self._is_assignment_stale = True

    def paused(self) -> frozenset[TopicPartition]:
        """The partitions that are paused."""
        return frozenset(place for place, reading in self._readings.items() if reading.is_paused)

    def close(self) -> None:
        """Leave the group, so that others take over at once. Nothing is committed. Twice is fine."""
        if self._is_closed:
            return
        self._is_closed = True
        try:
            if self._membership is not None:
                self._finalizer.detach()
                self._membership.stop()
        finally:
            self._reader.close()
            self._readings.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- fetching -------------------------------------------------------------------------------

    def _collect(self, limit: int) -> list[BytesRecord]:
        """One turn of the partitions, until there is about one fetch's worth of records."""
        if self._is_assignment_stale:
            self._assign_reader()
        collected: list[BytesRecord] = []
        for _ in range(len(self._order)):
            place = self._order[0]
            reading = self._readings[place]
            if not reading.is_paused:
                if not reading.records:
                    self._fetch(place, reading)
                handed = reading.hand_out(limit - len(collected))
                collected = collected + handed if collected else handed
                if len(collected) >= limit:
                    break
            self._order.append(self._order.pop(0))
        return collected

    def _fetch(self, place: TopicPartition, reading: _Reading) -> None:
        while not reading.records:
            try:
                run = self._reader.fetch(place, bytes_max=self._settings.fetch_bytes_max)
            except OffsetOutOfRangeError as error:
                self._reset(place, reading, error)
                continue
            if run is None:
                return
            reading.keep(run)

    def _reset(self, place: TopicPartition, reading: _Reading, error: OffsetOutOfRangeError) -> None:
        """Go on where ``start`` says, if it says so for any time."""
        marks = self._log.offsets([place])[place]
        match self._settings.start:
            case "earliest":
                offset = marks.log_start
            case "latest":
                offset = marks.visible_end(self._settings.isolation)
            case _:
                raise error
        facts = fact_text(partition=place, position=reading.position, reset_to=offset)
        _logger.warning("the position is out of range, reading goes on elsewhere %s", facts)
        reading.move(offset)
        self._assign_reader()

    def _assign_reader(self) -> None:
        self._reader.assign(
            {place: reading.fetched_to for place, reading in self._readings.items() if not reading.is_paused}
        )
        self._is_assignment_stale = False

    # --- the group ------------------------------------------------------------------------------

    def _follow_group(self) -> None:
        """Do what the group asks of this member."""
        membership = self._membership
        if membership is None:
            return
        match membership.take_event():
            case None:
                pass
            case Joined() as joined:
                self._accept(membership, joined)
            case MustJoin():
                if not membership.is_cooperative:
                    self._give_up(tuple(self._readings), self._settings.on_revoked)
                membership.order_join(tuple(self._readings))
            case Lost(reason):
                if self._readings:
                    facts = fact_text(group=self._group, reason=reason)
                    _logger.warning("the membership is lost, joining again %s", facts)
                self._give_up(tuple(self._readings), self._settings.on_lost or self._settings.on_revoked)
                membership.order_join(())
            case Failed(error):
                self._give_up(tuple(self._readings), self._settings.on_lost or self._settings.on_revoked)
                raise error

    def _accept(self, membership: GroupMembership, joined: Joined) -> None:
        """Take a new assignment; let go what moves, and tell the group that it is free."""
        assigned = frozenset(joined.assignment)
        revoked = tuple(place for place in self._readings if place not in assigned)
        self._give_up(revoked, self._settings.on_revoked)
        if revoked and joined.assignor.is_cooperative:
            membership.order_join(tuple(self._readings))
        added = tuple(place for place in joined.assignment if place not in self._readings)
        self._take(added)
        if self._settings.on_assigned is not None and (added or not joined.assignor.is_cooperative):
            self._settings.on_assigned(added)

    def _give_up(self, places: Sequence[TopicPartition], callback: RebalanceCallback | None) -> None:
        if not places:
            return
        for place in places:
            # What was fetched ahead must not move the position that the callback commits.
            self._readings[place].is_paused = True
        try:
            if callback is not None:
                callback(places)
        finally:
            for place in places:
                self._readings.pop(place, None)
            self._order = list(self._readings)
            self._is_assignment_stale = True

    def _take(
        self, places: Sequence[TopicPartition], starts: Mapping[TopicPartition, Offset] | None = None
    ) -> None:
        """Begin to read partitions: where they are committed, else where ``start`` says."""
        if not places:
            return
        committed = {} if self._group is None else self._log.committed(self._group, places)
        fresh = [place for place in places if place not in committed]
        offsets = dict(starts) if starts is not None else self._start_offsets(fresh)
        for place in places:
            position = committed.get(place)
            reading = _Reading(offsets[place] if position is None else position.offset)
            if position is not None:
                reading.committed = position.offset
            self._readings[place] = reading
        self._order = list(self._readings)
        self._is_assignment_stale = True

    def _start_offsets(self, places: Sequence[TopicPartition]) -> dict[TopicPartition, Offset]:
        match self._settings.start:
            case "earliest":
                return {place: marks.log_start for place, marks in self._log.offsets(places).items()}
            case "latest":
                isolation = self._settings.isolation
                return {
                    place: marks.visible_end(isolation) for place, marks in self._log.offsets(places).items()
                }
            case int() as offset:
                # One offset for partitions of any length: where it is not in the log, the nearest that is.
                return {
                    place: min(max(offset, marks.log_start), marks.high_watermark)
                    for place, marks in self._log.offsets(places).items()
                }
            case moment:
                return self._log.offsets_for_time(dict.fromkeys(places, time_ms(moment)))

    def _follow_topics(self) -> None:
        """Notice partitions that were added to the topics since."""
        now_s = self._monotonic_s()
        if not self._topics or now_s < self._topics_checked_s + _TOPICS_CHECK_S:
            return
        self._topics_checked_s = now_s
        if self._membership is None:
            self._take([place for place in self._all_partitions() if place not in self._readings])
            return
        joined = self._membership.joined
        if joined is None or not joined.is_leader or not self._membership.wait_joined(0):
            return
        topics = self._log.topics()
        counts = {name: topics[name].partition_count for name in joined.partition_counts if name in topics}
        if counts != joined.partition_counts:
            if not self._membership.is_cooperative:
                self._give_up(tuple(self._readings), self._settings.on_revoked)
            self._membership.order_join(tuple(self._readings))

    def _commit(self, group: str, positions: Mapping[TopicPartition, CommittedPosition]) -> None:
        """Commit as a member; a rebalance that is being completed is waited for, and then decides."""
        membership = self._membership
        if membership is None:
            self._log.commit_positions(group, positions)
            return
        deadline_s = self._monotonic_s() + _COMMIT_WAIT_S
        while True:
            credentials = membership.membership
            if credentials is None:
                raise StaleGenerationError(
                    f"the group gave these partitions to others; poll to join again {fact_text(group=group)}"
                )
            try:
                self._log.commit_positions(group, positions, membership=credentials)
                return
            except (RebalanceInProgressError, StaleGenerationError):
                # A cooperative member may be between two generations. Once the next one holds, what it
                # still owns may be committed in it.
                left_s = deadline_s - self._monotonic_s()
                if left_s <= 0 or not membership.wait_joined(left_s) or membership.membership == credentials:
                    raise
                joined = membership.joined
                if joined is None or not positions.keys() <= set(joined.assignment):
                    raise

    def _positions_of(
        self, what: Record[Any, Any] | Mapping[TopicPartition, Offset | CommittedPosition] | None
    ) -> dict[TopicPartition, CommittedPosition]:
        if what is None:
            return {
                place: CommittedPosition(reading.position)
                for place, reading in self._readings.items()
                if reading.position != reading.committed
            }
        if isinstance(what, Record):
            if what.offset < 0:
                raise UsageError("only a record that was read has a position to commit")
            return {TopicPartition(what.topic, what.partition): CommittedPosition(what.offset + 1)}
        return {
            _place(place): position
            if isinstance(position, CommittedPosition)
            else CommittedPosition(position)
            for place, position in what.items()
        }

    # --- small checks -----------------------------------------------------------------------------

    def _all_partitions(self) -> tuple[TopicPartition, ...]:
        topics = self._log.topics()
        return tuple(
            TopicPartition(name, number)
            for name in self._topics
            if name in topics
            for number in range(topics[name].partition_count)
        )

    def _ensure_topics_exist(self, names: Iterable[TopicName]) -> None:
        topics = self._log.topics()
        for name in names:
            if name not in topics:
                raise UnknownTopicError(f"create the topic before reading it {fact_text(topic=name)}")

    def _places(self, partitions: Iterable[PartitionLike] | None) -> list[TopicPartition]:
        if partitions is None:
            return list(self._readings)
        places = [_place(place) for place in partitions]
        for place in places:
            self._reading(place)
        return places

    def _reading(self, partition: PartitionLike) -> _Reading:
        self._ensure_open()
        reading = self._readings.get(_place(partition))
        if reading is None:
            facts = fact_text(partition=_place(partition), assigned=len(self._readings))
            raise UsageError(f"the partition is not assigned to this consumer {facts}")
        return reading

    def _ensure_open(self) -> None:
        if self._is_closed:
            raise ClosedError("the consumer is closed; make another with log.consumer()")


def _place(partition: PartitionLike) -> TopicPartition:
    if isinstance(partition, TopicPartition):
        return partition
    topic, number = partition
    return TopicPartition(topic, number)


def _check_start(start: Start) -> None:
    if isinstance(start, str) and start in ("earliest", "latest"):
        return
    if isinstance(start, int) and not isinstance(start, bool):
        if start < 0:
            raise UsageError(f"an offset is not negative; say 'latest' for the end {fact_text(start=start)}")
        return
    time_ms(start)
