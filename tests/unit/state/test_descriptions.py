"""Descriptions of stores: saved beside the data, compared with what is declared, readable by tools."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from streamcore.errors import CorruptStoreError, TopologyError, UnsupportedVersionError
from streamcore.state.descriptions import StoreDescription, describe_store, store_description, updated
from streamcore.state.memory import MemoryEngine
from streamcore.state.value_forms import form_of

COUNTS = StoreDescription(
    name="counts",
    kind="kv",
    key_codec="str",
    value_codec="msgpack",
    aggregations=[("", "count")],
    follows="app-counts-changelog",
    value_form=form_of(tuple[int]),
)


def changed(**fields: Any) -> StoreDescription:
    return msgspec.structs.replace(COUNTS, **fields)


def test_a_description_is_read_back_as_it_was_saved() -> None:
    engine = MemoryEngine()

    describe_store(engine, COUNTS)

    assert store_description(engine, "counts") == COUNTS
    assert store_description(engine, "other") is None


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "window", "window_size_ms": 1000, "window_advance_ms": 1000},
        {"key_codec": "int"},
        {"value_codec": "json"},
        {"aggregations": [("", "sum")]},
        {"value_form": form_of(tuple[str])},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_a_declaration_that_would_misread_what_is_stored_is_refused(fields: dict[str, Any]) -> None:
    engine = MemoryEngine()
    describe_store(engine, COUNTS)

    with pytest.raises(TopologyError, match="reset --table NAME"):
        describe_store(engine, changed(**fields))
    assert store_description(engine, "counts") == COUNTS


def test_a_store_that_starts_over_takes_any_declaration() -> None:
    engine = MemoryEngine()
    describe_store(engine, COUNTS)

    describe_store(engine, changed(key_codec="int"), starts_over=True)

    assert store_description(engine, "counts") == changed(key_codec="int")


def test_a_description_of_version_0_1_0_has_no_form_and_gets_one() -> None:
    assert updated(changed(value_form=None), COUNTS) == COUNTS


def test_a_description_of_a_newer_version_is_refused_and_a_broken_one_is_damage() -> None:
    engine = MemoryEngine()
    engine.apply([], {}, {"store/newer": b'{"version":9}', "store/broken": b"{"})

    with pytest.raises(UnsupportedVersionError, match="update this program"):
        store_description(engine, "newer")
    with pytest.raises(CorruptStoreError, match="delete the folder of the task"):
        store_description(engine, "broken")
