"""Key bytes sort like keys, come back as they were, and are equal exactly when the keys are."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import IntEnum, StrEnum
from typing import Any, NamedTuple, NewType
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamcore.state.keys import end_of_prefix, key_codec, key_codec_by_name
from streamcore.state.window_keys import encode_start, window_key_codec, window_range

INTS = st.integers(-(2**63), 2**63 - 1)
FLOATS = st.floats(allow_nan=False)
TEXT = st.text(max_size=6)
BYTES = st.binary(max_size=6) | st.lists(st.sampled_from([b"\x00", b"\xff", b"\x01", b"a"])).map(b"".join)


@dataclass(frozen=True, order=True)
class Seat:
    flight: str
    row: int


@dataclass(frozen=True, order=True, kw_only=True)
class Booking:
    seat: Seat
    paid: bool


class Pair(NamedTuple):
    left: bytes
    right: float


class Ship(msgspec.Struct, frozen=True, order=True):
    name: str
    number: int


UserName = NewType("UserName", str)


class Level(IntEnum):
    LOW = 1


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


ALIKE = st.sampled_from(
    [True, 1, 1.0, False, 0, 0.0, -0.0, Colour.RED, "red", None, b"red", 2.5, 2**53, 2.0**53]
)
KEYS_ALIKE = ALIKE | st.tuples(ALIKE) | st.tuples(ALIKE, ALIKE) | st.tuples(st.tuples(ALIKE), ALIKE)


SEATS = st.builds(Seat, TEXT, INTS)
DECIMALS = st.decimals(allow_nan=False, allow_infinity=False) | st.integers(-1_000, 1_000).map(Decimal)
ZONES = st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30)), timezone(timedelta(hours=-8))])
AWARE = st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1), timezones=ZONES)
NAIVE = st.datetimes()
TYPED: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (bytes, BYTES),
    (str, TEXT),
    (int, INTS),
    (float, FLOATS),
    (bool, st.booleans()),
    (tuple[str, int], st.tuples(TEXT, INTS)),
    (tuple[bytes, bytes], st.tuples(BYTES, BYTES)),
    (tuple[bytes, tuple[str, bool], float], st.tuples(BYTES, st.tuples(TEXT, st.booleans()), FLOATS)),
    (tuple[()], st.just(())),
    (Seat, SEATS),
    (Booking, st.builds(Booking, seat=SEATS, paid=st.booleans())),
    (Pair, st.builds(Pair, BYTES, FLOATS)),
    (Ship, st.builds(Ship, TEXT, INTS)),
    (UUID, st.uuids()),
    (date, st.dates()),
    (datetime, AWARE),
    (datetime, NAIVE),
    (timedelta, st.timedeltas()),
    (Decimal, DECIMALS),
    (Colour, st.sampled_from(Colour)),
    (tuple[Decimal, str], st.tuples(DECIMALS, TEXT)),
    (tuple[datetime, date, UUID], st.tuples(AWARE, st.dates(), st.uuids())),
    (UserName, TEXT),
]


def strip_classes(key: Any) -> Any:
    """The key as a tool without the classes sees it."""
    if isinstance(key, Seat):
        return (key.flight, key.row)
    if isinstance(key, Booking):
        return (strip_classes(key.seat), key.paid)
    if isinstance(key, Ship):
        return (key.name, key.number)
    return tuple(key) if isinstance(key, tuple) else key


@pytest.mark.parametrize(("key_type", "keys"), TYPED, ids=str)
@given(data=st.data())
def test_typed_keys_sort_like_their_bytes_and_come_back(
    key_type: Any, keys: st.SearchStrategy[Any], data: st.DataObject
) -> None:
    codec = key_codec(key_type)
    first, second = data.draw(keys), data.draw(keys)

    encoded = codec.encode_many([first, second])

    assert (encoded[0] < encoded[1]) == (first < second)
    assert (encoded[0] == encoded[1]) == (first == second)
    assert codec.decode_many(encoded) == [first, second]
    assert type(codec.decode(encoded[0])) is type(first)
    identities = codec.identify_many([first, second])
    assert (identities[0] == identities[1]) == (first == second)
    assert codec.encode_identities(identities) == encoded
    by_name = key_codec_by_name(codec.name)
    assert by_name.name == codec.name
    assert by_name.decode_many(encoded) == [strip_classes(first), strip_classes(second)]
    assert by_name.encode(strip_classes(first)) == encoded[0]


@pytest.mark.parametrize(("key_type", "keys"), [*TYPED, (None, KEYS_ALIKE | INTS | TEXT)], ids=str)
@given(data=st.data())
def test_a_column_of_keys_has_the_bytes_of_each_key(
    key_type: Any, keys: st.SearchStrategy[Any], data: st.DataObject
) -> None:
    codec = key_codec(key_type)
    one = data.draw(st.lists(keys, min_size=1, max_size=12))
    column = [*one, *one, *one, *one, *one, *one, *one, *one]

    assert codec.encode_many(column) == [codec.encode(key) for key in column]


@pytest.mark.parametrize(("key_type", "keys"), [*TYPED, (None, TYPED[1][1] | TYPED[2][1] | FLOATS)], ids=str)
@given(data=st.data())
def test_identities_in_order_are_in_the_order_of_their_bytes(
    key_type: Any, keys: st.SearchStrategy[Any], data: st.DataObject
) -> None:
    codec = key_codec(key_type)
    drawn = data.draw(st.lists(keys, max_size=6))
    starts_ms = data.draw(st.lists(st.integers(0, 2), min_size=len(drawn), max_size=len(drawn)))
    windowed = window_key_codec(codec)
    pairs = list(zip(drawn, starts_ms, strict=True))

    for each, given_keys in ((codec, drawn), (windowed, pairs)):
        identities, encoded = each.in_order(dict.fromkeys(each.identify_many(given_keys)))
        assert encoded == sorted(set(each.encode_many(given_keys)))
        assert each.encode_identities(identities) == encoded


NUMBERS = INTS | FLOATS | INTS.map(float)
SCALARS = st.none() | NUMBERS | TEXT | BYTES
ANYTHING = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3).map(tuple), max_leaves=6)


def rank(value: Any) -> int:
    kinds: list[tuple[type, ...]] = [(type(None),), (int, float), (str,), (bytes,), (tuple,)]
    return next(place for place, kind in enumerate(kinds) if isinstance(value, kind))


def compare(first: Any, second: Any) -> int:
    """The order of untyped keys, said slowly."""
    if rank(first) != rank(second):
        return rank(first) - rank(second)
    if isinstance(first, tuple):
        for left, right in zip(first, second, strict=False):
            if (order := compare(left, right)) != 0:
                return order
        return len(first) - len(second)
    return 0 if first is None else (first > second) - (first < second)


@given(ANYTHING, ANYTHING)
def test_untyped_keys_sort_by_kind_and_then_by_value(first: Any, second: Any) -> None:
    codec = key_codec(None)

    encoded = codec.encode_many([first, second])

    assert (encoded[0] < encoded[1]) == (compare(first, second) < 0)
    assert (encoded[0] == encoded[1]) == (first == second)
    assert codec.decode_many(encoded) == [first, second]


@given(st.lists(KEYS_ALIKE, min_size=1, max_size=6), st.integers(0, 6))
def test_what_stands_for_an_untyped_key_is_equal_exactly_if_the_bytes_are(keys: list[Any], cut: int) -> None:
    codec = key_codec(None)

    identities = [*codec.identify_many(keys[:cut]), *codec.identify_many(keys[cut:])]

    present = [(key, found) for key, found in zip(keys, identities, strict=True) if key is not None]
    assert codec.encode_identities([found for _, found in present]) == codec.encode_many(
        [key for key, _ in present]
    )
    for key, found in present:
        for other, beside in present:
            assert (found == beside) == (codec.encode(key) == codec.encode(other))
            assert found != beside or hash(found) == hash(beside)


@pytest.mark.parametrize(
    ("key_type", "keys"),
    [
        (int, [1, True, Level.LOW]),
        (float, [1.0, 1, True]),
        (float, [0.0, -0.0, 0]),
        (str, ["red", Colour.RED]),
        (Decimal, [Decimal("1"), Decimal("1.00"), Decimal("10E-1")]),
        (
            datetime,
            [datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 1, 2, tzinfo=timezone(timedelta(hours=2)))],
        ),
        (tuple[float, str], [(1.0, "a"), (1, "a"), (True, "a")]),
        (Pair, [Pair(b"", 0.0), Pair(b"", -0.0), Pair(b"", False)]),
    ],
)
def test_keys_that_a_type_holds_equal_are_one_key_of_that_type(key_type: Any, keys: list[Any]) -> None:
    codec = key_codec(key_type)

    assert len(set(codec.encode_many(keys))) == 1
    assert len(set(codec.identify_many(keys))) == 1
    assert {repr(codec.decode(codec.encode(key))) for key in keys} == {
        repr(codec.decode(codec.encode(keys[0])))
    }


@given(st.lists(ANYTHING, max_size=8))
def test_sorting_bytes_sorts_untyped_keys(keys: list[Any]) -> None:
    codec = key_codec(None)

    by_bytes = codec.decode_many(sorted(codec.encode_many(keys)))

    assert by_bytes == sorted(keys, key=functools.cmp_to_key(compare))


@given(st.tuples(TEXT, st.integers(0, 2**64 - 1)), st.tuples(TEXT, st.integers(0, 2**64 - 1)))
def test_window_keys_sort_by_start_and_then_by_key(first: tuple[str, int], second: tuple[str, int]) -> None:
    codec = window_key_codec(key_codec(str))

    encoded = codec.encode_many([first, second])

    assert (encoded[0] < encoded[1]) == (first[::-1] < second[::-1])
    assert codec.decode_many(encoded) == [first, second]


@given(TEXT, st.integers(0, 50), st.integers(0, 50), st.integers(0, 50))
def test_a_window_range_holds_the_windows_that_start_in_it(
    key: str, start: int, since: int, until: int
) -> None:
    encoded = window_key_codec(key_codec(str)).encode((key, start))

    low, high = window_range(since, until)

    assert (low <= encoded < high) == (since <= start < until)
    assert encode_start(start) <= encoded < encode_start(start + 1)


@given(BYTES, BYTES)
def test_a_prefix_range_holds_what_begins_with_the_prefix(prefix: bytes, key: bytes) -> None:
    low, high = key_codec(bytes).prefix_range(prefix)

    assert (low <= key and (high is None or key < high)) == key.startswith(prefix)
    assert high == end_of_prefix(prefix)
