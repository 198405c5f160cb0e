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
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Self, TypeAlias

from streamcore.clock import Clock
from streamcore.durations import duration_ms, time_ms
from streamcore.errors import (
    ClosedError,
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
from streamcore.log.client.readings import BytesRecord, Reading, Readings, Start
from streamcore.model import (
    CommittedPosition,
    Isolation,
    Offset,
    Record,
    TopicName,
    TopicPartition,
)

_logger = logging.getLogger(__name__)

PartitionLike: TypeAlias = TopicPartition | tuple[TopicName, int]
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
        self._is_closed = False
        self._topics_checked_s = self._monotonic_s()
        self._news = threading.Event()
        self._membership: GroupMembership | None = None
        if bool(self._topics) == bool(assign):
            raise UsageError(
                "a consumer reads whole topics, or the partitions given with assign=; give one of the two: "
                "consumer('orders') or consumer(assign=[('orders', 0)])"
            )
        self._ensure_topics_exist(self._topics or tuple(_place(place).topic for place in assign))
        self._readings = Readings(
            log,
            start=self._settings.start,
            isolation=self._settings.isolation,
            fetch_bytes_max=self._settings.fetch_bytes_max,
        )
        self._readings.on_progress(self._news.set)
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
            records = self._readings.collect(limit)
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
        places = self._readings.places() if partitions is None else [_place(place) for place in partitions]
        return self._log.committed(self._group, places)

    def position(self, partition: PartitionLike) -> Offset:
        """The offset of the next record that ``poll`` may return."""
        return self._reading(partition).position

    def seek(self, partition: PartitionLike, offset: Offset) -> None:
        """Go on from an offset."""
        if offset < 0:
            raise UsageError(f"an offset is not negative {fact_text(offset=offset)}")
        self._reading(partition)
        self._readings.move(_place(partition), offset)

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
        return self._readings.lag()

    # --- assignment -----------------------------------------------------------------------------

    def assignment(self) -> frozenset[TopicPartition]:
        """The partitions that this consumer reads now."""
        return frozenset(self._readings.places())

    def pause(self, partitions: Iterable[PartitionLike] | None = None) -> None:
        """Return nothing of all partitions, or of these, until ``resume``."""
        self._readings.pause(self._places(partitions), True)

    def resume(self, partitions: Iterable[PartitionLike] | None = None) -> None:
        """End ``pause``."""
        self._readings.pause(self._places(partitions), False)

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
            self._readings.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- fetching -------------------------------------------------------------------------------

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
                    self._give_up(self._readings.places(), self._settings.on_revoked)
                membership.order_join(self._readings.places())
            case Lost(reason):
                if self._readings:
                    facts = fact_text(group=self._group, reason=reason)
                    _logger.warning("the membership is lost, joining again %s", facts)
                self._give_up(self._readings.places(), self._settings.on_lost or self._settings.on_revoked)
                membership.order_join(())
            case Failed(error):
                self._give_up(self._readings.places(), self._settings.on_lost or self._settings.on_revoked)
                raise error

    def _accept(self, membership: GroupMembership, joined: Joined) -> None:
        """Take a new assignment; let go what moves, and tell the group that it is free."""
        assigned = frozenset(joined.assignment)
        revoked = tuple(place for place in self._readings.places() if place not in assigned)
        self._give_up(revoked, self._settings.on_revoked)
        if revoked and joined.assignor.is_cooperative:
            membership.order_join(self._readings.places())
        added = tuple(place for place in joined.assignment if place not in self._readings)
        self._take(added)
        if self._settings.on_assigned is not None and (added or not joined.assignor.is_cooperative):
            self._settings.on_assigned(added)

    def _give_up(self, places: Sequence[TopicPartition], callback: RebalanceCallback | None) -> None:
        if not places:
            return
        try:
            if callback is not None:
                callback(places)
        finally:
            self._readings.remove(places)

    def _take(
        self, places: Sequence[TopicPartition], starts: Mapping[TopicPartition, Offset] | None = None
    ) -> None:
        """Begin to read partitions: where they are committed, else where ``start`` says."""
        if not places:
            return
        committed = {} if self._group is None else self._log.committed(self._group, places)
        fresh = [place for place in places if place not in committed]
        offsets = dict(starts) if starts is not None else self._readings.start_offsets(fresh)
        offsets.update((place, position.offset) for place, position in committed.items())
        self._readings.add({place: offsets[place] for place in places}, committed)

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
                self._give_up(self._readings.places(), self._settings.on_revoked)
            self._membership.order_join(self._readings.places())

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
                # still reads may be committed in it: even a partition that the generation takes away
                # is given to nobody else before this member has let go of it, which it does in poll.
                left_s = deadline_s - self._monotonic_s()
                if left_s <= 0 or not membership.wait_joined(left_s) or membership.membership == credentials:
                    raise
                if not membership.is_cooperative or not all(place in self._readings for place in positions):
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
            return list(self._readings.places())
        places = [_place(place) for place in partitions]
        for place in places:
            self._reading(place)
        return places

    def _reading(self, partition: PartitionLike) -> Reading:
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
