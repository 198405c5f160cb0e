"""A topic of another type is refused at the declaration, where no value of the stream can be written."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal, NamedTuple, NewType, TypedDict
from uuid import UUID

import msgspec
import pytest

import streamcore as sc
from streamcore.processing.dsl.fitting_types import can_be_written
from streamcore.serde import serde_for


@dataclass
class Order:
    cents: int


@dataclass
class Special(Order):
    reason: str = ""


class Struct(msgspec.Struct):
    cents: int


class Row(NamedTuple):
    cents: int


class Fields(TypedDict):
    cents: int


class Colour(enum.Enum):
    RED = "red"


class Text(enum.StrEnum):
    RED = "red"


Cents = NewType("Cents", int)

VALUES: list[tuple[Any, list[Any]]] = [
    (int, [1]),
    (bool, [True]),
    (float, [1.5]),
    (str, ["text"]),
    (bytes, [b"data"]),
    (Decimal, [Decimal("1.5")]),
    (datetime, [datetime(2020, 1, 1, tzinfo=UTC)]),
    (date, [date(2020, 1, 1)]),
    (UUID, [UUID(int=7)]),
    (Colour, [Colour.RED]),
    (Text, [Text.RED]),
    (Order, [Order(1), Special(1)]),
    (Struct, [Struct(1)]),
    (Row, [Row(1)]),
    (Fields, [{"cents": 1}]),
    (dict, [{}, {"cents": 1}]),
    (dict[str, int], [{}, {"cents": 1}]),
    (list, [[], [1]]),
    (list[int], [[], [1]]),
    (tuple[int, str], [(1, "a")]),
    (set[int], [set(), {1}]),
]


@pytest.mark.parametrize("wanted", [found for found, _ in VALUES], ids=str)
def test_a_type_is_refused_only_if_none_of_its_values_can_be_written(wanted: Any) -> None:
    serde = serde_for(wanted)
    refused = [found for found, _ in VALUES if not can_be_written(found, serde, wanted)]

    for found, values in VALUES:
        for value in values:
            try:
                serde.encode(value)
            except Exception:  # noqa: BLE001 - whatever the serde raises
                continue
            assert found not in refused

    assert wanted not in refused
    assert len(refused) >= len(VALUES) // 2


@pytest.mark.parametrize(
    "found", [None, Any, object, int | None, Cents, Annotated[int, "cents"], Literal[1, "a"], int | str]
)
def test_a_type_that_may_fit_is_left_to_the_check_of_each_record(found: Any) -> None:
    assert can_be_written(found, serde_for(int), int)


@pytest.mark.parametrize(
    "found", [str | None, Annotated[str, "text"], Literal["a"], str | bytes, NewType("Name", str)]
)
def test_a_type_of_which_no_part_fits_is_refused(found: Any) -> None:
    assert not can_be_written(found, serde_for(int), int)


@pytest.mark.parametrize("wanted", [None, Any, object])
def test_an_untyped_topic_takes_what_comes(wanted: Any) -> None:
    assert can_be_written(str, serde_for(wanted), serde_for(wanted).value_type)


def test_a_topic_with_a_serde_of_the_user_takes_what_comes() -> None:
    serde = sc.Serde(lambda value: b"", lambda data: 0)

    assert can_be_written(str, serde, serde.value_type)


def test_none_is_a_tombstone_in_every_topic() -> None:
    assert can_be_written(type(None), serde_for(int), int)
