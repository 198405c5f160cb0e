"""Producers of columns over librdkafka: idempotent, acknowledged by all replicas, with or without
transactions.

librdkafka takes records one by one and reports on each; ``kafka.delivery`` joins the reports of columns. A
thread that waits does the work: one thread at a time serves librdkafka's reports, the others wait for it, so
no thread is needed besides librdkafka's. The bytes in flight are bounded: appending waits for space.

An error that ends a handle (for example, a newer producer has taken over) is raised by whatever call is under
way, and reports may be lost with it. Everything in flight then fails with that error.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Producer

from streamcore.errors import (
    ClosedError,
    InvalidTransactionStateError,
    RequestTimeoutError,
    RetriableError,
    StreamCoreError,
    UnknownTopicError,
    with_facts,
)
from streamcore.log.client.kafka.connection import KafkaConnection, Properties
from streamcore.log.client.kafka.delivery import Delivery, NothingAppended
from streamcore.log.client.kafka.errors import TransactionGivenUpError, error_in
from streamcore.log.client.kafka.groups import kafka_offsets
from streamcore.log.client.kafka.member import KafkaMembership, strangers_credentials
from streamcore.log.client.kafka.offsets import KafkaOffsets
from streamcore.log.client.kafka.topics import KafkaTopics
from streamcore.log.client.port import Acknowledgement
from streamcore.log.client.producer.batch_cuts import BATCH_BYTES, cut_to_fit
from streamcore.log.client.producer.record_times import ensure_writable
from streamcore.log.records.compression import codec_number
from streamcore.model import CommittedOffset, Isolation, Membership, RecordColumns, TopicPartition

_POLL_S: Final = 0.1
_CONNECT_S: Final = 0.02
_DELETED_CHECK_S: Final = 2.0
"""librdkafka repeats requests for a deleted topic until the delivery timeout."""
_FAILED_DELIVERIES_MAX: Final = 64
_BATCH_HEADER_BYTES: Final = 61

_PROPERTIES: Final[Properties] = {
    "enable.idempotence": True,
    "linger.ms": 0.5,  # columns are produced record by record: wait for some before the first batch is sent
    "batch.size": BATCH_BYTES,
    "batch.num.messages": 1_000_000,
    "message.max.bytes": 1_000_000_000,  # the topic's own limit applies
    "queue.buffering.max.messages": 0,  # bounded by this class, in bytes
    "queue.buffering.max.kbytes": 2_097_151,
}


@dataclass(slots=True)
class _OpenTransaction:
    """The state of a producer's open transaction."""

    deliveries: list[Acknowledgement] = field(default_factory=list)
    is_over: bool = False


