"""Keys of the wrong type are refused in words, and names rebuild codecs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest

from streamcore.errors import SerdeError, TopologyError
from streamcore.state.keys import KeyCodec, key_codec, key_codec_by_name
from streamcore.state.window_keys import window_key_codec


@dataclass(frozen=True)
class Seat:
    flight: str
    row: int | None = None


class Colour(Enum):
    RED = "red"


@dataclass(frozen=True)
class Wrapped:
    only: str


@pytest.mark.parametrize(
    ("key_type", "wrong", "given"),
    [
        (str, 5, "int"),
        (str, b"k", "bytes"),
        (str, None, "NoneType"),
        (str, "\ud800", "str"),
        (bytes, "k", "str"),
        (bytes, bytearray(b"k"), "bytearray"),
        (int, "5", "str"),
        (int, 5.0, "float"),
        (int, 2**63, "int"),
        (int, -(2**63) - 1, "int"),
        (float, "1.5", "str"),
        (float, float("nan"), "float"),
        (bool, "yes", "str"),
        (tuple[str, int], ("a",), "tuple"),
        (tuple[str, int], ("a", 1, 2), "tuple"),
        (tuple[str, int], (1, "a"), "tuple"),
        (tuple[str, str], "ab", "str"),
        (Seat, ("a", 1), "tuple"),
        (Seat, Wrapped("a"), "Wrapped"),
        (None, {"a": 1}, "dict"),
        (None, 2**63, "int"),
        (None, float("nan"), "float"),
        (None, (1, {2}), "tuple"),
        (float, 2**53 + 1, "int"),
        (Decimal, Decimal("NaN"), "Decimal"),
        (Decimal, 1.5, "float"),
        (UUID, "not a uuid", "str"),
        (date, datetime(2024, 1, 1), "datetime"),
        (Colour, "red", "str"),
    ],
)
def test_a_wrong_key_is_refused_naming_both_types(key_type: Any, wrong: Any, given: str) -> None:
    codec = key_codec(key_type)

    with pytest.raises(SerdeError) as caught:
        codec.encode(wrong)

    assert f"key_type={codec.name}" in str(caught.value)
    assert f"given={given}" in str(caught.value)


def test_the_message_tells_the_types_and_no_text_of_python() -> None:
    with pytest.raises(SerdeError) as caught:
        key_codec(int).encode("5")  # type: ignore[arg-type]

    assert str(caught.value) == "the key is not of the declared type: key_type=int given=str key='5'"


def test_tools_take_the_text_of_a_date_or_a_decimal_for_the_key() -> None:
    number = UUID(int=7)
    for key_type, text, key in [
        (UUID, str(number), number),
        (date, "2024-02-29", date(2024, 2, 29)),
        (Decimal, "1.50", Decimal("1.5")),
        (timedelta, "PT90S", timedelta(seconds=90)),
    ]:
        codec: KeyCodec[Any] = key_codec(key_type)
        assert key_codec_by_name(codec.name).encode(text) == codec.encode(key)


def test_the_wrong_key_among_many_is_the_one_named() -> None:
    with pytest.raises(SerdeError, match="key=17"):
        key_codec(str).encode_many(["a", "b", 17, "c"])  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("key_type", "right", "wrong", "reason"),
    [
        (tuple[str, int], ("a", 1), ("a", "b"), "key=('a', 'b')"),
        (tuple[str, int], ("a", 1), ("a", 2**63), "at most 64 bits"),
        (tuple[str, int], ("a", 1), ("a", 1, 2), "key=('a', 1, 2)"),
        (tuple[int, int], (1, 2), (1, None), "key=(1, None)"),
        (tuple[int, int], (1, 2), "ab", "key='ab'"),
        (Seat, Seat("a", 1), ("a", 1), "key=('a', 1)"),
        (None, 1, 2**64, "at most 64 bits"),
        (None, "a", "\ud800", "key='\\ud800'"),
    ],
)
def test_the_wrong_key_in_a_column_is_the_one_named(
    key_type: Any, right: Any, wrong: Any, reason: str
) -> None:
    with pytest.raises(SerdeError, match=re.escape(reason)):
        key_codec(key_type).encode_many([right] * 20 + [wrong] + [right] * 20)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("str", b"\xff"),
        ("int", b"1234567"),
        ("int", b"123456789"),
        ("float", b"1"),
        ("bool", b"\x02"),
        ("bool", b"\x01\x01"),
        ("(str,int)", b"a"),
        ("(str,int)", b"a\x00\x00\x01"),
        ("any", b""),
        ("any", b"\x99"),
        ("any", b"\x60\x10"),
        ("any", b"\x30" + b"\x80" * 8 + b"\x07"),
    ],
)
def test_bytes_that_are_no_key_are_refused(name: str, data: bytes) -> None:
    with pytest.raises(SerdeError):
        key_codec_by_name(name).decode(data)


@pytest.mark.parametrize(
    ("key_type", "name"),
    [
        (str, "str"),
        (tuple[str, tuple[int, bytes]], "(str,(int,bytes))"),
        (Seat, "(str,int?)"),
        (Wrapped, "(str)"),
        (tuple[Any, float], "(any,float)"),
        (Annotated[tuple[int, int], "point"], "(int,int)"),
        (tuple[()], "()"),
        (Colour, "str"),
        (tuple[Colour, UUID | None], "(str,uuid?)"),
        (tuple[date, datetime, time, timedelta, Decimal], "(date,datetime,time,timedelta,decimal)"),
        (Path, "str"),
        (Literal["a", "b"], "str"),
        (None, "any"),
        (object, "any"),
        (tuple, "any"),
    ],
)
def test_a_name_describes_the_bytes_and_rebuilds_the_codec(key_type: Any, name: str) -> None:
    assert key_codec(key_type).name == name
    assert key_codec_by_name(name).name == name


@pytest.mark.parametrize("name", ["", "text", "(str", "str)", "(str,)", "(str int)", "str,int", "?", "strx"])
def test_an_unknown_name_is_refused(name: str) -> None:
    with pytest.raises(SerdeError, match="name="):
        key_codec_by_name(name)


@pytest.mark.parametrize("key_type", [dict, set, tuple[int, ...], str | int, complex, dict[str, int]])
def test_a_type_without_an_order_is_refused_when_declared(key_type: Any) -> None:
    with pytest.raises(TopologyError, match="dataclass"):
        key_codec(key_type)


@pytest.mark.parametrize("key", [Seat("a", None), Seat("a", -1), Seat("", 0)])
def test_optional_fields_come_back(key: Seat) -> None:
    assert key_codec(Seat).decode(key_codec(Seat).encode(key)) == key


def test_none_sorts_before_any_number() -> None:
    codec = key_codec(Seat)

    assert codec.encode(Seat("a", None)) < codec.encode(Seat("a", -(2**63)))


def test_both_zeros_are_one_key() -> None:
    assert key_codec(float).encode(0.0) == key_codec(float).encode(-0.0)


def test_true_and_one_are_different_untyped_bytes() -> None:
    codec: KeyCodec[Any] = key_codec(None)

    assert codec.decode(codec.encode(True)) is True
    assert codec.encode(True) != codec.encode(1)


def test_a_key_of_one_field_comes_back_as_its_class() -> None:
    assert key_codec(Wrapped).decode(key_codec(Wrapped).encode(Wrapped("x"))) == Wrapped("x")


def test_only_text_has_prefixes() -> None:
    with pytest.raises(SerdeError, match="prefixes"):
        key_codec(int).prefix_range(1)


def test_a_window_before_1970_is_refused() -> None:
    with pytest.raises(SerdeError, match="start_ms=-1"):
        window_key_codec(key_codec(str)).encode(("k", -1))
