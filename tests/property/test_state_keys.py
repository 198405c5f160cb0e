"""Key bytes sort like keys, come back as they were, and are equal exactly when the keys are."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, NamedTuple

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


SEATS = st.builds(Seat, TEXT, INTS)
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
    by_name = key_codec_by_name(codec.name)
    assert by_name.name == codec.name
    assert by_name.decode_many(encoded) == [strip_classes(first), strip_classes(second)]
    assert by_name.encode(strip_classes(first)) == encoded[0]


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
