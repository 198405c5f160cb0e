"""What each error policy does about a record that fails, and which record an error names."""

from __future__ import annotations

from typing import Any

import pytest

from streamcore.errors import SerdeError, UserCodeError
from streamcore.processing.operators.guard import Guard, each
from streamcore.processing.topology.error_policy import ErrorPolicy, dead_letter, retry, skip, stop
from tests.support.operator_parts import Failures, Fetched, batch_of, guard


def fails_on_odd(value: int) -> int:
    if value % 2:
        raise ValueError(f"{value} is odd")
    return value * 10


class FailsTimes:
    """A function that fails so many times before it works."""

    def __init__(self, times: int) -> None:
        self.left = times

    def __call__(self, value: int) -> int:
        if self.left:
            self.left -= 1
            raise ConnectionError("not yet")
        return value * 10


def test_without_failures_every_record_stays() -> None:
    batch = batch_of([2, 4])

    assert guard().map(fails_on_odd, batch.values, batch) == ([20, 40], None)


def test_no_records_are_no_work() -> None:
    batch = batch_of([])

    assert guard().map(fails_on_odd, batch.values, batch) == ([], None)


@pytest.mark.parametrize("values", [[1], [1, 2], [2, 1], [2, 1, 4], [1, 1, 1], [2, 4, 7]])
def test_skip_leaves_failing_records_out_wherever_they_stand(values: list[int]) -> None:
    failures = Failures()
    batch = batch_of(values)

    results, kept = guard(skip, failures).map(fails_on_odd, batch.values, batch)

    assert results == [value * 10 for value in values if value % 2 == 0]
    assert kept == [position for position, value in enumerate(values) if value % 2 == 0]
    assert failures.counted == [("step", "skip")] * sum(value % 2 for value in values)


def test_a_record_after_a_failing_one_is_called_once() -> None:
    called: list[int] = []

    def function(value: int) -> int:
        called.append(value)
        return fails_on_odd(value)

    batch = batch_of([2, 3, 4, 5, 6])

    guard(skip).map(function, batch.values, batch)

    assert called == [2, 3, 4, 5, 6]


def test_stop_names_the_record_that_failed_and_keeps_its_cause() -> None:
    batch = batch_of([2, 4, 7, 9])

    with pytest.raises(UserCodeError) as stopped:
        guard(stop).map(fails_on_odd, batch.values, batch)

    message = str(stopped.value)
    assert (
        "node=step topic=in partition=3 offset=102 key=b'k' value=b'7' error=ValueError: 7 is odd" in message
    )
    assert isinstance(stopped.value.__cause__, ValueError)


def test_the_record_named_is_the_one_in_the_log_that_a_record_was_made_from() -> None:
    batch = batch_of([2, 4, 6]).take([0, 2, 2]).with_values([2, 4, 5])

    with pytest.raises(UserCodeError, match=r"offset=102 key=b'k' value=b'6' error=ValueError: 5 is odd"):
        guard(stop).map(fails_on_odd, batch.values, batch)


def test_a_long_value_is_shown_by_its_start() -> None:
    batch = batch_of(["x" * 500])

    with pytest.raises(UserCodeError, match=r"x{70,80}\"\.\.\.\(502 bytes\)"):
        guard(stop).map(int, batch.values, batch)


def test_a_value_that_does_not_encode_is_a_serde_error() -> None:
    def refuse(value: Any) -> bytes:
        raise SerdeError("expected str")

    batch = batch_of([1])

    with pytest.raises(SerdeError, match="error=SerdeError: expected str"):
        guard(stop).map(refuse, batch.values, batch)


def test_bytes_that_do_not_decode_are_named_after_their_topic() -> None:
    batch = batch_of([1])
    decoding = Guard("orders:decode", stop, Failures())

    with pytest.raises(SerdeError, match=r"bytes do not decode.*node=orders topic=in"):
        decoding.failed(batch, 0, ValueError("bad"))


def test_a_dead_letter_goes_to_its_topic_and_the_record_is_left_out() -> None:
    failures = Failures()
    batch = batch_of([1, 2])

    results, kept = guard(dead_letter("dead"), failures).map(fails_on_odd, batch.values, batch)

    assert (results, kept) == ([20], [1])
    assert failures.dead == [("dead", 1, "step", "ValueError('1 is odd')")]
    assert failures.counted == [("step", "dead_letter")]


