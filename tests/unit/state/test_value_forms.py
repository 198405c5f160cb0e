"""Forms of stored values: what they hold, and which of them another declaration can read."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Any, Literal

import msgspec
import pytest

from streamcore.state.value_forms import Form, difference, form_of, merged


@dataclass
class Order:
    item: str
    amount: int


@dataclass
class OrderWithNote:
    item: str
    amount: int
    note: str = ""


@dataclass
class OrderWithSize:
    item: str
    amount: int
    size: int


@dataclass
class Item:
    item: str


class Node(msgspec.Struct):
    value: int
    next: Node | None = None


class Pair(msgspec.Struct, array_like=True):
    first: int
    second: str


class Triple(msgspec.Struct, array_like=True):
    first: int
    second: str
    third: int = 0


class Turned(msgspec.Struct, array_like=True):
    second: str
    first: int


class Strict(msgspec.Struct, forbid_unknown_fields=True):
    item: str


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Only(Enum):
    RED = "red"


def form(value_type: Any) -> Form:
    found = form_of(value_type)
    assert found is not None
    return found


READABLE = [
    (int, float),
    (int, int | None),
    (Order, OrderWithNote),
    (OrderWithNote, Order),
    (Order, Item),
    (list[Order], list[OrderWithNote]),
    (dict[str, Order], dict[str, Item]),
    (tuple[int, Order], tuple[float, Item]),
    (int | None, int | str | None),
    (Only, Colour),
    (Literal["a"], Literal["a", "b"]),
    (Pair, Triple),
    (Any, Order),
    (dict[str, list[int]], Any),
    (Node, Node),
]

UNREADABLE = [
    (int, str, "the value was int and is str now"),
    (float, int, "the value was float and is int now"),
    (int | None, int, "the value may not be none any more"),
    (Order, OrderWithSize, "has a new field 'size' without a default"),
    (OrderWithNote, Strict, "had a field"),
    (list[Order], list[OrderWithSize], "an item of the value has a new field 'size'"),
    (dict[str, int], dict[str, str], "an entry of the value was int"),
    (dict[str, int], dict[int, int], "a key of the value was str"),
    (tuple[int, int], tuple[int, int, int], "had 2 items and has 3 now"),
    (list[int], set[int], "the value was list"),
    (Colour, Only, "may not be 'blue' any more"),
    (Pair, Turned, "the order of the fields"),
    (Pair, Order, "written in another way"),
    (datetime, Any, "is untyped now"),
    (dict[int, int], Any, "is untyped now"),
    (Decimal, float, "the value was decimal and is float now"),
    (Order, int, "was an object of item, amount"),
]


@pytest.mark.parametrize(("stored", "declared"), READABLE, ids=str)
def test_values_can_be_read_under_a_form_that_holds_them(stored: Any, declared: Any) -> None:
    assert difference(form(stored), form(declared)) is None


@pytest.mark.parametrize(("stored", "declared", "reason"), UNREADABLE, ids=str)
def test_values_cannot_be_read_under_another_form_and_the_reason_names_the_place(
    stored: Any, declared: Any, reason: str
) -> None:
    found = difference(form(stored), form(declared))

    assert found is not None
    assert reason in found


@pytest.mark.parametrize("value_type", [stored for stored, _ in READABLE], ids=str)
def test_a_form_survives_json(value_type: Any) -> None:
    assert msgspec.json.decode(msgspec.json.encode(form(value_type))) == form(value_type)


def test_a_field_that_a_class_lost_is_remembered_when_its_name_comes_back() -> None:
    @dataclass
    class AmountAsText:
        item: str
        amount: str = ""

    kept = merged(form(Order), form(Item))

    assert kept is not None
    assert difference(kept, form(Order)) == "the field 'amount' of the value has no default any more"
    assert "the field 'amount' of the value was int" in (difference(kept, form(AmountAsText)) or "")


def test_a_field_that_came_later_never_loses_its_default() -> None:
    @dataclass
    class NoteRequired:
        item: str
        amount: int
        note: str

    kept = merged(form(Order), form(OrderWithNote))

    assert kept is not None
    assert difference(kept, form(NoteRequired)) == "the field 'note' of the value has no default any more"


def test_a_custom_serde_has_no_form() -> None:
    assert form_of(None) is None
    assert merged(None, form(int)) == form(int)


def test_a_pydantic_model_is_compared_by_its_fields() -> None:
    pydantic = pytest.importorskip("pydantic")
    before = pydantic.create_model("Order", item=(str, ...), amount=(int, ...))
    after = pydantic.create_model("Order", item=(str, ...), amount=(int, ...), size=(int, ...))
    with_default = pydantic.create_model("Order", item=(str, ...), amount=(int, ...), size=(int, 1))

    assert difference(form(before), form(with_default)) is None
    assert "new field 'size'" in (difference(form(before), form(after)) or "")
