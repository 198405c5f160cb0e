"""The values of each group of records, column by column."""

from __future__ import annotations

import pytest

from streamcore.processing.operators.groups import GroupedColumns, grouped


def test_the_records_of_a_key_are_a_group_in_their_order() -> None:
    assert grouped(["a", "b", "a"]) == {"a": [0, 2], "b": [1]}


@pytest.mark.parametrize("groups", [{"a": [0, 2], "b": [1]}, {"a": [1], "b": [0], "c": [2]}, {}])
def test_a_column_is_cut_into_the_values_of_each_group(groups: dict[str, list[int]]) -> None:
    columns = GroupedColumns(groups)

    numbers, values = columns.values([10, 11, 12], skips_none=True)

    assert numbers is None
    assert values == [[10 + index for index in indexes] for indexes in groups.values()]


def test_only_the_groups_that_have_a_value_are_left_of_a_column_with_none() -> None:
    columns = GroupedColumns({"a": [0, 2], "b": [1], "c": [3, 4, 5], "d": [6]})
    column = [None, None, 12, 13, None, 15, None]

    assert columns.values(column, skips_none=True) == ([0, 2], [[12], [13, 15]])
    assert columns.values(column, skips_none=False) == (None, [[None, 12], [None], [13, None, 15], [None]])


def test_a_record_can_be_in_several_groups() -> None:
    columns = GroupedColumns({0: [0, 1], 1: [1, 2], 2: [2]})

    assert columns.values([5, None, 7], skips_none=True) == ([0, 1, 2], [[5], [7], [7]])