def test_a_retry_that_works_keeps_the_record_in_its_place() -> None:
    failures = Failures()
    batch = batch_of([1, 2, 3])

    results, kept = guard(retry(3, "100ms"), failures).map(FailsTimes(2), batch.values, batch)

    assert (results, kept) == ([10, 20, 30], None)
    assert failures.counted == [("step", "retry")] * 2


def test_each_retry_waits_twice_as_long_and_the_last_failure_stops() -> None:
    failures = Failures()
    batch = batch_of([1])

    with pytest.raises(UserCodeError, match=r"offset=100.*ConnectionError: not yet"):
        guard(retry(3, "100ms"), failures).map(FailsTimes(9), batch.values, batch)

    assert failures.waited_ms == [100, 200, 400]


def test_a_retry_of_bytes_that_do_not_decode_would_change_nothing_and_stops() -> None:
    failures = Failures()

    with pytest.raises(SerdeError):
        Guard("orders:decode", retry(3), failures).failed(batch_of([1]), 0, ValueError("bad"))

    assert failures.waited_ms == []


@pytest.mark.parametrize("values", [[1, 2, 3], [2, 3, 1], [1], [3, 2, 2, 1]])
def test_stop_iteration_from_user_code_is_a_failure_and_ends_nothing(values: list[int]) -> None:
    def function(value: int) -> int:
        if value == 1:
            raise StopIteration
        return value

    batch = batch_of(values)

    results, _ = guard(skip).map(function, batch.values, batch)

    assert results == [value for value in values if value != 1]


def test_what_is_no_failure_of_the_code_passes_through() -> None:
    def interrupted(value: int) -> int:
        raise KeyboardInterrupt

    batch = batch_of([1])

    with pytest.raises(KeyboardInterrupt):
        guard(skip).map(interrupted, batch.values, batch)


def test_an_attempt_gives_all_results_or_none() -> None:
    def ends(value: int) -> int:
        raise StopIteration

    assert guard().attempt(fails_on_odd, [2, 4]) == [20, 40]
    assert guard().attempt(fails_on_odd, [2, 5]) is None
    assert guard().attempt(ends, [2]) is None


def test_each_puts_a_result_where_a_call_failed() -> None:
    assert each(fails_on_odd, [2, 3, 4], lambda position, error: (position, str(error))) == [
        20,
        (1, "3 is odd"),
        40,
    ]


def test_records_without_a_key_or_a_value_are_left_out_and_counted() -> None:
    failures = Failures()
    step = guard(failures=failures)

    keyed = step.with_keys(batch_of(["a", None, "c"], keys=[None, 2, 3]))
    full = step.with_values(keyed)

    assert (full.keys, full.values, list(full.origins)) == ([3], ["c"], [2])
    assert failures.left_out == [("step", "null_key", 1), ("step", "null_value", 1)]


def test_a_batch_that_lacks_nothing_stays_the_same_object_and_is_not_looked_through_again() -> None:
    batch = batch_of([0, ""], keys=[0, ""])
    step = guard()

    assert step.with_times(step.with_values(step.with_keys(batch))) is batch
    assert batch.has_no_nulls
    assert batch.take([1]).with_keys(["k"]).where([True]).has_no_nulls
    assert not batch.with_values([None, None]).has_no_nulls


def test_values_are_told_from_none_by_identity() -> None:
    class Strange:
        def __eq__(self, other: object) -> bool:
            raise AssertionError("compared")

        __hash__ = None  # type: ignore[assignment]

    batch = batch_of([Strange()], keys=["k"])

    assert guard().with_values(batch) is batch


@pytest.mark.parametrize(
    ("declared", "expected"), [(skip, [("step", "skip")]), (None, [("step", "dead_letter")])]
)
def test_a_missing_time_is_left_to_the_policy_of_the_topic_and_then_of_the_step(
    declared: ErrorPolicy | None, expected: list[tuple[str, str]]
) -> None:
    failures = Failures()
    batch = batch_of(["a", "b", "c"])
    batch.timestamps_ms = [5, -1, 7]
    assert isinstance(batch.source, Fetched)
    batch.source.on_error = declared

    rest = guard(dead_letter("dead"), failures).with_times(batch)

    assert rest.values == ["a", "c"]
    assert failures.counted == expected


def test_a_missing_time_stops_with_what_to_do_and_the_record() -> None:
    batch = batch_of(["a"])
    batch.timestamps_ms = [-1]

    with pytest.raises(UserCodeError, match=r"has no time.*declare timestamp=.*|offset=100 key=b'k'"):
        guard().with_times(batch)
