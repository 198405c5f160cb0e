"""Rounds over several inputs, and the watermark that they move."""

from __future__ import annotations

import pytest

from streamcore.model import FetchedColumns, TopicPartition
from streamcore.processing.runtime.inputs import RecordQueue
from streamcore.processing.runtime.rounds import HeldTime, Round, TaskTime
from streamcore.processing.topology.error_policy import skip, stop
from streamcore.processing.topology.nodes import TopicSpec
from streamcore.processing.topology.times import NO_TIME
from streamcore.serde import serde_for
from tests.support.operator_parts import guard


def queue_of(topic: str, *times_ms: int, values: list[bytes | None] | None = None) -> RecordQueue:
    spec = TopicSpec(
        name=topic,
        key_serde=serde_for(int),
        value_serde=serde_for(int),
        on_error=skip if topic == "skipping" else None,
    )
    partition = TopicPartition(topic, 0)
    queue = RecordQueue(partition, spec, 0)
    count = len(times_ms)
    queue.fill(
        FetchedColumns(
            [None] * count,
            values or [b"1"] * count,
            list(times_ms),
            None,
            partition=partition,
            offsets=list(range(count)),
            next_offset=count,
        )
    )
    return queue


def round_of(*queues: RecordQueue) -> Round:
    found = [(queue, count) for queue in queues if (count := queue.count_until(None))]
    return Round([queue for queue, _ in found], [queue.take(count) for queue, count in found])


def test_records_of_several_inputs_are_in_the_order_of_their_partition_times() -> None:
    taken = round_of(queue_of("a", 1, 5, 9), queue_of("b", 2, 5, 6))

    places = [taken.record_at(origin) for origin in range(len(taken))]

    assert [(record.topic, record.timestamp_ms) for record in places] == [
        ("a", 1),
        ("b", 2),
        ("a", 5),
        ("b", 5),
        ("b", 6),
        ("a", 9),
    ]
    assert list(taken.batch(0, guard(stop)).origins) == [0, 2, 5]
    assert list(taken.batch(1, guard(stop)).origins) == [1, 3, 4]
    assert taken.input_numbers() == [0, 1, 0, 1, 1, 0]


def test_a_record_keeps_its_place_when_another_does_not_decode() -> None:
    taken = round_of(queue_of("a", 1, 5, 9, values=[b"1", b"?", b"3"]), queue_of("b", 7))

    batch = taken.batch(0, guard(skip))

    assert (batch.values, list(batch.origins)) == ([1, 3], [0, 3])


def test_each_record_has_the_policy_of_its_topic() -> None:
    taken = round_of(queue_of("a", 1, 5), queue_of("skipping", 2))

    assert [taken.policy_at(origin) for origin in range(3)] == [None, skip, None]


@pytest.mark.parametrize("end", range(7))
def test_positions_move_to_the_first_record_of_each_input_that_is_not_done(end: int) -> None:
    first, second = queue_of("a", 1, 5, 9), queue_of("b", 2, 5, 6)
    taken = round_of(first, second)
    of_first = [0, 2, 5]

    taken.done(end)

    done = sum(place < end for place in of_first)
    assert (first.position, second.position) == (done, end - done)


def test_the_watermark_is_the_least_time_of_the_inputs_that_have_had_a_record() -> None:
    first, second, third = queue_of("a", 1, 8), queue_of("b", 3, 6, 20), queue_of("c")
    time = TaskTime(NO_TIME, [first, second, third])
    taken = round_of(first, second, third)

    time.advance(taken, 0, 2)
    assert time.watermark_ms == 1
    taken.done(2)
    time.advance(taken, 2, len(taken))

    assert (time.floor_ms, time.watermark_ms) == (1, 8)
    assert time.place_reaching(8) == 4
    assert time.place_reaching(6) == 3
    assert HeldTime(time, 2).watermark_ms == 6
    assert HeldTime(time, 2).place_reaching(6) == 4


def test_the_watermark_of_one_input_moves_with_each_record() -> None:
    queue = queue_of("a", 1, 8, 4, 9)
    time = TaskTime(NO_TIME, [queue])

    time.advance(round_of(queue), 0, 4)

    assert [time.place_reaching(moment) for moment in (1, 2, 8, 9)] == [0, 1, 1, 3]


def test_an_idle_input_does_not_hold_the_watermark_and_its_next_record_brings_it_back() -> None:
    first, second = queue_of("a", 5), queue_of("b", 3)
    time = TaskTime(NO_TIME, [first, second])
    taken = round_of(first, second)
    time.advance(taken, 0, 2)
    taken.done(2)

    second.is_idle = True
    assert (time.watermark_ms, time.without_idle()) == (3, 5)
    time.advance_to(time.without_idle())
    first.is_idle = True
    assert time.without_idle() == 5

    second.fill(
        FetchedColumns([None], [b"1"], [4], None, partition=second.partition, offsets=[1], next_offset=2)
    )
    taken = round_of(second)
    time.advance(taken, 0, 1)

    assert not second.is_idle
    assert (time.floor_ms, time.watermark_ms) == (5, 5)


def test_an_input_that_does_not_hold_time_does_not_move_it() -> None:
    stream, table = queue_of("a", 5), queue_of("b", 3, 100)
    time = TaskTime(NO_TIME, [stream])

    time.advance(round_of(stream, table), 0, 3)

    assert time.watermark_ms == 5
    assert time.place_reaching(5) == 1


def test_records_of_a_table_alone_leave_the_watermark_before_each_of_them() -> None:
    stream, table = queue_of("a", 5), queue_of("b", 90, 100)
    time = TaskTime(NO_TIME, [stream])
    taken = round_of(stream)
    time.advance(taken, 0, 1)
    taken.done(1)

    time.advance(round_of(table), 0, 2)

    assert time.watermarks_before([0, 1]) == [5, 5]
