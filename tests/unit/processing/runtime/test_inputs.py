"""The waiting inputs of a task: event times, partition times, what does not decode, and where rounds end."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from streamcore.errors import SerdeError, UserCodeError
from streamcore.model import FetchedColumns, TopicPartition
from streamcore.processing.dsl.topic_keys import internal_key_serde
from streamcore.processing.operators.batch import Batch
from streamcore.processing.operators.guard import Guard
from streamcore.processing.runtime.inputs import QueueSlice, RecordQueue
from streamcore.processing.runtime.rounds import Round
from streamcore.processing.topology.error_policy import skip, stop
from streamcore.processing.topology.marks import NOT_KNOWN
from streamcore.processing.topology.nodes import TopicSpec
from streamcore.processing.topology.times import NO_TIME, TIME_MS_MAX
from streamcore.serde import BYTES, Serde, serde_for
from tests.support.operator_parts import Failures, guard

SOURCE = TopicPartition("numbers", 1)


def queue_of(
    *values: bytes | None,
    times_ms: list[int] | None = None,
    keys: list[bytes | None] | None = None,
    timestamp: Callable[[Any], Any] | None = None,
    partition_time_ms: int = NO_TIME,
    key_serde: Serde[Any] | None = None,
) -> RecordQueue:
    topic = TopicSpec(
        name="numbers",
        key_serde=serde_for(int) if key_serde is None else key_serde,
        value_serde=serde_for(int),
        timestamp=timestamp,
    )
    queue = RecordQueue(SOURCE, topic, 10, partition_time_ms)
    count = len(values)
    queue.fill(
        FetchedColumns(
            keys or [None] * count,
            list(values),
            times_ms or [0] * count,
            None,
            partition=SOURCE,
            offsets=list(range(10, 10 + count)),
            next_offset=10 + count + 5,
        )
    )
    return queue


def decoded(taken: QueueSlice, found: Guard) -> Batch:
    return Round([queue_of()], [taken]).batch(0, found)


def test_order_keys_are_the_running_maximum_of_event_times_across_fetches() -> None:
    queue = queue_of(b"1", b"2", b"3", times_ms=[5, 9, 7], partition_time_ms=6)

    taken = queue.take(3)

    assert list(taken.partition_times_ms) == [6, 9, 9]
    assert taken.timestamps_ms == [5, 9, 7]
    queue.done(taken, 3)
    assert queue.partition_time_ms == 9


@pytest.mark.parametrize(
    ("times_ms", "before_ms", "seen_ms", "partition_times_ms"),
    [
        ([5, 5, 8], NO_TIME, [5, 5, 8], [5, 5, 8]),
        ([5, 6, 8], 5, [5, 6, 8], [5, 6, 8]),
        ([5, 6, 8], 6, [5, 6, 8], [6, 6, 8]),
        ([5, 8, 7, 8], NO_TIME, [5, 8, 7, 8], [5, 8, 8, 8]),
        ([-1, 5, 6], 3, [-1, 5, 6], [3, 5, 6]),
        ([5, TIME_MS_MAX, TIME_MS_MAX + 1], NO_TIME, [5, TIME_MS_MAX, -1], [5, TIME_MS_MAX, TIME_MS_MAX]),
    ],
)
def test_times_in_order_are_partition_times_and_other_times_are_raised_to_the_highest_before(
    times_ms: list[int], before_ms: int, seen_ms: list[int], partition_times_ms: list[int]
) -> None:
    count = len(times_ms)

    taken = queue_of(*[b"1"] * count, times_ms=times_ms, partition_time_ms=before_ms).take(count)

    assert taken.timestamps_ms == seen_ms
    assert list(taken.partition_times_ms) == partition_times_ms


def test_where_the_value_tells_the_time_a_record_that_cannot_has_none() -> None:
    queue = queue_of(b"1", None, b"?", b"7", times_ms=[90, 91, 92, 93], timestamp=lambda value: value * 100)

    taken = queue.take(4)

    assert taken.timestamps_ms == [100, -1, -1, 700]
    assert list(taken.partition_times_ms) == [100, 100, 100, 700]


def test_a_function_that_gives_a_time_for_no_value_is_not_asked_for_one() -> None:
    taken = queue_of(b"1", None, b"7", timestamp=lambda value: 5).take(3)

    assert taken.timestamps_ms == [5, -1, 5]


def test_keys_that_are_decoded_together_come_back_in_their_order_and_a_bad_one_fails_alone() -> None:
    serde = internal_key_serde(tuple[str, int])
    one, two = serde.encode(("a", 1)), serde.encode(("b", 2))
    failures = Failures()

    good = queue_of(*[b"1"] * 4, keys=[one, None, two, one], key_serde=serde).take(4)
    bad = queue_of(*[b"1"] * 4, keys=[one, b"?", two, one], key_serde=serde).take(4)

    assert decoded(good, guard()).keys == [("a", 1), None, ("b", 2), ("a", 1)]
    assert decoded(bad, guard(skip, failures)).keys == [("a", 1), ("b", 2), ("a", 1)]
    assert len(failures.counted) == 1


@pytest.mark.parametrize("stored_ms", [-1, -5, -(2**63), 253_402_300_800_000, 2**63 - 1])
def test_a_time_before_1970_or_after_9999_is_none_and_moves_nothing(stored_ms: int) -> None:
    taken = queue_of(b"1", b"2", b"3", times_ms=[stored_ms, 7, stored_ms]).take(3)

    assert taken.timestamps_ms == [-1, 7, -1]
    assert list(taken.partition_times_ms) == [NO_TIME, 7, 7]
    assert list(taken.partition_times_ms) == [NO_TIME, 7, 7]
    assert taken.record_at(0).timestamp_ms == stored_ms


@pytest.mark.parametrize(
    "told",
    [-1, -(10**30), 2**63, 10**30, 1.5, float("nan"), None, True, "now", datetime(2020, 1, 1), b"1", []],
)
def test_what_is_no_time_is_a_failing_record(told: Any) -> None:
    failures = Failures()
    taken = queue_of(b"1", times_ms=[90], timestamp=lambda value: told).take(1)

    batch = decoded(taken, guard(skip, failures))

    assert (len(batch), taken.timestamps_ms) == (0, [-1])
    assert failures.counted == [("step", "skip")]


def test_an_aware_datetime_is_a_time() -> None:
    zone = timezone(timedelta(hours=1))
    told = {1: datetime(1970, 1, 1, 0, 0, 1, 500, tzinfo=UTC), 2: datetime(1970, 1, 1, 1, 0, 2, tzinfo=zone)}

    taken = queue_of(b"1", b"2", times_ms=[90, 91], timestamp=told.__getitem__).take(2)

    assert taken.timestamps_ms == [1_000, 2_000]


def test_a_failing_timestamp_function_is_an_error_of_user_code_that_names_the_record() -> None:
    taken = queue_of(b"1", keys=[b"5"], timestamp={}.__getitem__).take(1)

    with pytest.raises(UserCodeError, match=r"offset=10 key=b'5' .*timestamp= failed: KeyError: 1"):
        decoded(taken, Guard("numbers:decode", stop, Failures()))


def test_a_time_too_far_ahead_of_the_clock_is_a_failing_record_and_moves_nothing() -> None:
    topic = TopicSpec(name="numbers", key_serde=BYTES, value_serde=BYTES, max_ahead_ms=100)
    queue = RecordQueue(SOURCE, topic, 0)
    run = FetchedColumns(
        keys=[None] * 3,
        values=[b"a", b"b", b"c"],
        timestamps_ms=[50, 1_101, 1_100],
        partition=SOURCE,
        offsets=[0, 1, 2],
        next_offset=3,
    )
    failures = Failures()

    queue.fill(run, 1_000)
    taken = queue.take(3)

    assert decoded(taken, guard(skip, failures)).values == [b"a", b"c"]
    assert list(taken.partition_times_ms) == [50, 50, 1_100]
    assert failures.counted == [("step", "skip")]


def test_keys_and_values_that_do_not_decode_are_left_to_the_guard_in_order() -> None:
    failures = Failures()
    taken = queue_of(b"1", b"?", b"3", b"4", keys=[b"1", b"2", b"?", None]).take(4)

    batch = decoded(taken, guard(skip, failures))

    assert (batch.keys, batch.values, list(batch.origins)) == ([1, None], [1, 4], [0, 3])
    assert len(failures.counted) == 2
    with pytest.raises(SerdeError, match="topic=numbers partition=1 offset=11"):
        decoded(taken, guard(stop))


def test_failures_outside_a_slice_are_not_its_own() -> None:
    queue = queue_of(b"?", b"2", b"?")
    failures = Failures()

    queue.done(queue.take(1), 1)
    batch = decoded(queue.take(1), guard(skip, failures))

    assert (batch.values, failures.counted) == ([2], [])


def test_the_position_moves_behind_what_is_done_and_at_the_end_behind_all_that_was_fetched() -> None:
    queue = queue_of(b"1", b"2")

    queue.done(queue.take(1), 1)
    assert (queue.position, queue.is_empty, queue.fetch_position) == (11, False, 17)

    taken = queue.take(1)
    assert (queue.position, queue.is_empty, queue.fetch_position) == (11, False, 17)

    queue.done(taken, 1)
    assert (queue.position, queue.is_empty, queue.fetch_position) == (17, True, 17)


def test_what_is_in_work_moves_the_position_as_far_as_it_is_done_and_holds_others_at_its_end() -> None:
    queue = queue_of(b"1", b"2", b"3", times_ms=[5, 9, 7])

    taken = queue.take(3)
    queue.done(taken, 2)

    assert (queue.position, queue.partition_time_ms, queue.is_empty) == (12, 9, False)
    assert queue.count_until(None) == 0
    assert queue.offered_time_ms(1) == 9

    queue.done(taken, 3)
    assert (queue.position, queue.is_empty) == (18, True)


def test_an_empty_run_moves_the_position_alone() -> None:
    queue = RecordQueue(SOURCE, queue_of().topic, 10)

    queue.fill(FetchedColumns([], [], [], None, partition=SOURCE, offsets=[], next_offset=14))

    assert (queue.position, queue.is_empty) == (14, True)


def test_a_buffer_offers_what_was_fetched_unless_it_is_at_the_end_of_its_partition() -> None:
    queue = queue_of(b"1", b"2", b"3", times_ms=[5, 6, 7])

    assert queue.offered_time_ms(2) == 6
    assert queue.offered_time_ms(3) == 7

    queue.caught_up = True

    assert queue.offered_time_ms(2) == 6
    assert queue.offered_time_ms(3) is None


def test_a_round_takes_the_records_of_its_last_order_key_up_to_one_input() -> None:
    queue = queue_of(b"1", b"2", b"3", b"4", times_ms=[5, 6, 6, 7])
    queue.rank = 2

    assert queue.count_until(None) == 4
    assert queue.count_until((6, 1)) == 1
    assert queue.count_until((6, 2)) == 3
    assert queue.count_until((6, 3)) == 3
    assert queue.count_until((4, 9)) == 0


def test_a_partition_that_holds_records_has_no_known_time_before_its_first_fetch() -> None:
    topic = queue_of().topic
    queue = RecordQueue(SOURCE, topic, 0, has_records=True)
    assert (queue.time_ms, queue.is_left_behind, queue.is_known) == (NOT_KNOWN, False, False)

    queue.fill(
        FetchedColumns([b"1"], [b"1"], [7], None, partition=SOURCE, offsets=[0], next_offset=1),
    )
    queue.done(queue.take(1), 1)
    assert (queue.time_ms, queue.is_left_behind, queue.is_known) == (7, False, True)


def test_a_partition_whose_records_were_all_aborted_is_not_waited_for() -> None:
    topic = queue_of().topic
    queue = RecordQueue(SOURCE, topic, 0, has_records=True)

    queue.caught_up = True

    assert (queue.time_ms, queue.is_left_behind, queue.is_known) == (NO_TIME, True, True)
