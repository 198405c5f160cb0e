"""What a store says about itself, so that tools can read it without the application.

The description lies in the store's own engine, as a note::

    note  store/<name>  ->  JSON of ``StoreDescription``: {"version":1,"name":"...","kind":"kv",...}

It is also the guard against a declaration that changed: bytes that were written for one key type, value
type or window size are never read as another.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from streamcore.errors import CorruptStoreError, TopologyError, UnsupportedVersionError, fact_text
from streamcore.state.engine import KeyValueEngine

DESCRIPTION_VERSION: Final = 1


class StoreDescription(msgspec.Struct, frozen=True, kw_only=True):
    """What tools need to know to read a store: versioned, kept in the engine itself."""

    name: str
    kind: Literal["kv", "window"]
    key_codec: str
    """The name of the codec of the keys alone (``keys.key_codec_by_name``)."""
    value_codec: str
    """The name of the values' serde."""
    window_size_ms: int | None = None
    window_advance_ms: int | None = None
    aggregations: list[tuple[str, str]] = []
    """Name and kind of each aggregation, in the order in which the stored value holds them."""
    follows: str | None = None
    """The topic that restores the store: its changelog, or the topic whose table it is."""
    version: int = DESCRIPTION_VERSION


def describe_store(engine: KeyValueEngine, description: StoreDescription) -> None:
    """Save a store's description in its engine, if it says anything new.

    Raises:
        TopologyError: the store was written with other keys, values or windows.
    """
    written = store_description(engine, description.name)
    if written == description:
        return
    if written is not None:
        _ensure_readable(written, description)
    engine.apply([], {}, {_note_name(description.name): msgspec.json.encode(description)})


def store_description(engine: KeyValueEngine, store: str) -> StoreDescription | None:
    """What a store says about itself; ``None`` if it says nothing.

    Raises:
        UnsupportedVersionError: a newer version of this program wrote it.
        CorruptStoreError: it cannot be read.
    """
    note = engine.note(_note_name(store))
    if note is None:
        return None
    try:
        version = msgspec.json.decode(note, type=_Versioned).version
        if version > DESCRIPTION_VERSION:
            raise UnsupportedVersionError(
                "this store was written by a newer version of streamcore: update this program"
                f" {fact_text(store=store, version=version, readable=DESCRIPTION_VERSION)}"
            )
        return msgspec.json.decode(note, type=StoreDescription)
    except msgspec.MsgspecError as error:
        raise CorruptStoreError(
            "the description of a store cannot be read; delete the folder of the task, the state will be"
            f" restored from its changelogs: {error} {fact_text(store=store)}"
        ) from error


class _Versioned(msgspec.Struct):
    """The part of a description that every version has."""

    version: int


def _note_name(store: str) -> str:
    return f"store/{store}"


def _ensure_readable(written: StoreDescription, declared: StoreDescription) -> None:
    """Refuse a declaration under which the stored bytes would mean something else."""
    for what in ("kind", "key_codec", "value_codec", "window_size_ms", "window_advance_ms", "aggregations"):
        before, now = getattr(written, what), getattr(declared, what)
        if before != now:
            facts = fact_text(store=written.name, what=what, stored=before, declared=now)
            raise TopologyError(
                f"the store was written under another declaration: give it another name, or go back {facts}"
            )
