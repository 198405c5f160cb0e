"""The type of the items of annotated iterables."""

from __future__ import annotations

import collections
from collections.abc import Collection, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple, TypeVar

import pytest

import streamcore as sc
from streamcore.processing.dsl.declaration import item_type
from streamcore.testing import TopologyDriver

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Row:
    number: int


class Rows(list[Row]):
    pass


class Pair(NamedTuple):
    left: int
    right: str


@pytest.mark.parametrize(
    ("annotation", "item"),
    [
        (list[Row], Row),
        (tuple[Row, ...], Row),
        (tuple[Row], Row),
        (tuple[Row, Row], Row),
        (tuple[int, str], int | str),
        (Generator[Row, None, None], Row),
        (Generator[Row, Any, int], Row),
        (Iterator[Row], Row),
        (Iterable[Row], Row),
        (Iterable[Row | None], Row),
        (Sequence[Row], Row),
        (Collection[Row], Row),
        (set[int], int),
        (frozenset[int], int),
        (collections.deque[Row], Row),
        (collections.Counter[str], str),
        (dict[str, Row], str),
        (Mapping[str, Row], str),
        (list[Row] | tuple[Row, ...], Row),
        (list[Row] | None, Row),
        (Annotated[list[Row], "rows"], Row),
        (Rows, Row),
        (list[list[Row]], list[Row]),
        (str, str),
        (bytes, int),
        (list, None),
        (list[Any], None),
        (list[T], None),  # type: ignore[valid-type]
        (tuple, None),
        (tuple[Row, Any], None),
        (Pair, None),
        (None, None),
    ],
)
def test_the_item_type_is_that_of_what_an_iteration_gives(annotation: Any, item: Any) -> None:
    assert item_type(annotation) == item


def test_rows_that_a_generator_yields_go_through_a_repartition_topic_with_their_type() -> None:
    app = sc.App("rows")
    numbers = app.topic("numbers", key=str, value=int)

    @numbers.flat_map
    def rows(number: int) -> Generator[Row, None, None]:
        yield from map(Row, range(number))

    @rows.flat_map
    def twice(row: Row) -> tuple[Row, ...]:
        return (row, row)

    twice.group_by(lambda row: row.number, key=int).aggregate("last", row=sc.last())

    with TopologyDriver(app) as driver:
        driver.send(numbers, key="k", value=2)

        assert [answer.value.row for answer in driver.table("last").all()] == [Row(0), Row(1)]