class KafkaProducer:
    """Appends columns. Safe to share between threads, except for its transaction."""

    time_min_ms = 1
    """librdkafka replaces a time of 0 by the present time."""

    def __init__(
        self,
        connection: KafkaConnection,
        topics: KafkaTopics,
        offsets: KafkaOffsets,
        *,
        transactional_id: str | None,
        compression: str,
        transaction_timeout_ms: int | None = None,
    ) -> None:
        codec_number(compression)
        self._connection = connection
        self._settings = connection.settings
        self._topics = topics
        self._offsets = offsets
        self.transactional_id = transactional_id
        # Records of an append stay together, and appends to a partition in order.
        self._order = threading.Lock()
        self._changed = threading.Condition()
        self._is_polling = False
        self._unfinished: dict[Delivery, None] = {}
        self._pending_bytes = 0
        self._failed: list[Delivery] = []
        self._transaction: _OpenTransaction | None = None
        self._strangers: dict[str, bytes] = {}
        """Group -> the credentials for a commit without a membership."""
        self._end_of_handle: StreamCoreError | None = None
        properties: dict[str, Any] = {**_PROPERTIES, "compression.type": compression}
        if transactional_id is None:
            properties["delivery.timeout.ms"] = int(self._settings.acknowledge_timeout_s * 1000)
        else:
            properties["transactional.id"] = transactional_id
            if transaction_timeout_ms is not None:
                properties["transaction.timeout.ms"] = transaction_timeout_ms
            # After a reconnection to the first addresses, as when a broker was away, librdkafka
            # (seen with 2.16)
            # forgets the coordinator of a group, and then waits for it in a transaction without end.
            properties["metadata.recovery.strategy"] = "none"
            properties["metadata.recovery.rebootstrap.trigger.ms"] = 2**31 - 1
        self._producer: Producer | None = connection.producer(properties)
        # librdkafka gets a producer id after it has connected. With records before that, it may
        # miss the event
        # and try again only after half a second (seen from 2.12 to 2.16).
        self._producer.poll(_CONNECT_S)
        if transactional_id is not None:
            self._call(lambda handle, timeout_s: handle.init_transactions(timeout_s), "begin to produce")

    # --- the port -------------------------------------------------------------------------------

    def append_columns(
        self,
        partition: TopicPartition,
        columns: RecordColumns,
    ) -> Acknowledgement:
        """Append records outside any transaction; appends to one partition keep their order."""
        if self.transactional_id is not None:
            raise InvalidTransactionStateError(
                with_facts(
                    "a transactional producer appends inside a transaction",
                    transactional_id=self.transactional_id,
                )
            )
        return self._append(partition, columns)

    @contextmanager
    def transaction(self) -> Iterator[KafkaTransaction]:
        """Begin a transaction that commits when the block ends and aborts when it raises."""
        self._handle()
        if self.transactional_id is None:
            raise InvalidTransactionStateError("transactions need a producer with a transactional id")
        if self._transaction is not None:
            raise InvalidTransactionStateError(
                with_facts(
                    "the producer has a transaction open already", transactional_id=self.transactional_id
                )
            )
        self._call(lambda handle, timeout_s: handle.begin_transaction(), "begin a transaction")
        state = self._transaction = _OpenTransaction()
        try:
            yield KafkaTransaction(self, state)
        except BaseException:
            # The block's own error matters more. A transaction that cannot be aborted now is never committed:
            # the next producer aborts it.
            with suppress(StreamCoreError):
                self._abort(state)
            raise
        self._commit(state)

    def flush(self) -> None:
        """Wait until everything appended so far is acknowledged.

        Raises:
            StreamCoreError: the first failure since the last flush that no caller has asked for.
        """
        with self._changed:
            waiting = list(self._unfinished)
        self._wait_for_all(waiting, None)
        with self._changed:
            failed, self._failed = self._failed, []
        for delivery in failed:
            failure = delivery.failure()
            if failure is not None and not delivery.is_watched:
                raise failure

    def close(self) -> None:
        """Flush and close; an open transaction is aborted. A second call does nothing."""
        if self._producer is None:
            return
        try:
            if self._transaction is not None:
                self._abort(self._transaction)
            self.flush()
        finally:
            self._producer = None  # librdkafka ends its threads with the last reference

    # --- appending ------------------------------------------------------------------------------

    def _append(self, partition: TopicPartition, columns: RecordColumns) -> Acknowledgement:
        self._handle()
        topic = self._topics.of(partition)
        count = len(columns)
        if not count:
            ends = self._offsets.visible_ends([partition], Isolation.READ_UNCOMMITTED)
            return NothingAppended(partition, ends[partition])
        ensure_writable(columns.timestamps_ms, self.time_min_ms)
        delivery = Delivery(
            partition, count, columns.measure(), wait=self._wait_for, reported_all=self._finish
        )
        bytes_max = topic.message_bytes_max - _BATCH_HEADER_BYTES
        with self._order:
            self._take_room(delivery)
            if bytes_max >= BATCH_BYTES:
                self._hand_over(delivery, columns, 0)
                return delivery
            self._hand_over_in_parts(delivery, columns, bytes_max)
            return delivery

    def _hand_over_in_parts(self, delivery: Delivery, columns: RecordColumns, bytes_max: int) -> None:
        """Produce batch by batch: librdkafka has one batch size for all topics."""
        taken = 0
        for part in cut_to_fit(columns, bytes_max):
            if delivery.is_done:
                return
            taken = self._hand_over(delivery, part, taken)
            self._wait_until(partial(delivery.has_reports, taken), None)

    def _hand_over(self, delivery: Delivery, columns: RecordColumns, taken: int) -> int:
        """Produce the records from the index ``taken`` on; return the index where librdkafka stopped.

        The delivery is cut there if librdkafka did not take all.
        """
        topic, number = delivery.partition.topic, delivery.partition.partition
        rows = zip(columns.keys, columns.values, columns.timestamps_ms, strict=True)
        try:
            produce = self._handle().produce
            if columns.headers is None:
                for key, value, time_ms in rows:
                    produce(topic, value, key, number, delivery, None, time_ms)
                    taken += 1
            else:
                for (key, value, time_ms), headers in zip(rows, columns.headers, strict=True):
                    produce(topic, value, key, number, delivery, None, time_ms, list(headers))
                    taken += 1
        except (KafkaException, BufferError, StreamCoreError) as raised:
            if (found := error_in(raised)) is not None and found.code() == KafkaError._FATAL:
                self._report(0)  # which raises the error that ended the handle
            error = self._end_of_handle or self._translated(
                raised, "append records", partition=delivery.partition
            )
            delivery.cut(taken, error)
        return taken

    def _take_room(self, delivery: Delivery) -> None:
        """Wait until there is space in flight for the columns; columns above the limit go alone."""
        bytes_max = self._settings.pending_bytes_max
        self._wait_until(
            lambda: not self._pending_bytes or self._pending_bytes + delivery.size_bytes <= bytes_max, None
        )
        with self._changed:
            self._pending_bytes += delivery.size_bytes
            self._unfinished[delivery] = None

    # --- waiting --------------------------------------------------------------------------------

    def _wait_for(self, delivery: Delivery, timeout_s: float | None) -> None:
        if not self._wait_for_all([delivery], timeout_s):
            raise RequestTimeoutError(
                with_facts(
                    "the records are not acknowledged yet; wait longer",
                    partition=delivery.partition,
                    timeout_s=timeout_s,
                )
            )

    def _wait_for_all(self, deliveries: Sequence[Delivery], timeout_s: float | None) -> bool:
        """Wait until deliveries are done; fail those whose topic is deleted meanwhile."""
        monotonic_s = self._connection.clock.monotonic_s
        deadline_s = float("inf") if timeout_s is None else monotonic_s() + timeout_s
        while True:
            left_s = deadline_s - monotonic_s()
            if self._wait_until(
                lambda: all(delivery.is_done for delivery in deliveries), min(left_s, _DELETED_CHECK_S)
            ):
                return True
            if left_s <= _DELETED_CHECK_S:
                return False
            self._fail_deleted([delivery for delivery in deliveries if not delivery.is_done])

    def _fail_deleted(self, deliveries: Sequence[Delivery]) -> None:
        try:
            existing = self._topics.identities({delivery.partition.topic for delivery in deliveries})
        except RetriableError:
            return
        for delivery in deliveries:
            if delivery.partition.topic not in existing:
                error = UnknownTopicError(
                    with_facts(
                        "the topic was deleted while records were sent to it", partition=delivery.partition
                    )
                )
                self._finish(delivery, error)

    def _wait_until(self, is_reached: Callable[[], bool], timeout_s: float | None) -> bool:
        """Serve reports, or wait for the thread that does, until a condition holds.

        Without a timeout this ends too: each record is reported within its delivery timeout.
        """
        monotonic_s = self._connection.clock.monotonic_s
        deadline_s = None if timeout_s is None else monotonic_s() + timeout_s
        while True:
            with self._changed:
                while not is_reached() and self._is_polling:
                    if deadline_s is not None and monotonic_s() >= deadline_s:
                        return False
                    self._changed.wait(_POLL_S)
                if is_reached():
                    return True
                left_s = _POLL_S if deadline_s is None else deadline_s - monotonic_s()
                if left_s < 0:
                    return False
                self._is_polling = True
            try:
                self._report(min(left_s, _POLL_S))
            finally:
                with self._changed:
                    self._is_polling = False
                    self._changed.notify_all()

    def _report(self, timeout_s: float) -> None:
        """Serve librdkafka's reports; wait for one if there is none."""
        try:
            self._handle().poll(timeout_s)
        except (KafkaException, SystemError, StreamCoreError) as raised:
            self._lose(raised)

    def _finish(self, delivery: Delivery, error: StreamCoreError | None = None) -> None:
        """Seal a delivery: all its records were reported, or will not be."""
        with self._changed:
            if delivery not in self._unfinished:
                return
            del self._unfinished[delivery]
            delivery.seal(error)
            self._pending_bytes -= delivery.size_bytes
            if delivery.failure() is not None and len(self._failed) < _FAILED_DELIVERIES_MAX:
                self._failed.append(delivery)
            self._changed.notify_all()

    def _lose(self, raised: BaseException) -> None:
        """Fail everything in flight: the handle cannot be used any more."""
        self._end_of_handle = self._end_of_handle or self._translated(raised, "produce")
        with self._changed:
            waiting = list(self._unfinished)
        for delivery in waiting:
            self._finish(delivery, self._end_of_handle)

    # --- transactions ---------------------------------------------------------------------------

    def _commit(self, state: _OpenTransaction) -> None:
        given_up: TransactionGivenUpError | None = None
        try:
            try:
                for delivery in state.deliveries:
                    delivery.result()
            except TransactionGivenUpError as error:
                given_up = error
            # Records that librdkafka has given up are not committed; the error says why.
            self._call(lambda handle, timeout_s: handle.commit_transaction(timeout_s), "commit")
            if given_up is not None:
                raise given_up
        except BaseException:
            with suppress(StreamCoreError):
                self._abort(state)
            raise
        state.is_over = True
        self._transaction = None

    def _abort(self, state: _OpenTransaction) -> None:
        if state.is_over:
            return
        state.is_over = True
        self._transaction = None
        self._call(lambda handle, timeout_s: handle.abort_transaction(timeout_s), "abort")
        self._wait_until(lambda: all(delivery.done() for delivery in state.deliveries), None)
        with self._changed:
            self._failed.clear()

    def _commit_offsets(
        self,
        group: str,
        offsets: Mapping[TopicPartition, CommittedOffset],
        membership: Membership | None,
    ) -> None:
        if not offsets:
            return
        credentials = membership.credentials if isinstance(membership, KafkaMembership) else None
        if credentials is None:
            credentials = self._strangers.get(group)
        if credentials is None:
            credentials = self._strangers[group] = strangers_credentials(self._connection, group)
        given = kafka_offsets(offsets)
        self._call(
            lambda handle, timeout_s: handle.send_offsets_to_transaction(given, credentials, timeout_s),
            "commit offsets in a transaction",
            group=group,
        )

    def _call(self, call: Callable[[Producer, float], None], doing: str, **facts: object) -> None:
        """Run a call of the transactional producer; repeat it while librdkafka says that it is retriable."""
        monotonic_s = self._connection.clock.monotonic_s
        deadline_s = monotonic_s() + self._settings.request_timeout_s
        while True:
            left_s = max(0.1, deadline_s - monotonic_s())
            try:
                call(self._handle(), left_s)
                return
            except (KafkaException, SystemError) as raised:
                error = error_in(raised)
                if error is not None and error.fatal():
                    self._lose(raised)
                if error is None or not error.retriable() or monotonic_s() >= deadline_s:
                    raise self._translated(raised, doing, **facts) from raised
            self._connection.pause()

    # --- small things ---------------------------------------------------------------------------

    def _handle(self) -> Producer:
        if self._producer is None:
            raise ClosedError("the producer is closed")
        self._connection.ensure_open()
        if self._end_of_handle is not None:
            raise self._end_of_handle
        return self._producer

    def _translated(self, raised: BaseException, doing: str, **facts: object) -> StreamCoreError:
        if self.transactional_id is not None:
            facts["transactional_id"] = self.transactional_id
        return self._connection.translated(raised, doing, **facts)


class KafkaTransaction:
    """One open transaction of a producer. For one thread."""

    __slots__ = ("_producer", "_state")

    def __init__(self, producer: KafkaProducer, state: _OpenTransaction) -> None:
        self._producer = producer
        self._state = state

    def append_columns(
        self,
        partition: TopicPartition,
        columns: RecordColumns,
    ) -> Acknowledgement:
        """Append records in the transaction; they become visible when it commits."""
        self._ensure_not_over()
        delivery = self._producer._append(partition, columns)
        self._state.deliveries.append(delivery)
        return delivery

    def commit_offsets(
        self,
        group: str,
        offsets: Mapping[TopicPartition, CommittedOffset],
        *,
        membership: Membership | None = None,
    ) -> None:
        """Add a group's committed offsets to the transaction; they change only if it commits."""
        self._ensure_not_over()
        self._producer._commit_offsets(group, offsets, membership)

    def _ensure_not_over(self) -> None:
        if self._state.is_over:
            raise InvalidTransactionStateError("the transaction is over; begin another")
