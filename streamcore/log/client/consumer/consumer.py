"""The public consumer: reads topics, alone or as a member of a group.

Records are fetched ahead per partition and returned by ``poll``. The position of a partition is behind what
``poll`` has returned, not behind what was fetched, so ``commit`` cannot skip a record that the program has
not got.

In a group, the membership (``group_log.Member``) does in ``poll`` what the group asks for: in the thread
that polls, partitions are revoked and assigned, and the program's callbacks run.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Self

from streamcore.clock import Clock
from streamcore.durations import duration_ms, time_ms
from streamcore.errors import ClosedError, UnknownTopicError, UsageError, fact_text, with_facts
from streamcore.log.client import port
from streamcore.log.client.application_groups import ensure_not_an_application
from streamcore.log.client.consumer.assignment import ConsumerAssignment
from streamcore.log.client.consumer.fetch_state import BytesRecord, FetchState, FetchStates
from streamcore.log.client.consumer.settings import (
    ConsumerSettings,
    Duration,
    GroupSettings,
    PartitionLike,
)
from streamcore.log.client.group_log import GroupLog, Member
from streamcore.model import CommittedOffset, Offset, Record, TopicName, TopicPartition

_WAIT_S_MAX = 0.5
_TOPICS_CHECK_S = 1.0


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
        self._member: Member | None = None
        if bool(self._topics) == bool(assign):
            raise UsageError(
                "a consumer reads whole topics, or the partitions given with assign=; give one of the two: "
                "consumer('orders') or consumer(assign=[('orders', 0)])"
            )
        if group is not None:
            ensure_not_an_application(group, log.topics(), "read as a member of the group")
        self._ensure_topics_exist(
            self._topics or tuple(_topic_partition(partition).topic for partition in assign)
        )
        self._fetch_states = FetchStates(
            log,
            start=self._settings.start,
            isolation=self._settings.isolation,
            fetch_bytes_max=self._settings.fetch_bytes_max,
        )
        self._fetch_states.on_progress(self._news.set)
        self._owned = ConsumerAssignment(log, self._fetch_states, group, self._settings)
        if group is not None and self._topics:
            self._member = log.join(
                group, self._topics, group_settings or GroupSettings(), clock, self._news.set
            )
            # A consumer that the program drops without close() must not keep its partitions for ever.
            self._finalizer = weakref.finalize(self, self._member.stop)
        elif isinstance(assign, Mapping):
            self._owned.take(tuple(assign), assign)
        elif assign:
            self._owned.take(tuple(_topic_partition(partition) for partition in assign))
        else:
            self._owned.take(self._all_partitions())

    # --- reading --------------------------------------------------------------------------------

    def poll(self, timeout: Duration = "1s", *, records_max: int | None = None) -> list[BytesRecord]:
        """Return records as soon as there are any, and none when the timeout is over.

        Partitions take turns; the records of each are in order. Callbacks of a rebalance run in this call.

        Raises:
            OffsetOutOfRangeError: the position no longer exists, and ``start`` gives no other.
            StaleGenerationError: another member has taken over this one's static instance id.
        """
        deadline_s = self._monotonic_s() + duration_ms(timeout) / 1000
        limit = self._settings.records_max if records_max is None else records_max
        if limit < 1:
            raise UsageError(with_facts("a poll returns at least one record", records_max=limit))
        while True:
            self._ensure_open()
            self._news.clear()
            if self._member is not None:
                self._member.follow(self._owned)
            self._follow_topics()
            records = self._fetch_states.collect(limit)
            if records:
                return records
            left_s = deadline_s - self._monotonic_s()
            if left_s <= 0:
                return records
            self._news.wait(min(left_s, _WAIT_S_MAX if self._member is None else self._member.wait_s_max))

    # --- positions ------------------------------------------------------------------------------

    def commit(
        self,
        what: BytesRecord
        | Record[Any, Any]
        | Mapping[TopicPartition, Offset | CommittedOffset]
        | None = None,
    ) -> None:
        """Store committed offsets durably: where the group continues after a restart.

        Args:
            what: nothing: everything that ``poll`` has returned; a record: everything up to and including it;
            or
                offsets by partition.

        Raises:
            StaleGenerationError: another member owns the partitions now and reads again from the last
                commit.
            UsageError: the consumer has no group.
        """
        self._ensure_open()
        if self._group is None:
            raise UsageError("a commit needs a group: log.consumer(…, group=…)")
        positions = self._positions_of(what)
        if not positions:
            return
        if self._member is not None:
            self._member.commit(positions, self._owned)
        else:
            self._log.commit_offsets(self._group, positions)
        for partition, position in positions.items():
            if (reading := self._fetch_states.get(partition)) is not None:
                reading.committed = position.offset

    def commit_into(self, transaction: port.Transaction) -> None:
        """Add the positions to a transaction; see ``Transaction.commit_offsets``."""
        self._ensure_open()
        if self._group is None:
            raise UsageError("a commit needs a group: log.consumer(…, group=…)")
        positions = self._positions_of(None)
        if positions:
            membership = None if self._member is None else self._member.membership
            transaction.commit_offsets(self._group, positions, membership=membership)

    def committed(
        self, partitions: Iterable[PartitionLike] | None = None
    ) -> dict[TopicPartition, CommittedOffset]:
        """Return the group's committed offsets, of the assigned partitions if none are named."""
        self._ensure_open()
        if self._group is None:
            return {}
        chosen = (
            self._fetch_states.partitions()
            if partitions is None
            else [_topic_partition(partition) for partition in partitions]
        )
        return self._log.committed(self._group, chosen)

    def position(self, partition: PartitionLike) -> Offset:
        """Return the offset of the next record that ``poll`` can return."""
        return self._reading(partition).position

    def seek(self, partition: PartitionLike, offset: Offset) -> None:
        """Set the position of a partition."""
        if offset < 0:
            raise UsageError(with_facts("an offset is not negative", offset=offset))
        self._reading(partition)
        self._fetch_states.move(_topic_partition(partition), offset)

    def seek_to_time(
        self, time: datetime | str | int, partitions: Iterable[PartitionLike] | None = None
    ) -> None:
        """Move all partitions, or these, to the first record at or after a time."""
        chosen = self._topic_partitions(partitions)
        for partition, offset in self._log.offsets_for_time(dict.fromkeys(chosen, time_ms(time))).items():
            self.seek(partition, offset)

    def seek_to_beginning(self, partitions: Iterable[PartitionLike] | None = None) -> None:
        """Move all partitions, or these, to the first record that still exists."""
        for partition, marks in self._log.offsets(self._topic_partitions(partitions)).items():
            self.seek(partition, marks.log_start)

    def seek_to_end(self, partitions: Iterable[PartitionLike] | None = None) -> None:
        """Move all partitions, or these, to their end."""
        for partition, marks in self._log.offsets(self._topic_partitions(partitions)).items():
            self.seek(partition, marks.visible_end(self._settings.isolation))

    def lag(self) -> dict[TopicPartition, int]:
        """Return for each assigned partition how many offsets ``poll`` has not returned yet."""
        return self._fetch_states.lag()

    # --- assignment -----------------------------------------------------------------------------

    def assignment(self) -> frozenset[TopicPartition]:
        """Return the partitions that this consumer reads now."""
        return frozenset(self._fetch_states.partitions())

    def pause(self, partitions: Iterable[PartitionLike] | None = None) -> None:
        """Return no records of all partitions, or of these, until ``resume``."""
        self._fetch_states.pause(self._topic_partitions(partitions), True)

    def resume(self, partitions: Iterable[PartitionLike] | None = None) -> None:
        """End ``pause``."""
        self._fetch_states.pause(self._topic_partitions(partitions), False)

    def paused(self) -> frozenset[TopicPartition]:
        """Return the partitions that are paused."""
        return frozenset(partition for partition, reading in self._fetch_states.items() if reading.is_paused)

    def close(self) -> None:
        """Leave the group, so that other members take over at once. Commits nothing; a second call does
        nothing.
        """
        if self._is_closed:
            return
        self._is_closed = True
        try:
            if self._member is not None:
                self._finalizer.detach()
                self._member.stop()
        finally:
            self._fetch_states.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- what is read ---------------------------------------------------------------------------

    def _follow_topics(self) -> None:
        """Read partitions that were added to the topics; in a group the membership does that."""
        now_s = self._monotonic_s()
        if self._member is not None or not self._topics or now_s < self._topics_checked_s + _TOPICS_CHECK_S:
            return
        self._topics_checked_s = now_s
        self._owned.take([partition for partition in self._all_partitions() if partition not in self._owned])

    def _positions_of(
        self, what: Record[Any, Any] | Mapping[TopicPartition, Offset | CommittedOffset] | None
    ) -> dict[TopicPartition, CommittedOffset]:
        if what is None:
            return {
                partition: CommittedOffset(reading.position)
                for partition, reading in self._fetch_states.items()
                if reading.position != reading.committed
            }
        if isinstance(what, Record):
            if what.offset < 0:
                raise UsageError("only a record that was read can be committed")
            return {TopicPartition(what.topic, what.partition): CommittedOffset(what.offset + 1)}
        return {
            _topic_partition(partition): position
            if isinstance(position, CommittedOffset)
            else CommittedOffset(position)
            for partition, position in what.items()
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
                raise UnknownTopicError(with_facts("create the topic before reading it", topic=name))

    def _topic_partitions(self, partitions: Iterable[PartitionLike] | None) -> list[TopicPartition]:
        if partitions is None:
            return list(self._fetch_states.partitions())
        chosen = [_topic_partition(partition) for partition in partitions]
        for partition in chosen:
            self._reading(partition)
        return chosen

    def _reading(self, partition: PartitionLike) -> FetchState:
        self._ensure_open()
        reading = self._fetch_states.get(_topic_partition(partition))
        if reading is None:
            facts = fact_text(partition=_topic_partition(partition), assigned=len(self._fetch_states))
            raise UsageError(f"the partition is not assigned to this consumer: {facts}")
        return reading

    def _ensure_open(self) -> None:
        if self._is_closed:
            raise ClosedError("the consumer is closed; make another with log.consumer()")


def _topic_partition(partition: PartitionLike) -> TopicPartition:
    if isinstance(partition, TopicPartition):
        return partition
    topic, number = partition
    return TopicPartition(topic, number)
