"""The description of a store, by which tools read it without the application.

The description is a note in the store's own engine::

    note  store/<name>  ->  JSON of ``StoreDescription``: {"version":2,"name":"...","kind":"kv",...}

It also protects against a changed declaration: bytes that were written for one key type, value type or window
size are never read as another. The same description is in the log, beside the store's changelog
(``application_records``), where it survives the loss of the engine.
"""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from streamcore.errors import CorruptStoreError, TopologyError, UnsupportedVersionError, fact_text, with_facts
from streamcore.state.engine import KeyValueEngine
from streamcore.state.value_forms import difference, merged

DESCRIPTION_VERSION: Final = 3
"""3 added calendar windows, sessions and sliding windows; other descriptions are still of version 2."""

_MEANING: Final = (
    "kind",
    "key_codec",
    "value_codec",
    "window_size_ms",
    "window_advance_ms",
    "window_calendar",
    "session_gap_ms",
    "sliding_size_ms",
    "aggregations",
)
"""The fields that fix the meaning of stored bytes."""


class StoreDescription(msgspec.Struct, frozen=True, kw_only=True):
    """The facts by which tools read a store: versioned, kept in the engine."""

    name: str
    kind: Literal["kv", "window", "session", "sliding"]
    key_codec: str
    """The name of the codec of the keys alone (``keys.key_codec_by_name``)."""
    value_codec: str
    """The name of the values' serde."""
    window_size_ms: int | None = None
    window_advance_ms: int | None = None
    window_calendar: str | None = None
    """The calendar of windows of unequal length (``calendar``), such as ``day Europe/Berlin``."""
    session_gap_ms: int | None = None
    """The gap that ends a session, in a store of sessions (``session_keys``)."""
    sliding_size_ms: int | None = None
    """The size of sliding windows, as declared (``sliding_windows``)."""
    aggregations: list[tuple[str, str]] = []
    """Name and kind of each aggregation, in the order in which the stored value holds them."""
    marks_matches: bool = False
    """Whether the rows of a join of streams say which of them have met a record of the other side."""
    follows: str | None = None
    """The topic that restores the store: its changelog, or the topic whose table it is."""
    value_form: dict[str, Any] | None = None
    """The form of the values (``value_forms``); ``None`` where it is not known, as in version 0.1.0."""
    version: int = 2


def describe_store(
    engine: KeyValueEngine, description: StoreDescription, *, starts_over: bool = False
) -> None:
    """Save a store's description in its engine, if it differs.

    Args:
        starts_over: the stored data will be deleted, so its description does not matter.

    Raises:
        TopologyError: the store was written with other keys, values or windows.
    """
    written = store_description(engine, description.name)
    described = description if written is None or starts_over else updated(written, description)
    if described != written:
        engine.apply([], {}, {_note_name(description.name): msgspec.json.encode(described)})


def updated(written: StoreDescription, declared: StoreDescription) -> StoreDescription:
    """Return the description of a store that is written under both descriptions.

    Raises:
        TopologyError: stored data cannot be read as it is declared now.
    """
    change = change_between(written, declared)
    if change is not None:
        facts = fact_text(
            table=written.name, what=change.what, stored=change.stored, declared=change.declared
        )
        raise TopologyError(
            "the table was written under another declaration; go back to that one, give the table another "
            "name, or start it over with `streamcore app MODULE:APP reset --table NAME`: "
            f"{change.reason}{': ' if change.reason else ''}{facts}"
        )
    return msgspec.structs.replace(declared, value_form=merged(written.value_form, declared.value_form))


class Change(Struct, frozen=True):
    """A difference between two descriptions that changes the meaning of stored bytes."""

    what: str
    stored: object
    declared: object
    reason: str = ""


def change_between(written: StoreDescription, declared: StoreDescription) -> Change | None:
    """Return the first difference that changes the meaning of stored bytes; ``None`` if there is none."""
    for what in _MEANING:
        before, now = getattr(written, what), getattr(declared, what)
        if before != now:
            return Change(what, before, now)
    if declared.marks_matches and not written.marks_matches:
        unmarked = "the rows of the join do not say which have met a record, so how= needs new ones"
        return Change("marks_matches", False, True, unmarked)
    if written.value_form is not None and declared.value_form is not None:
        reason = difference(written.value_form, declared.value_form)
        if reason is not None:
            return Change("value_type", written.value_form["kind"], declared.value_form["kind"], reason)
    return None


def store_description(engine: KeyValueEngine, store: str) -> StoreDescription | None:
    """Return the description of a store; ``None`` if it has none.

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
                with_facts(
                    "this store was written by a newer version of streamcore: update this program",
                    store=store,
                    version=version,
                    readable=DESCRIPTION_VERSION,
                )
            )
        return msgspec.json.decode(note, type=StoreDescription)
    except msgspec.MsgspecError as error:
        raise CorruptStoreError(
            with_facts(
                "the description of a store cannot be read; delete the folder of the task, the state will be"
                f" restored from its changelogs: {error}",
                store=store,
            )
        ) from error


class _Versioned(msgspec.Struct):
    """The part of a description that every version has."""

    version: int


def _note_name(store: str) -> str:
    return f"store/{store}"
