"""Keys in topics: keys that are one in stores have one form, so they are in one partition."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, Literal

import pytest

from streamcore.model import Windowed
from streamcore.processing.dsl.topic_keys import (
    internal_key_serde,
    key_serde_for,
    output_key_serde,
    store_key_type,
)
from streamcore.serde import Serde
from streamcore.state.keys import key_codec

NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)
IN_CAIRO = NOON.astimezone(timezone(timedelta(hours=2)))


class Status(enum.StrEnum):
    OPEN = "open"


@dataclass(frozen=True)
class Place:
    latitude: float
    name: str


SAME: list[tuple[Any, Any, Any]] = [
    (int, 1, True),
    (float, 1.0, 1),
    (float, 0.0, -0.0),
    (str, "open", Status.OPEN),
    (Decimal, Decimal("1.5"), Decimal("1.50")),
    (datetime, NOON, IN_CAIRO),
    (tuple[int, float], (1, 2.0), (1, 2)),
    (Place, Place(1.0, "a"), Place(1, "a")),
    (None, 1, 1.0),
    (None, (1, "a"), (1.0, "a")),
    (None, "open", Status.OPEN),
    (float | int, 1, 1.0),
    (int | float | None, 2.0, 2),
    (str | int, "open", Status.OPEN),
]


@pytest.mark.parametrize("codec", ["json", "msgpack"])
@pytest.mark.parametrize(("key_type", "key", "other"), SAME, ids=str)
def test_keys_that_are_one_in_stores_are_written_alike(
    key_type: Any, key: Any, other: Any, codec: str
) -> None:
    serde, kept = key_serde_for(key_type, codec), key_codec(store_key_type(key_type))

    assert kept.encode(key) == kept.encode(other)
    assert serde.encode(key) == serde.encode(other)
    assert kept.encode(serde.decode(serde.encode(key))) == kept.encode(key)


@pytest.mark.parametrize(("key_type", "key", "other"), SAME, ids=str)
def test_a_column_of_keys_is_written_as_each_of_them(key_type: Any, key: Any, other: Any) -> None:
    serde = key_serde_for(key_type)

    if serde.encode_many is not None:
        assert serde.encode_many([key, other, key]) == [serde.encode(key)] * 3
        assert serde.encode_many([key, key]) == [serde.encode(key)] * 2


@pytest.mark.parametrize(
    ("key_type", "kept"),
    [
        (int, int),
        (str, str),
        (Place, Place),
        (Literal["a", 1], None),
        (str | int, None),
        (tuple[int, str], None),
        (tuple[int, Place], tuple[int, Place]),
        (Serde(encode=bytes, decode=bytes), None),
        (None, None),
    ],
    ids=str,
)
def test_the_keys_of_tables_have_a_type_where_untyped_keys_would_not_do(key_type: Any, kept: Any) -> None:
    assert store_key_type(key_type) == kept


@pytest.mark.parametrize("key_type", [int, str, None, Windowed[str], tuple[int, str]], ids=str)
def test_keys_in_internal_topics_have_the_bytes_of_stores(key_type: Any) -> None:
    key = {int: 7, str: "a", None: (1, "a"), tuple[int, str]: (1, "a")}.get(key_type, Windowed("a", 0, 5))

    assert internal_key_serde(key_type).encode(key) == key_codec(key_type).encode(key)


def test_a_topic_by_name_has_keys_of_windows_as_json() -> None:
    serde = output_key_serde(Windowed[int])

    assert serde.encode(Windowed(1, 0, 5)) == serde.encode(Windowed(True, 0, 5))
