"""The operators without state, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from streamcore.errors import UserCodeError
from streamcore.model import Record
from streamcore.processing.operators.stateless import (
    BranchOperator,
    FilterOperator,
    FlatMapOperator,
    ForeachOperator,
    GroupByOperator,
    MapOperator,
    MapRecordOperator,
    PeekOperator,
    SplitOperator,
)
from streamcore.processing.topology.error_policy import dead_letter, retry, skip
from tests.support.operator_parts import Failures, batch_of, guard


def fails_on_two(value: int) -> int:
    if value == 2:
        raise ValueError("two")
    return value * 10


def test_map_replaces_values_and_leaves_out_those_that_fail() -> None:
    found = MapOperator(guard(skip), fails_on_two).process(batch_of([1, 2, 3], keys=["a", "b", "c"]))

    assert (found.keys, found.values, list(found.origins)) == (["a", "c"], [10, 30], [0, 2])


def test_filter_keeps_what_is_true_in_the_sense_of_python_and_filter_not_the_rest() -> None:
    batch = batch_of([0, 1, "", "x", None])

    kept = FilterOperator(guard(), lambda value: value, negated=False).process(batch)
    left = FilterOperator(guard(), lambda value: value, negated=True).process(batch)

    assert kept.values == [1, "x"]
    assert left.values == [0, "", None]


def test_a_record_whose_filter_fails_is_in_neither_half() -> None:
    batch = batch_of([1, 2, 3])

    kept = FilterOperator(guard(skip), fails_on_two, negated=False).process(batch)
    left = FilterOperator(guard(skip), fails_on_two, negated=True).process(batch)

    assert (kept.values, left.values) == ([1, 3], [])


def test_a_record_goes_to_the_first_arm_that_takes_it_or_to_the_rest() -> None:
    def small(value: int) -> bool:
        return value < 3

    def even(value: int) -> bool:
        return value % 2 == 0

    split = SplitOperator([(guard(), small), (guard(), even)]).process(batch_of([1, 2, 3, 4]))

    arms = [BranchOperator(arm).process(split) for arm in range(3)]
    assert [arm.values for arm in arms] == [[1, 2], [4], [3]]
    assert [arm.keys for arm in arms] == [[1, 2], [4], [3]]


def test_the_function_of_an_arm_is_called_once_for_each_value_that_no_earlier_arm_took() -> None:
    called: list[tuple[str, int]] = []

    def arm(name: str, take: int) -> Callable[[int], bool]:
        def test(value: int) -> bool:
            called.append((name, value))
            return value == take

        return test

    split = SplitOperator([(guard(), arm("a", 1)), (guard(), arm("b", 2))])
    split.process(batch_of([1, 2, 3]))

    assert called == [("a", 1), ("a", 2), ("a", 3), ("b", 2), ("b", 3)]


def test_a_value_that_fails_in_an_arm_is_in_no_arm_and_fails_once() -> None:
    failures = Failures()
    policy = dead_letter("dead")
    arms = [
        (guard(policy, failures), lambda value: 10 // value > 5),
        (guard(policy, failures), lambda value: 10 // (value - 3) > 5),
    ]

    split = SplitOperator(arms).process(batch_of([0, 1, 2, 3, 4]))

    assert [arm for arm, _ in split.values] == [0, 2, 1]
    assert [value for _, value in split.values] == [1, 2, 4]
    assert [value for _, value, _, _ in failures.dead] == [0, 3]


def test_flat_map_makes_any_number_of_values_that_keep_key_time_and_place() -> None:
    found = FlatMapOperator(guard(), lambda value: range(value)).process(
        batch_of([2, 0, 1], keys=["a", "b", "c"])
    )

    assert found.values == [0, 1, 0]
    assert found.keys == ["a", "a", "c"]
    assert list(found.origins) == [0, 0, 2]
    assert found.timestamps_ms == [0, 0, 2]


def test_a_generator_that_fails_half_way_gives_nothing_for_its_record() -> None:
    def half(value: int) -> Iterator[int]:
        yield value
        fails_on_two(value)

    assert FlatMapOperator(guard(skip), half).process(batch_of([1, 2, 3])).values == [1, 3]


@pytest.mark.parametrize(
    ("counts", "keys"), [([1, 1, 1], "abc"), ([1, 0, 1], "ac"), ([0, 0, 0], ""), ([0, 2, 1], "bbc")]
)
def test_flat_map_repeats_a_record_for_each_of_its_values(counts: list[int], keys: str) -> None:
    batch = batch_of(counts, keys=list("abc"), headers=[((name, b""),) for name in "abc"])

    found = FlatMapOperator(guard(), lambda count: ("v",) * count).process(batch)

    assert found.keys == list(keys)
    assert found.values == ["v"] * len(keys)
    assert found.headers == [((name, b""),) for name in keys]
    assert list(found.origins) == found.timestamps_ms == ["abc".index(name) for name in keys]


def test_flat_map_takes_a_result_before_the_function_is_called_again() -> None:
    shared: list[int] = []

    def so_far(value: int) -> list[int]:
        shared.append(value)
        return shared

    found = FlatMapOperator(guard(), so_far).process(batch_of([1, 2, 3]))

    assert found.values == [1, 1, 2, 1, 2, 3]


def test_a_retry_of_flat_map_calls_the_function_and_takes_its_result_again() -> None:
    calls: list[int] = []

    def fails_at_first(value: int) -> Iterator[int]:
        calls.append(value)
        yield value
        if calls.count(value) == 1 and value == 2:
            raise ValueError("not yet")

    found = FlatMapOperator(guard(retry(1)), fails_at_first).process(batch_of([1, 2, 3]))

    assert (found.values, calls) == ([1, 2, 3], [1, 2, 2, 3])


def test_peek_passes_values_on_and_foreach_ends_the_stream() -> None:
    seen: list[int] = []

    passed = PeekOperator(guard(), seen.append).process(batch_of([1, 2]))
    ended = ForeachOperator(guard(), seen.append).process(batch_of([3]))

    assert seen == [1, 2, 3]
    assert passed.values == [1, 2]
    assert len(ended) == 0


def test_group_by_gives_keys_and_may_give_none() -> None:
    found = GroupByOperator(guard(), lambda value: value or None).process(batch_of([0, 1], keys=["a", "b"]))

    assert (found.keys, found.values) == ([None, 1], [0, 1])


def test_map_record_sees_where_a_record_stood_and_may_change_all_but_that() -> None:
    seen: list[Record[str, int]] = []

    def changed(record: Record[str, int]) -> Record[str, int]:
        seen.append(record)
        return Record("new", record.value + 1, 99, (("h", b"x"),))

    found = MapRecordOperator(guard(), changed, flat=False).process(
        batch_of([1], keys=["a"], headers=[(("g", None),)])
    )

    assert seen == [Record("a", 1, 0, (("g", None),), "in", 3, 100)]
    assert (found.keys, found.values, found.timestamps_ms, found.headers) == (
        ["new"],
        [2],
        [99],
        [(("h", b"x"),)],
    )


def test_a_record_made_without_a_time_has_that_of_the_one_it_was_made_from() -> None:
    found = MapRecordOperator(guard(), lambda record: Record("k", record.value), flat=False).process(
        batch_of([7, 8])
    )

    assert (found.timestamps_ms, found.headers) == ([0, 1], None)


def test_flat_map_record_makes_any_number_of_records() -> None:
    def copies(record: Record[int, int]) -> Iterator[Record[int, int]]:
        for number in range(record.value):
            yield Record(number, record.value)

    found = MapRecordOperator(guard(), copies, flat=True).process(batch_of([2, 0, 1]))

    assert (found.keys, found.values, list(found.origins)) == ([0, 1, 0], [2, 2, 1], [0, 0, 2])


def test_what_is_no_record_is_refused_with_what_to_return() -> None:
    with pytest.raises(UserCodeError, match=r"return sc.Record from this step: given=int"):
        MapRecordOperator(guard(), lambda record: 1, flat=False).process(batch_of([1]))


def test_a_function_that_leaves_a_coroutine_or_generator_fails_its_records() -> None:
    async def is_big(value: int) -> bool:
        return value > 1

    def each(value: int) -> Iterator[int]:
        yield value

    for unfinished in (lambda value: is_big(value), lambda value: each(value)):
        for operator in (
            MapOperator(guard(), unfinished),
            FilterOperator(guard(), unfinished, negated=False),
            PeekOperator(guard(), unfinished),
            ForeachOperator(guard(), unfinished),
            GroupByOperator(guard(), unfinished),
            SplitOperator([(guard(), unfinished)]),
        ):
            with pytest.raises(UserCodeError, match=r"await in an agent.*returned="):
                operator.process(batch_of([1, 2]))
    assert MapOperator(guard(skip), lambda value: is_big(value)).process(batch_of([1, 2])).values == []
