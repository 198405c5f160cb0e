"""Batches: taking from them, and uniting paths that parted."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streamcore.processing.operators.batch import Batch, merged
from tests.support.operator_parts import batch_of


def columns(batch: Batch) -> tuple[object, ...]:
    return batch.keys, batch.values, batch.timestamps_ms, list(batch.origins), batch.headers


def test_taking_positions_takes_whole_records_and_may_repeat_them() -> None:
    batch = batch_of(["a", "b", "c"], keys=[1, 2, 3], headers=[(), (("h", b"x"),), ()])

    found = batch.take([1, 1, 2])

    assert columns(found) == (
        [2, 2, 3],
        ["b", "b", "c"],
        [1, 1, 2],
        [1, 1, 2],
        [(("h", b"x"),), (("h", b"x"),), ()],
    )


def test_flags_choose_whole_records() -> None:
    found = batch_of(["a", "b", "c"], keys=[1, 2, 3]).where([True, 0, "yes"])

    assert columns(found) == ([1, 3], ["a", "c"], [0, 2], [0, 2], None)


def test_nothing_united_is_nothing() -> None:
    assert merged([]) is None
    assert merged([batch_of([])]) is None


def test_one_batch_united_with_empty_ones_is_itself() -> None:
    batch = batch_of(["a"])

    assert merged([batch_of([]), batch, batch_of([])]) is batch


def test_paths_are_united_in_the_order_of_events_and_within_an_event_as_given() -> None:
    batch = batch_of(["a", "b", "c"])
    left = batch.take([0, 2]).with_values(["left a", "left c"])
    right = batch.take([0, 1, 1]).with_values(["right a", "right b", "again b"])

    united = merged([left, right])

    assert united is not None
    assert united.values == ["left a", "right a", "right b", "again b", "left c"]


def test_where_one_path_has_headers_the_others_records_have_none() -> None:
    with_headers = batch_of(["a", "b"], headers=[(("h", b"1"),), (("h", b"2"),)])
    without = Batch(["x"], ["x"], [0], [0], None, with_headers.source)

    united = merged([without, with_headers])

    assert united is not None
    assert united.headers == [(), (("h", b"1"),), (("h", b"2"),)]
    assert without.headers_at(0) == ()
    assert united.headers_at(2) == (("h", b"2"),)


@given(st.lists(st.lists(st.integers(0, 9)), max_size=4))
def test_uniting_is_a_stable_sort_by_event(paths: list[list[int]]) -> None:
    batch = batch_of(list(range(10)))
    parts = [
        batch.take(sorted(path)).with_values([(origin, number) for origin in sorted(path)])
        for number, path in enumerate(paths)
    ]

    united = merged(parts)

    found = [] if united is None else united.values
    assert found == sorted(value for part in parts for value in part.values)
