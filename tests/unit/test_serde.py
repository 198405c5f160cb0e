"""Values as bytes, by the type that a topic or table declares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamcore.errors import SerdeError, UsageError
from streamcore.serde import SERDES_BY_NAME, UNTYPED, Serde, serde_for


@dataclass(frozen=True, slots=True)
class Point:
    x: int
    y: int | None = None


class Order(msgspec.Struct, frozen=True):
    id: str
    amount: float


class Customer(pydantic.BaseModel):
    name: str
    age: int


@pytest.mark.parametrize("codec", ["json", "msgpack"])
@pytest.mark.parametrize(
    ("declared", "value"),
    [
        (bytes, b"\x00raw"),
        (str, "grün"),
        (int, 2**70),
        (int, -1),
        (float, 0.5),
        (float, 3),
        (dict, {"a": [1, None]}),
        (list, [1, "a"]),
        (Point, Point(1)),
        (Order, Order("o1", 2.5)),
        (Customer, Customer(name="Ada", age=36)),
        (list[int], [1, 2]),
    ],
)
def test_a_declared_type_comes_back_as_it_was(declared: Any, value: Any, codec: str) -> None:
    if codec == "msgpack" and value == 2**70:
        pytest.skip("MessagePack holds 64 bit")
    serde = serde_for(declared, codec=codec)

    found = serde.decode(serde.encode(value))

    assert found == value


def test_bytes_and_text_are_stored_as_they_are() -> None:
    assert serde_for(bytes).encode(b"a\x00") == b"a\x00"
    assert serde_for(bytes).encode(bytearray(b"a")) == b"a"
    assert serde_for(str).encode("grün") == "grün".encode()
    assert serde_for(str, codec="msgpack").name == "str"


def test_typed_values_are_json_unless_the_codec_says_otherwise() -> None:
    assert serde_for(Point).encode(Point(1, 2)) == b'{"x":1,"y":2}'
    assert serde_for(Point, codec="msgpack").encode(Point(1, 2)) == b"\x82\xa1x\x01\xa1y\x02"


@pytest.mark.parametrize(
    ("declared", "value"),
    [
        (bytes, "text"),
        (str, b"bytes"),
        (int, "1"),
        (int, True),
        (float, "1"),
        (Point, {"x": 1}),
        (Order, Point(1)),
        (Customer, {"name": "Ada"}),
    ],
)
def test_a_value_of_another_type_is_refused_when_it_is_written(declared: Any, value: Any) -> None:
    with pytest.raises(SerdeError, match="expected"):
        serde_for(declared).encode(value)


@pytest.mark.parametrize("declared", [int, Point, Order, Customer, dict])
def test_bytes_of_another_type_do_not_decode(declared: Any) -> None:
    with pytest.raises(Exception, match=r".+"):
        serde_for(declared).decode(b'"text"')


def test_a_type_that_no_codec_can_hold_is_refused_where_it_is_declared() -> None:
    class Opaque(msgspec.Struct):
        function: (
            type[int] | int | msgspec.Raw | Point | Order
        )  # two classes of objects: nothing tells them apart

    with pytest.raises(UsageError, match="declare bytes, str, int"):
        serde_for(Opaque)


def test_an_unknown_codec_is_refused() -> None:
    with pytest.raises(UsageError, match="codec='xml'"):
        serde_for(Point, codec="xml")


def test_a_serde_of_ones_own_is_taken_as_it_is() -> None:
    own = Serde(encode=lambda value: str(value).encode(), decode=lambda data: int(data))

    assert serde_for(own) is own
    assert own.name == "custom"


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text() | st.integers(0, 9), inner, max_size=3)
        | st.tuples(inner, inner)
    ),
    max_leaves=8,
)


@given(plain)
def test_plain_data_without_a_declared_type_comes_back_as_it_was_tuples_too(value: Any) -> None:
    found = UNTYPED.decode(UNTYPED.encode(value))

    assert repr(found) == repr(value)


@pytest.mark.parametrize("value", [Point(1), Order("o", 1.0), {1, 2}, object()])
def test_what_would_come_back_as_something_else_needs_a_declared_type(value: Any) -> None:
    with pytest.raises(SerdeError, match="declare its type"):
        UNTYPED.encode(value)


def test_tools_read_stored_values_by_the_name_of_their_serde() -> None:
    stored = serde_for(Point).encode(Point(1, 2))

    assert SERDES_BY_NAME[serde_for(Point).name].decode(stored) == {"x": 1, "y": 2}
    assert SERDES_BY_NAME["msgpack"].decode(UNTYPED.encode((1, "a"))) == (1, "a")


@dataclass(frozen=True)
class Tree:
    weight: float | None
    children: list[Tree]
    note: str | None = None


class Measure(pydantic.BaseModel):
    size: float


@pytest.mark.parametrize("lost", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize(
    ("declared", "make"),
    [
        (float, lambda number: number),
        (dict, lambda number: {"a": [number]}),
        (dict[str, float], lambda number: {"a": number}),
        (Order, lambda number: Order("a", number)),
        (Tree, lambda number: Tree(1.0, [Tree(number, [])])),
        (Measure, lambda number: Measure(size=number)),
    ],
)
def test_numbers_that_json_cannot_hold_are_refused_and_messagepack_keeps_them(
    declared: Any, make: Any, lost: float
) -> None:
    with pytest.raises(SerdeError, match="codec='msgpack'"):
        serde_for(declared).encode(make(lost))
    if declared is not Measure:
        packed = serde_for(declared, codec="msgpack")
        assert repr(packed.decode(packed.encode(make(lost)))) == repr(make(lost))


def test_nulls_and_the_word_null_are_not_mistaken_for_lost_numbers() -> None:
    serde = serde_for(Tree)
    for tree in (Tree(None, [Tree(2.5, [])]), Tree(1.0, [], "null")):
        assert serde.decode(serde.encode(tree)) == tree


def test_an_untyped_integer_beyond_64_bits_is_refused_as_one() -> None:
    with pytest.raises(SerdeError, match="64 bits"):
        UNTYPED.encode(2**70)
