"""Plain data comes back from MessagePack as it was: the value, and its type."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamcore.errors import SerdeError
from streamcore.plain_data import packed_int, packer, unpack

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**200), 2**200),
    st.floats(allow_nan=False),
    st.text(),
    st.binary(),
    st.decimals(allow_nan=False),
    st.dates(),
    st.datetimes(timezones=st.sampled_from([None, UTC, timezone(timedelta(hours=-3, minutes=30))])),
    st.times(),
    st.timedeltas(),
    st.uuids(),
)
keys = st.one_of(st.text(), st.integers(-(2**63), 2**63 - 1), st.binary())
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(keys, inner, max_size=4),
    ),
    max_leaves=8,
)


def types_of(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return type(value), [types_of(item) for item in value]
    if isinstance(value, dict):
        return dict, {key: types_of(item) for key, item in value.items()}
    return type(value)


@given(values)
def test_a_value_comes_back_with_its_types(value: Any) -> None:
    found = unpack(packer().pack(value))

    assert found == value
    assert types_of(found) == types_of(value)


@given(values)
def test_the_bytes_do_not_depend_on_what_was_packed_before(value: Any) -> None:
    used = packer()
    used.pack([1, ("a", Decimal(1))])

    assert used.pack(value) == packer().pack(value)


@given(st.integers(-(2**200), 2**200))
def test_an_int_of_any_size_is_its_shortest_two_s_complement_or_a_byte_more(value: int) -> None:
    data = packed_int(value)

    assert int.from_bytes(data, "big", signed=True) == value
    assert len(data) <= value.bit_length() // 8 + 1


def test_what_is_no_number_stays_none() -> None:
    assert math.isnan(unpack(packer().pack(math.nan)))
    assert unpack(packer().pack(Decimal("NaN"))).is_nan()


@pytest.mark.parametrize("value", [object(), {1, 2}, 1j, [frozenset()], {"a": range(3)}])
def test_other_values_are_refused(value: Any) -> None:
    with pytest.raises(SerdeError, match=r"declare its type.*given="):
        packer().pack(value)


def test_bytes_that_can_change_come_back_as_bytes_that_cannot() -> None:
    assert unpack(packer().pack([bytearray(b"a"), memoryview(b"b")])) == [b"a", b"b"]


def test_a_subclass_is_refused_because_its_class_would_be_lost() -> None:
    class Name(str):
        pass

    with pytest.raises(SerdeError, match="given=Name"):
        packer().pack(Name("a"))


def test_an_extension_of_a_later_version_comes_back_as_it_is() -> None:
    assert unpack(msgpack.packb(msgpack.ExtType(99, b"later"))) == msgpack.ExtType(99, b"later")


def test_the_forms_of_the_page_are_those_that_are_written() -> None:
    examples: list[tuple[Any, int, bytes]] = [
        ((1, "a"), 1, msgpack.packb([1, "a"])),
        (2**64, 2, b"\x01" + bytes(8)),
        (Decimal("1.50"), 3, b"1.50"),
        (datetime(2025, 3, 1, 12, tzinfo=UTC), 4, b"2025-03-01T12:00:00+00:00"),
        (date(2025, 3, 1), 5, b"2025-03-01"),
        (time(12, 30), 6, b"12:30:00"),
        (timedelta(days=1, seconds=2, microseconds=3), 7, msgpack.packb([1, 2, 3])),
        (UUID(int=5), 8, bytes(15) + b"\x05"),
    ]

    for value, code, data in examples:
        assert packer().pack(value) == msgpack.packb(msgpack.ExtType(code, data))
