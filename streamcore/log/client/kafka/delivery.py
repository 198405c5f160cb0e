"""Columns on their way to a broker: the outcome of each record, from librdkafka's reports.

librdkafka cuts columns into batches of its own and reports on each record, in order, after its batch is
answered. A delivery joins the reports into pieces: records at consecutive offsets, or refused for one reason.

A delivery never waits and has no locks: reports come from one thread at a time, and the producer
(``kafka.producer``) seals the delivery when no more reports will come.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, KafkaError, Message

from streamcore.errors import StreamCoreError
from streamcore.log.client.kafka.errors import translated
from streamcore.log.client.port import Appended, Outcome
from streamcore.model import Offset, TimestampMs, TopicPartition


class Delivery:
    """The future of one append, and the receiver of librdkafka's reports on it."""

    __slots__ = (
        "_base_offset",
        "_given",
        "_log_append_time_ms",
        "_next_offset",
        "_outcomes",
        "_refusal",
        "_reported",
        "_reported_all",
        "_rest",
        "_taken",
        "_wait",
        "is_done",
        "is_watched",
        "partition",
        "size_bytes",
    )

    def __init__(
        self,
        partition: TopicPartition,
        count: int,
        size_bytes: int,
        *,
        wait: Callable[[Delivery, float | None], None],
        reported_all: Callable[[Delivery], None],
    ) -> None:
        """Expect ``count`` reports.

        Args:
            partition: where the records go.
            count: the number of records, at least one.
            size_bytes: what the records count for while they are in flight.
            wait: waits until the delivery is done.
            reported_all: called when the last record was reported; seals the delivery.
        """
        self.partition = partition
        self.size_bytes = size_bytes
        self.is_done = False
        self.is_watched = False
        """Whether a caller has asked for the outcome; ``flush`` raises a failure that no caller asked for."""
        self._wait = wait
        self._reported_all = reported_all
        self._given = self._taken = count
        self._reported = 0
        self._rest: StreamCoreError | None = None
        self._outcomes: list[Outcome] = []
        # The open piece: consecutive offsets, or one refusal.
        self._base_offset: Offset = -1
        self._next_offset: Offset = -1
        self._log_append_time_ms: TimestampMs = -1
        self._refusal: KafkaError | None = None

    # --- the acknowledgement --------------------------------------------------------------------

    def result(self, timeout_s: float | None = None) -> Appended:
        """Wait until all records are acknowledged, and return their offsets; raise the first refusal
        instead.
        """
        appended: list[Appended] = []
        for _, outcome in self.outcomes(timeout_s):
            if isinstance(outcome, StreamCoreError):
                raise outcome
            appended.append(outcome)
        first, last = appended[0], appended[-1]
        return Appended(self.partition, first.base_offset, last.end_offset, first.log_append_time_ms)

    def outcomes(self, timeout_s: float | None = None) -> Sequence[Outcome]:
        """Wait like ``result``, and return the outcome of each record, in pieces."""
        self.is_watched = True
        if not self.is_done:
            self._wait(self, timeout_s)
        return self._outcomes

    def done(self) -> bool:
        """Whether ``result`` would return or raise at once."""
        return self.is_done

    def has_reports(self, count: int) -> bool:
        """Whether the outcome of the first ``count`` records is known."""
        return self.is_done or self._reported >= count

    def failure(self) -> StreamCoreError | None:
        """The first refusal, if any record was refused."""
        return next((found for _, found in self._outcomes if isinstance(found, StreamCoreError)), None)

    # --- for librdkafka -------------------------------------------------------------------------

    def __call__(self, error: KafkaError | None, message: Message) -> None:
        """Take the report on the next record."""
        if error is None:
            offset = message.offset()
            if offset != self._next_offset:
                self._end_piece()
                self._base_offset = offset
                kind, time_ms = message.timestamp()
                self._log_append_time_ms = time_ms if kind == TIMESTAMP_LOG_APPEND_TIME else -1
            self._next_offset = offset + 1
        elif self._refusal is None or self._refusal.code() != error.code():
            self._end_piece()
            self._refusal = error
        self._reported += 1
        if self._reported == self._taken:
            self._reported_all(self)

    # --- for the producer -----------------------------------------------------------------------

    def cut(self, taken: int, error: StreamCoreError) -> None:
        """Expect no reports past the first ``taken`` records: librdkafka did not take more."""
        self._rest = error
        self._taken = taken
        if self._reported == taken:
            self._reported_all(self)

    def seal(self, error: StreamCoreError | None = None) -> None:
        """Mark the delivery done; ``error`` is the outcome of records without a report."""
        self._end_piece()
        rest = error or self._rest
        if rest is not None and self._reported < self._given:
            self._outcomes.append((self._given, rest))
        self.is_done = True

    def _end_piece(self) -> None:
        if self._refusal is not None:
            refusal = translated(self._refusal, "append records", partition=self.partition)
            self._outcomes.append((self._reported, refusal))
        elif self._next_offset >= 0:
            self._outcomes.append(
                (
                    self._reported,
                    Appended(self.partition, self._base_offset, self._next_offset, self._log_append_time_ms),
                )
            )
        self._refusal = None
        self._next_offset = -1


class NothingAppended:
    """The acknowledgement of columns without records."""

    __slots__ = ("_appended",)

    def __init__(self, partition: TopicPartition, log_end: Offset) -> None:
        self._appended = Appended(partition, log_end, log_end)

    def result(self, timeout_s: float | None = None) -> Appended:
        """Return an empty range at the log end."""
        return self._appended

    def outcomes(self, timeout_s: float | None = None) -> Sequence[Outcome]:
        """Return no pieces."""
        return []

    def done(self) -> bool:
        """Return true."""
        return True
