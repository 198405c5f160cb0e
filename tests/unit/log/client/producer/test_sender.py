"""Sending to a log that cuts columns into batches: others write in between, and refusals are of batches."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamcore.clock import SystemClock
from streamcore.errors import InvalidRecordError
from streamcore.log.client.port import Appended, Outcome, TopicDescription, Transaction
from streamcore.log.client.producer.producer import Producer, ProducerSettings
from streamcore.model import RecordColumns, TopicPartition

PARTITION = TopicPartition("t", 0)
REFUSAL = InvalidRecordError("the log does not take this batch")


class Answered:
    """An acknowledgement that is known already."""

    def __init__(self, outcomes: list[Outcome]) -> None:
        self._outcomes = outcomes

    def outcomes(self, timeout_s: float | None = None) -> Sequence[Outcome]:
        return self._outcomes

    def result(self, timeout_s: float | None = None) -> Appended:
        raise AssertionError("a sender asks for outcomes")

    def done(self) -> bool:
        return True


class CuttingPort:
    """A port producer that writes batches of ``batch_count``, each followed by another program's record."""

    time_min_ms = 0

    def __init__(self, batch_count: int) -> None:
        self.batch_count = batch_count
        self.stored: list[bytes | None] = []

    def append_columns(
        self,
        partition: TopicPartition,
        columns: RecordColumns,
    ) -> Answered:
        values = columns.values
        outcomes: list[Outcome] = []
        for start in range(0, len(values), self.batch_count):
            batch = values[start : start + self.batch_count]
            if b"bad" in batch:
                outcomes.append((start + len(batch), REFUSAL))
                continue
            base = len(self.stored)
            self.stored += batch
            outcomes.append((start + len(batch), Appended(partition, base, base + len(batch))))
            self.stored.append(b"other")
        return Answered(outcomes)

    def own(self) -> list[bytes]:
        """What the producer wrote, sorted."""
        return sorted(value or b"" for value in self.stored if value != b"other")

    def transaction(self) -> AbstractContextManager[Transaction]:
        raise AssertionError("no transactions here")

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass


def producer_on(port: CuttingPort) -> Producer:
    topics = {"t": TopicDescription("t", UUID(int=0), 1)}
    return Producer(port, lambda: topics, SystemClock(), settings=ProducerSettings(linger="1h"))


@given(batch_count=st.integers(1, 4), is_bad=st.lists(st.booleans(), max_size=12))
def test_every_record_has_its_own_offset_and_only_the_guilty_fail(
    batch_count: int, is_bad: list[bool]
) -> None:
    port = CuttingPort(batch_count)
    values = [b"bad" if bad else b"%d" % number for number, bad in enumerate(is_bad)]

    with producer_on(port) as producer:
        futures = [producer.send("t", value=value) for value in values]
        outcomes = [(value, future.exception()) for value, future in zip(values, futures, strict=True)]
        stored_at = [
            (future.result().offset, value)
            for value, future in zip(values, futures, strict=True)
            if value != b"bad"
        ]

    assert [value for value, error in outcomes if error is not None] == [b"bad"] * sum(is_bad)
    assert all(port.stored[offset] == value for offset, value in stored_at)
    assert port.own() == sorted(value for _, value in stored_at)


def test_the_ranges_of_a_send_many_leave_out_what_others_wrote() -> None:
    port = CuttingPort(batch_count=2)

    with producer_on(port) as producer:
        sent = producer.send_many("t", [(None, b"%d" % number) for number in range(5)]).result()

    assert sent.ranges == (Appended(PARTITION, 0, 2), Appended(PARTITION, 3, 5), Appended(PARTITION, 6, 7))
    assert sent.position == {PARTITION: 7}


def test_a_send_many_with_a_record_that_is_refused_says_so_and_writes_the_others_once() -> None:
    port = CuttingPort(batch_count=3)

    with producer_on(port) as producer:
        future = producer.send_many("t", [(None, b"a"), (None, b"bad"), (None, b"b"), (None, b"c")])
        with pytest.raises(InvalidRecordError):
            future.result()

    assert port.own() == [b"a", b"b", b"c"]
