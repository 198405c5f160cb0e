"""The aggregation of a batch: by key, each change where a step reads it, one by one after an error."""

from __future__ import annotations

from typing import Any

import pytest

from streamcore.errors import UserCodeError
from streamcore.processing.dsl.declared_aggregation import aggregation_store
from streamcore.processing.operators.aggregate import AggregateOperator
from streamcore.processing.operators.tables import StoreHistory
from streamcore.processing.runtime.stores import write_back_of
from streamcore.processing.topology import aggregations, kept_aggregations
from streamcore.processing.topology.aggregator import Aggregator
from streamcore.processing.topology.error_policy import ErrorPolicy, skip, stop
from streamcore.state.memory import MemoryEngine
from streamcore.state.write_back import WriteBack
from tests.support.operator_parts import Failures, batch_of, guard


class Aggregation:
    """An operator with its store in memory."""

    def __init__(
        self,
        named: dict[str, Aggregator[Any, Any]],
        *,
        emits: bool = True,
        policy: ErrorPolicy = stop,
        history: StoreHistory | None = None,
    ) -> None:
        spec, _ = aggregation_store(
            "table", named, key_type=str, value_type=int, windows=None, into=tuple_of, single=False
        )
        self.failures = Failures()
        self.store: WriteBack[Any, Any] = write_back_of(MemoryEngine(), spec)
        self.operator = AggregateOperator(
            guard(policy, self.failures), self.store, spec, emits=emits, history=history
        )

    def updates(self, keys: str, *values: Any) -> list[Any] | None:
        batch = self.operator.process(batch_of(list(values), keys=list(keys)))
        return None if batch is None else list(zip(batch.keys, batch.values, strict=True))


def tuple_of(**named: Any) -> tuple[Any, ...]:
    """Return the results of the aggregations, in their order."""
    return tuple(named.values())


def odd(value: int) -> int | None:
    return value if value % 2 else None


def refusing(number: int) -> Aggregator[Any, Any]:
    """A sum that fails for one number."""

    def add(total: int, value: int) -> int:
        if value == number:
            raise ValueError(f"{number} is refused")
        return total + value

    return aggregations.aggregation(int, add)


def test_each_record_gives_the_result_of_its_key_so_far() -> None:
    table = Aggregation(
        {
            "records": aggregations.count(),
            "odd": aggregations.count(odd),
            "total": aggregations.sum(),
            "different": kept_aggregations.distinct(),
        }
    )

    assert table.updates("abaa", 1, 2, 3, 1) == [
        ("a", (1, 1, 1, 1)),
        ("b", (1, 0, 2, 1)),
        ("a", (2, 2, 4, 2)),
        ("a", (3, 3, 5, 2)),
    ]
    assert table.updates("b", 5) == [("b", (2, 1, 7, 2))]


def test_a_record_that_fails_leaves_no_trace_in_any_aggregation_of_its_key() -> None:
    table = Aggregation({"different": kept_aggregations.distinct(), "total": refusing(7)}, policy=skip)

    assert table.updates("aaaa", 1, 7, 2, 1) == [("a", (1, 1)), ("a", (2, 3)), ("a", (2, 4))]
    assert table.failures.counted == [("step", "skip")]
    assert table.updates("aa", 7, 3) == [("a", (3, 7))]


def test_an_error_names_the_record_that_failed() -> None:
    table = Aggregation({"total": refusing(7)})

    with pytest.raises(UserCodeError, match="offset=102"):
        table.updates("abc", 1, 2, 7)


def test_a_function_that_raises_stop_iteration_is_an_error_of_its_record() -> None:
    def add(total: int, value: int) -> int:
        if value == 2:
            raise StopIteration
        return total + value

    table = Aggregation({"total": aggregations.aggregation(int, add)}, policy=skip)

    assert table.updates("aaba", 1, 2, 5, 3) == [("a", (1,)), ("b", (5,)), ("a", (4,))]
    assert table.failures.counted == [("step", "skip")]


def test_a_function_of_the_user_is_called_once_for_each_record_of_a_new_key() -> None:
    calls: list[tuple[int, int]] = []

    def larger(first: int, second: int) -> int:
        calls.append((first, second))
        return max(first, second)

    table = Aggregation({"largest": aggregations.reducer(larger)})

    assert table.updates("aab", 1, 3, 5) == [("a", (1,)), ("a", (3,)), ("b", (5,))]
    assert calls == [(1, 3)]


@pytest.mark.parametrize("emits", [False, True])
def test_a_function_of_several_aggregations_is_called_once_for_each_record(emits: bool) -> None:
    calls: list[int] = []

    def odd_value(value: int) -> int | None:
        calls.append(value)
        return odd(value)

    named = {
        "odd": aggregations.count(odd_value),
        "largest": aggregations.max(odd_value),
        "different": kept_aggregations.distinct(odd_value),
    }
    table = Aggregation(named, emits=emits)

    table.updates("abaa", 1, 2, 3, 1)

    assert calls == [1, 2, 3, 1]
    assert table.operator.process(batch_of([], keys=[])) is None
    found = table.store.get("a")
    assert found is not None
    assert (*found[:2], len(found[2])) == (3, 3, 2)
    assert table.store.get("b") == (0, None, ())


def test_the_history_of_a_round_has_each_change_in_the_order_of_records() -> None:
    history = StoreHistory()
    history.is_wanted = True
    table = Aggregation({"total": aggregations.sum()}, emits=False, history=history)

    assert table.updates("aba", 1, 2, 3) is None

    wanted = ["a", "b", "a", "a", "b"]
    seen = history.as_of(wanted, [0, 0, 1, 2, 2], {})
    assert seen == [(1,), None, (1,), (4,), (2,)]


def test_the_changes_of_records_are_those_of_the_whole_batch_at_its_end() -> None:
    named = {"total": aggregations.sum(), "best": kept_aggregations.top(2, lambda value: value)}
    each, whole = Aggregation(named), Aggregation(named, emits=False)
    keys, values = "abcabcabba", [3, 1, 4, 1, 5, 9, 2, 6, 5, 3]

    each.updates(keys, *values)
    whole.updates(keys, *values)

    assert list(each.store.items()) == list(whole.store.items())


@pytest.mark.parametrize("emits", [False, True])
@pytest.mark.parametrize("keys", ["aabb", "ab"])
def test_a_start_value_that_cannot_be_made_is_an_error_of_the_record_that_needs_it(
    emits: bool, keys: str
) -> None:
    failing = [0]

    def start() -> int:
        if failing[0]:
            failing[0] -= 1
            raise ValueError("no start")
        return 0

    made = aggregations.aggregation(start, lambda total, value: total + value)
    table = Aggregation({"total": made}, emits=emits, policy=skip)
    failing[0] = 2  # the try with the whole batch, then its first record

    table.updates(keys, *range(1, len(keys) + 1))

    assert table.failures.counted == [("step", "skip")]
    assert table.store.get("a") == (None if keys == "ab" else (2,))
