"""Keys and answers as text: what goes in as text comes out as the same text."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamcore.errors import SerdeError
from streamcore.model import TopicPartition, Windowed
from streamcore.state.keys import key_codec
from streamcore.state.position import Position
from streamcore.state.queries import Answer
from streamcore.state.text_forms import (
    answer_row,
    encoded_key,
    key_text,
    parse_key,
    plain_key,
    plain_value,
)


@dataclass(frozen=True, slots=True)
class Leg:
    origin: str
    number: int


INT64 = st.integers(-(2**63), 2**63 - 1)
FLOATS = st.floats(allow_nan=False)
ANY = st.recursive(
    st.none() | st.booleans() | INT64 | FLOATS | st.text() | st.binary(),
    lambda part: st.lists(part).map(tuple),
)
DECIMALS = st.decimals(allow_nan=False, allow_infinity=False)
DATETIMES = st.datetimes() | st.datetimes(timezones=st.just(UTC))
FORMS = (
    *(
        '{"base64":"YQ=="}',
        '{"base64":"?"}',
        '{"float":"Infinity"}',
        "Infinity",
        "nan",
        "null",
        "true",
        "[1]",
    ),
    *("7", '"7"', "7\n", " 7", "1e999", "1" * 30, "[", "[" * 2_000, "a\n", "\0", "", "%2F", "?", "#"),
)
LOOKS_LIKE_A_FORM = st.sampled_from(FORMS)
TEXTS = st.text() | LOOKS_LIKE_A_FORM


@pytest.mark.parametrize(
    ("key_type", "text", "key"),
    [
        (str, "7", "7"),
        (bytes, "a", b"a"),
        (bytes, '{"base64":"/w=="}', b"\xff"),
        (bytes, '{"a":1}', b'{"a":1}'),
        (int, "-7", -7),
        (float, "7", 7.0),
        (bool, "true", True),
        (None, "7", 7),
        (None, '"7"', "7"),
        (None, "abc", "abc"),
        (None, "7\n", "7\n"),
        (None, '{"a":1}', '{"a":1}'),
        (None, "1" * 30, "1" * 30),
        (None, '{"base64":"YQ=="}', b"a"),
        (None, '{"float":"-Infinity"}', -math.inf),
        (float, "Infinity", math.inf),
        (bytes, "\udcff", b"\xff"),
        (tuple[bytes, int], '["a",7]', (b"a", 7)),
        (tuple[bytes, int], '[{"base64":"/w=="},7]', (b"\xff", 7)),
        (None, '["a",[1,null]]', ("a", (1, None))),
        (tuple[str, int], '["JFK",7]', ("JFK", 7)),
        (Leg, '["JFK",7]', Leg("JFK", 7)),
        (tuple[str, int | None], '["JFK",null]', ("JFK", None)),
        (Decimal, "-1.5", Decimal("-1.5")),
        (UUID, str(UUID(int=5)), UUID(int=5)),
        (date, "2020-02-29", date(2020, 2, 29)),
        (datetime, "2020-01-01T00:00:00Z", datetime(2020, 1, 1, tzinfo=UTC)),
        (datetime, "2020-01-01T00:00:00", datetime(2020, 1, 1)),
        (time, "01:02:03.000004", time(1, 2, 3, 4)),
        (timedelta, "P1DT1S", timedelta(days=1, seconds=1)),
        (tuple[date, str], '["2020-02-29","a"]', (date(2020, 2, 29), "a")),
        (tuple[Decimal | None, UUID], f'["1.5","{UUID(int=5)}"]', (Decimal("1.5"), UUID(int=5))),
        (tuple[Decimal | None, UUID], f'[null,"{UUID(int=5)}"]', (None, UUID(int=5))),
    ],
)
def test_a_text_is_read_by_the_key_type(key_type: Any, text: str, key: object) -> None:
    found = parse_key(key_codec(key_type), text)

    assert found == key
    assert type(found) is type(key)


@pytest.mark.parametrize(
    ("key_type", "text"),
    [
        (int, "seven"),
        (int, "1.5"),
        (int, "true"),
        (int, "99999999999999999999"),
        (float, "x"),
        (bool, "1"),
        (Leg, "7"),
        (Leg, '["JFK"]'),
        (Leg, '{"origin":"JFK","number":7}'),
        (tuple[str, int], '["JFK","7"]'),
        (bytes, '{"base64":"?"}'),
        (int, "7\n"),
        (int, " 7"),
        (int, "[" * 100_000),
        (float, "9" * 400),
        (float, "NaN"),
        (str, "\udcff"),
        (None, "\udcff"),
        (Decimal, " 1.5"),
        (Decimal, "one"),
        (Decimal, "NaN"),
        (UUID, "5"),
        (date, "2020-02-30"),
        (date, '"2020-02-29"'),
        (datetime, "2020-01-01"),
        (timedelta, "1 day"),
        (tuple[date, str], '["x","a"]'),
    ],
)
def test_a_text_that_is_no_key_is_refused(key_type: Any, text: str) -> None:
    with pytest.raises(SerdeError, match="not of the table's key type"):
        parse_key(key_codec(key_type), text)


_KEYS = pytest.mark.parametrize(
    ("key_type", "keys"),
    [
        (str, TEXTS),
        (bytes, st.binary() | TEXTS.map(str.encode)),
        (int, INT64),
        (float, FLOATS),
        (None, ANY | LOOKS_LIKE_A_FORM),
        (tuple[bytes, float | None], st.tuples(st.binary(), st.none() | FLOATS)),
        (tuple[str, int], st.tuples(st.text(), INT64)),
        (Leg, st.builds(Leg, st.text(), INT64)),
        (Decimal, DECIMALS),
        (UUID, st.uuids()),
        (date, st.dates()),
        (datetime, DATETIMES),
        (time, st.times()),
        (timedelta, st.timedeltas()),
        (tuple[Decimal, datetime | None], st.tuples(DECIMALS, st.none() | DATETIMES)),
    ],
)


@_KEYS
@given(data=st.data())
def test_the_text_of_a_key_is_read_as_the_key(
    key_type: Any, keys: st.SearchStrategy[Any], data: st.DataObject
) -> None:
    codec = key_codec(key_type)
    key = data.draw(keys)

    assert parse_key(codec, key_text(codec, key)) == key


@_KEYS
@given(data=st.data())
def test_a_key_as_json_gives_the_bytes_of_the_key(
    key_type: Any, keys: st.SearchStrategy[Any], data: st.DataObject
) -> None:
    codec = key_codec(key_type)
    key = data.draw(keys)

    assert encoded_key(codec, json.loads(json.dumps(plain_key(codec, key)))) == codec.encode(key)


@pytest.mark.parametrize(("key_type", "plain"), [(int, "7"), (str, 7), (tuple[str, int], ["a"])])
def test_json_that_is_no_key_of_the_table_is_refused(key_type: Any, plain: object) -> None:
    with pytest.raises(SerdeError, match="no key of the table"):
        encoded_key(key_codec(key_type), plain)


def test_values_become_plain_data() -> None:
    value = {"leg": Leg("JFK", 7), 3: (b"text", b"\xff"), "set": {1}}

    assert plain_value(value) == {
        "leg": {"origin": "JFK", "number": 7},
        "3": ["text", {"base64": "/w=="}],
        "set": [1],
    }
    assert plain_value({(1, 2): 3}) == "{(1, 2): 3}"


def test_a_row_has_the_bounds_of_a_window_and_the_position() -> None:
    position = Position({TopicPartition("flights", 3): 7, TopicPartition("flights", 0): 120})

    row = answer_row(Answer(5, position, Windowed(Leg("JFK", 1), 10, 20)), key_codec(Leg))

    assert row == {
        "key": ["JFK", 1],
        "start_ms": 10,
        "end_ms": 20,
        "value": 5,
        "position": {"flights": {"0": 120, "3": 7}},
    }


def test_a_row_takes_the_key_that_was_asked_for() -> None:
    assert answer_row(Answer(5, Position()), key_codec(str), "k", with_position=False) == {
        "key": "k",
        "value": 5,
    }
