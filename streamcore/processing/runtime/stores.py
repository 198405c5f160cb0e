"""The running side of a declared store: its write-back, and its description for tools.

Which layout a store has follows from its windows, or that it is an index, here and nowhere else.
"""

from __future__ import annotations

from typing import Any, Literal

from streamcore.processing.topology.nodes import StoreSpec
from streamcore.processing.topology.windows import (
    CalendarWindows,
    SessionWindows,
    SlidingWindows,
    TimeWindows,
)
from streamcore.state.descriptions import DESCRIPTION_VERSION, StoreDescription
from streamcore.state.engine import KeyValueEngine
from streamcore.state.keys import KeyCodec, key_codec
from streamcore.state.pairs import PairStore
from streamcore.state.row_store import RowStore, chunk_key_codec
from streamcore.state.session_keys import period_of_gap
from streamcore.state.sessions import SessionStore
from streamcore.state.sliding_windows import SlidingStore
from streamcore.state.value_forms import form_of
from streamcore.state.windowed import WindowStore
from streamcore.state.write_back import WriteBack
from streamcore.state.written_sessions import WrittenSessions


def write_back_of(engine: KeyValueEngine, store: StoreSpec) -> WriteBack[Any, Any]:
    """Return the write-back of a store in a task's engine."""
    serde = store.value_serde
    if store.is_of_join:
        return RowStore(engine, store.name, store.key_type, serde.encode, serde.decode)
    parts = (engine, store.name, key_codec(store.key_type), serde.encode, serde.decode)
    value_type = serde.type_name
    if store.is_index:
        return PairStore(*parts, value_type=value_type)
    match store.windows:
        case SessionWindows(gap_ms) if not store.is_kept_by_step:
            return WrittenSessions(*parts, gap_ms=gap_ms, value_type=value_type)
        case SessionWindows(gap_ms):
            return SessionStore(*parts, period_ms=period_of_gap(gap_ms), value_type=value_type)
        case SlidingWindows(size_ms):
            return SlidingStore(*parts, size_ms=size_ms, value_type=value_type)
        case None:
            return WriteBack(*parts, copy_on_read=store.copies_on_read, value_type=value_type)
        case _:
            return WindowStore(*parts, copy_on_read=store.copies_on_read, value_type=value_type)


def _window_facts(store: StoreSpec) -> dict[str, Any]:
    """Return the fields of a description that say which windows a store has."""
    match store.windows:
        case TimeWindows(size_ms, advance_ms):
            return {"window_size_ms": size_ms, "window_advance_ms": advance_ms}
        case CalendarWindows(calendar):
            return {"window_calendar": calendar.text, "version": DESCRIPTION_VERSION}
        case SessionWindows(gap_ms):
            return {"session_gap_ms": gap_ms, "version": DESCRIPTION_VERSION}
        case SlidingWindows(size_ms):
            return {"sliding_size_ms": size_ms, "version": DESCRIPTION_VERSION}
        case _:
            return {}


def _layout_of(store: StoreSpec) -> Literal["kv", "window", "session", "sliding"]:
    match store.windows:
        case None:
            return "kv"
        case SessionWindows():
            return "session"
        case SlidingWindows():
            return "sliding"
        case _:
            return "window"


def stored_keys(store: StoreSpec) -> KeyCodec[Any]:
    """Return the codec of the keys in the engine: those of a join's store are pairs of key and number."""
    return chunk_key_codec(store.key_type) if store.is_of_join else key_codec(store.key_type)


def description_of(store: StoreSpec, name: str, *, follows: str) -> StoreDescription:
    """Return the description of a store, for tools."""
    return StoreDescription(
        name=name,
        kind=_layout_of(store),
        key_codec=stored_keys(store).name,
        value_codec=store.value_serde.name,
        **_window_facts(store),
        aggregations=[(attribute, aggregator.stored_kind) for attribute, aggregator in store.aggregators],
        marks_matches=store.marks_matches,
        follows=follows,
        value_form=form_of(store.value_serde.value_type),
    )
