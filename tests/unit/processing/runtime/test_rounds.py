"""Rounds over several inputs, and the watermark that they move."""

from __future__ import annotations

import random

import pytest

from streamcore.model import FetchedColumns, Headers, TopicPartition
from streamcore.processing.runtime.inputs import RecordQueue
from streamcore.processing.runtime.rounds import HeldTime, Round, TaskTime
from streamcore.processing.topology.error_policy import skip, stop
from streamcore.processing.topology.marks import Mark, headers_of
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


def queue_with_marks(chance: random.Random, topic: str, count: int) -> tuple[RecordQueue, list[int]]:
    """A partition of a repartition topic with records and marks, and how far it is after each of its rows."""
    partition = TopicPartition(topic, 0)
    spec = TopicSpec(name=topic, key_serde=serde_for(int), value_serde=serde_for(int), internal=True)
    start = Mark("w", chance.randrange(5), False)
    queue = RecordQueue(partition, spec, 0, writers=["w"], marks=[start])
    rows: list[tuple[bytes | None, bytes | None, Headers]] = []
    reached, time_ms = list[int](), start.watermark_ms
    for _ in range(count):
        if chance.random() < 0.3:
            mark = Mark("w", chance.randrange(40), chance.random() < 0.3)
            time_ms = NO_TIME if mark.is_idle else mark.watermark_ms
            rows.append((None, None, headers_of([mark])))
        else:
            rows.append((b"1", b"1", ()))
        reached.append(time_ms)
    keys, values, headers = map(list, zip(*rows, strict=True))
    times_ms = sorted(chance.randrange(40) for _ in rows)
    offsets = list(range(count))
    queue.fill(
        FetchedColumns(
            keys, values, times_ms, headers, partition=partition, offsets=offsets, next_offset=count
        )
    )
    return queue, reached


@pytest.mark.parametrize("seed", range(40))
def test_the_watermark_before_each_record_follows_the_marks_of_all_inputs(seed: int) -> None:
    chance = random.Random(seed)
    found = [queue_with_marks(chance, topic, chance.randrange(1, 12)) for topic in "abc"[: 1 + seed % 3]]
    queues, reached = [queue for queue, _ in found], {id(queue): times_ms for queue, times_ms in found}
    if seed % 2:
        times_ms = sorted(chance.randrange(40) for _ in range(5))
        queues.append(queue_of("d", *times_ms))
        reached[id(queues[-1])] = times_ms
    time = TaskTime(NO_TIME, queues)
    taken = round_of(*queues)
    latest = {id(queue): queue.time_ms for queue in queues}
    rows = {id(queue): iter(reached[id(queue)]) for queue in queues}
    before, watermark_ms = [], NO_TIME
    for number in taken.input_numbers():
        before.append(watermark_ms)
        queue = id(taken.queues[number])
        latest[queue] = next(rows[queue])
        held = [time_ms for time_ms in latest.values() if time_ms != NO_TIME]
        watermark_ms = max([watermark_ms, *([min(held)] if held else [])])

    cut = chance.randrange(len(taken) + 1)
    for start, end in ((0, cut), (cut, len(taken))):
        if start < end:
            time.advance(taken, start, end)
            assert time.watermarks_before(range(start, end)) == before[start:end]
            taken.done(end)
    assert time.watermark_ms == watermark_ms
