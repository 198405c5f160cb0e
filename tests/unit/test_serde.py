"""Values as bytes, by the type that a topic or table declares."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, NamedTuple, NotRequired, Protocol, TypedDict, TypeVar
from uuid import UUID

import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamcore.errors import SerdeError, UsageError
from streamcore.serde import SERDES_BY_NAME, UNTYPED, Serde, serde_for, value_check
from streamcore.value_checks import ValueCheck

T = TypeVar("T")


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


def test_a_serde_of_ones_own_is_equal_wherever_it_is_declared() -> None:
    own = Serde(encode=lambda value: str(value).encode(), decode=lambda data: int(data))

    taken = serde_for(own)

    assert taken == serde_for(own) == serde_for(taken)
    assert taken.decode is own.decode
    assert (taken.encode(5), taken.name) == (b"5", "custom")


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_bytes_of_any_kind_from_a_serde_of_ones_own_are_copied(kind: Any) -> None:
    assert serde_for(Serde(encode=lambda value: kind(b"v"), decode=bytes)).encode(1) == b"v"


@pytest.mark.parametrize("data", [5, "text", None, [1], b"v".hex])
def test_what_is_no_bytes_from_a_serde_of_ones_own_is_refused_where_it_is_encoded(data: Any) -> None:
    with pytest.raises(SerdeError, match=f"must return bytes: given={type(data).__name__}"):
        serde_for(Serde(encode=lambda value: data, decode=bytes)).encode(1)


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


@pytest.mark.parametrize(
    "value",
    [
        2**70,
        -(2**200),
        [Decimal("1.50"), {"at": datetime(2024, 1, 1, tzinfo=timezone(timedelta(hours=2)))}],
        (date(2024, 2, 29), time(1, 2), timedelta(days=-3, microseconds=7), UUID(int=5), datetime(1, 1, 1)),
    ],
)
def test_untyped_values_of_the_standard_types_come_back_as_they_were(value: Any) -> None:
    assert repr(UNTYPED.decode(UNTYPED.encode(value))) == repr(value)


class Colour(Enum):
    RED = "red"


class Named(NamedTuple):
    name: str
    place: Path | None


class Typed(TypedDict):
    name: str
    size: NotRequired[int]


class Interface(Protocol):
    name: str


@dataclass
class Box(Generic[T]):
    content: T


@dataclass
class Loose:
    content: Any
    more: dict = field(default_factory=dict)  # type: ignore[type-arg]
    items: list = field(default_factory=list)  # type: ignore[type-arg]


class LooseModel(pydantic.BaseModel):
    content: Any


WHEN = datetime(2024, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize("codec", ["json", "msgpack"])
@pytest.mark.parametrize(
    ("declared", "value"),
    [
        (Any, {"a": (1, b"x")}),
        (Decimal, Decimal("1.50")),
        (datetime, WHEN),
        (datetime, datetime(2024, 1, 1)),
        (timedelta, timedelta(days=-3, microseconds=7)),
        (UUID, UUID(int=5)),
        (Colour, Colour.RED),
        (Path, Path("a/b")),
        (list[Customer], [Customer(name="Ada", age=36)]),
        (Customer | None, Customer(name="Ada", age=36)),
        (dict[str, Customer], {"a": Customer(name="Ada", age=36)}),
        (Typed, {"name": "a"}),
        (Named, Named("a", Path("b"))),
        (Box[int], Box(5)),
        (Box[list[Decimal]], Box([Decimal("1.0")])),
        (dict[int, str], {1: "a"}),
        (dict[Colour, int], {Colour.RED: 1}),
        (tuple[int, str], (1, "a")),
        (tuple[float, ...], (1.5, 2.5)),
        (set[str], {"a"}),
        (frozenset[int], frozenset({1})),
        (int | str | None, "a"),
        (Literal["a", "b"], "a"),
        (Annotated[int, msgspec.Meta(gt=3)], 4),
        (Loose, Loose({"a": [1, None, {"b": 2.5}]}, {"x": True}, [[]])),
        (LooseModel, LooseModel(content={"a": [1]})),
    ],
)
def test_types_that_people_have_come_back_as_they_were(declared: Any, value: Any, codec: str) -> None:
    serde = serde_for(declared, codec=codec)

    found = serde.decode(serde.encode(value))

    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "declared", [Interface, complex, type, Callable[[], int], list[complex], Customer | int, Box[complex]]
)
def test_types_whose_values_cannot_be_read_again_are_refused_where_they_are_declared(declared: Any) -> None:
    with pytest.raises(UsageError, match="declare bytes, str"):
        serde_for(declared)


@pytest.mark.parametrize("codec", ["json", "msgpack"])
@pytest.mark.parametrize(
    ("declared", "wrong", "place"),
    [
        (Point, Point("5"), "at=.x"),  # type: ignore[arg-type]
        (Tree, Tree(1.0, [Tree("2", [])]), "at=.children[0].weight"),  # type: ignore[arg-type]
        (list[int], [1, "2"], "at=[1]"),
        (list[int], (1,), "expected list[int]"),
        (dict[str, int], {"a": "1"}, "at=['a']"),
        (dict[str, int], {1: 1}, "expected"),
        (Box[int], Box("a"), "at=.content"),
        (Order, Order(id="a", amount=Decimal(1)), "at=.amount"),  # type: ignore[arg-type]
        (Order, Order(id="a", amount=2**53 + 1), "at=.amount"),
        (Order, Order(id="a", amount=10**400), "at=.amount"),
        (Typed, {"name": "a", "other": 1}, "other"),
        (Typed, {"size": 1}, "with name"),
        (Typed, {"name": 1}, "at=['name']"),
        (Named, Named(1, None), "at=.name"),  # type: ignore[arg-type]
        (Customer, Customer.model_construct(name=5, age=1), "validates"),
        (list[Customer], [Customer.model_construct(name="a", age="old")], "at=[0]"),
        (date, WHEN, "expected date"),
        (bool, 1, "expected bool"),
        (int | None, 1.0, "expected"),
        (Literal["a", "b"], "c", "expected"),
        (Annotated[int, msgspec.Meta(gt=3)], 3, ""),
        (Loose, Loose({1, 2}), "at=.content"),
        (Loose, Loose(None, {"a": (1,)}), "at=.more['a']"),
        (Loose, Loose(None, {}, [Decimal(1)]), "at=.items[0]"),
        (Loose, Loose(WHEN), "at=.content"),
        (Loose, Loose([Point(1)]), "at=.content[0]"),
        (LooseModel, LooseModel(content=(1,)), "plain data"),
        (LooseModel, LooseModel(content=Point(1)), "plain data"),
        (LooseModel, LooseModel(content=[LooseModel(content=1)]), "plain data"),
        (LooseModel, LooseModel(content=OrderedDict(a=1)), "plain data"),
        (dict, {"a": {(1, 2): 3}}, "keys"),
    ],
)
def test_a_value_that_would_not_come_back_is_refused_at_any_depth(
    declared: Any, wrong: Any, place: str, codec: str
) -> None:
    with pytest.raises((SerdeError, msgspec.ValidationError)) as caught:
        serde_for(declared, codec=codec).encode(wrong)

    assert place in str(caught.value)


def test_json_refuses_keys_that_would_become_texts_and_messagepack_keeps_them() -> None:
    value = {1: "a", "1": "b", b"x": b"y"}
    with pytest.raises(SerdeError, match=r"dict\[..., ...\]"):
        serde_for(dict).encode(value)
    with pytest.raises(SerdeError, match="come back as something else"):
        serde_for(dict[int | str, str]).encode({1: "a", "1": "b"})
    packed = serde_for(dict, codec="msgpack")
    assert packed.decode(packed.encode(value)) == value


@pytest.mark.slow
@given(st.from_type(Tree) | st.builds(Tree, st.integers() | st.text() | st.none(), st.just([])))
def test_what_the_compiled_check_passes_has_no_fault(tree: Tree) -> None:
    check = ValueCheck(msgspec.inspect.type_info(Tree), "json", lambda model: None)

    assert not check.passes(tree) or check.fault(tree) is None


@pytest.mark.parametrize("codec", ["json", "msgpack"])
def test_classes_of_attrs_come_back_or_are_refused_where_they_are_declared(codec: str) -> None:
    attrs: Any = pytest.importorskip("attrs")
    good = attrs.make_class("Good", {"size": attrs.field(type=int)})
    serde = serde_for(good, codec=codec)
    assert serde.decode(serde.encode(good(1))) == good(1)
    with pytest.raises(SerdeError, match="expected int"):
        serde.encode(good("1"))

    for name, kind, reason in [("_size", int, "not written"), ("size", None, "no annotation")]:
        with pytest.raises(UsageError, match=reason):
            serde_for(attrs.make_class("Bad", {name: attrs.field(type=kind)}), codec=codec)


@pytest.mark.parametrize(
    ("declared", "good", "wrong"),
    [
        (tuple[int, str], (1, "a"), [(1,), (1, "a", 2), ("a", 1), (True, "a"), [1, "a"]]),
        (tuple[int | None, float], (None, 1.5), [(None, math.nan), (1.5, 1.5), (None, 1.5, 2)]),
        (tuple[str, tuple[int, int]], ("a", (1, 2)), [("a", (1, "2")), ("a", (1,)), ("a", [1, 2])]),
        (list[tuple[int, int]], [(1, 2)], [[(1, 2), (1, 2, 3)], [(1, None)], ((1, 2),)]),
        (dict[str, tuple[int, int]], {"a": (1, 2)}, [{"a": (1, "2")}, {"a": [1, 2]}]),
    ],
)
def test_tuples_of_fixed_length_pass_the_compiled_check_exactly_if_they_have_no_fault(
    declared: Any, good: Any, wrong: list[Any]
) -> None:
    check = value_check(declared, "json")

    assert check.passes(good)
    assert check.fault(good) is None
    for value in wrong:
        assert not check.passes(value)
        assert check.fault(value) is not None
        assert check.encoder(lambda _: b"at once", lambda _: b"otherwise")(value) == b"otherwise"
    assert check.encoder(lambda _: b"at once", lambda _: b"otherwise")(good) == b"at once"


class OfNothing(msgspec.Struct):
    """A class without fields."""


class OfTwo(NamedTuple):
    """A tuple with names."""

    size: int
    name: str


class OfNames(msgspec.Struct):
    """A class whose first field may be missing."""

    size: int
    name: str = "a"


def test_the_compiled_encoder_leaves_all_values_to_the_check_that_it_does_not_know() -> None:
    untyped: list[Any] = ["a", 1]
    never_set = OfNames(1)
    del never_set.name
    cases: list[tuple[Any, Any, list[Any]]] = [
        (OfTwo, OfTwo(1, "a"), [(1, "a"), OfTwo(*untyped), OfTwo(True, "a")]),
        (OfNames, OfNames(1), [OfNames(untyped[0]), OfTwo(1, "a"), never_set]),
        (OfNothing, OfNothing(), [OfNames(1), ()]),
        (tuple[()], (), [(1,), []]),
        (int | str, 1, [True, 1.5, None]),
    ]
    for declared, good, wrong in cases:
        encode = value_check(declared, "json").encoder(lambda _: b"at once", lambda _: b"otherwise")

        assert encode(good) == b"at once"
        assert [encode(value) for value in wrong] == [b"otherwise"] * len(wrong)
