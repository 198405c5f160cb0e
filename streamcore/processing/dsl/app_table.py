"""Tables that agents write, with the interface of a mapping."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import reduce
from typing import Any, Generic, NoReturn, TypeVar, overload

from msgspec.structs import replace

from streamcore.errors import SerdeError, TopologyError, UsageError, fact_text
from streamcore.processing.context import table_in_task, window_starts_now
from streamcore.processing.dsl.checks import Duration, check_function, legal_name, type_name
from streamcore.processing.dsl.declaration import Declaration, check_key_type, value_serde_for
from streamcore.processing.dsl.table_access import TableAccess, Time
from streamcore.processing.dsl.window_values import WindowValues
from streamcore.processing.dsl.windowed_stream import (
    declared_calendar,
    declared_sessions,
    declared_windows,
)
from streamcore.processing.topology.code_locations import declares, shown
from streamcore.processing.topology.immutable_types import is_immutable
from streamcore.processing.topology.nodes import StoreSpec
from streamcore.processing.topology.windows import AnyWindows, Windows
from streamcore.state.calendar import CalendarUnit

K = TypeVar("K")
V = TypeVar("V")


class AppTable(TableAccess[K, V], Generic[K, V]):
    """A table that agents write: ``t[k]``, ``t[k] = v``, ``t[k] += 1``, ``del t[k]``, ``k in t``.

    Each task of the agent has a separate part of the table: the keys that this task wrote. ``len``,
    iteration, ``keys``, ``values``, ``items`` and ``clear`` apply to that part only. A changed value must be
    assigned back; mutating it in place changes nothing in the table.
    """

    def __init__(self, declaration: Declaration, store: StoreSpec, value_type: Any = None) -> None:
        self.declaration = declaration
        self.store = store
        self._value_type = value_type

    def __repr__(self) -> str:
        windows = "" if self.store.windows is None else f" windows={self.store.windows.text!r}"
        types = f"key={type_name(self.store.key_type)} value={type_name(self._value_type)}"
        return f"<AppTable {self.name!r} {types}{windows}>"

    @declares
    def tumbling(self, size: Duration, *, retention: Duration | None = None) -> AppTable[K, V]:
        """Return the table with tumbling windows: ``t[k]`` is the value in the window of the current event.

        The table that ``app.table`` returned must not be used any more. Windows older than ``retention`` are
        dropped.

        Raises:
            TopologyError: a duration is invalid, or the table is windowed already.
        """
        windows = declared_windows(size, size, 0, retention, table=self.name)
        return AppTable(self.declaration, self._windowed(windows), self._value_type)

    @declares
    def hopping(
        self, size: Duration, advance: Duration, *, retention: Duration | None = None
    ) -> HoppingTable[K, V]:
        """Return the table with windows of one size that start every ``advance``.

        ``t[k]`` has the values of all windows that hold the current event, so ``t[k] += 1`` changes each of
        them. See ``tumbling``.

        Raises:
            TopologyError: a duration is invalid, the table is windowed already, or it has no default.
        """
        windows = declared_windows(size, advance, 0, retention, table=self.name)
        if self.store.default is None:
            raise TopologyError(
                "an event is in several windows, some of which have no value yet; give the table a default, "
                f"app.table(..., default=): {fact_text(table=self.name)}"
            )
        return HoppingTable(self.declaration, self._windowed(windows), self._value_type)

    @declares
    def calendar(
        self, unit: CalendarUnit, *, tz: str = "UTC", retention: Duration | None = None
    ) -> AppTable[K, V]:
        """Return the table with the days, weeks or months of a time zone as its windows.

        See ``Stream.calendar`` and ``tumbling``.

        Raises:
            TopologyError: the unit or the zone is unknown, a duration is invalid, or the table is windowed
                already.
        """
        windows = declared_calendar(unit, tz, 0, retention, table=self.name)
        return AppTable(self.declaration, self._windowed(windows), self._value_type)

    @declares
    def session(
        self,
        gap: Duration,
        *,
        merge: Callable[[V, V], V] | None = None,
        retention: Duration | None = None,
    ) -> SessionTable[K, V]:
        """Return the table with sessions: ``t[k]`` is the value in the session that the event belongs to.

        A write makes the event a part of the session. An event that is at most the gap away from two
        sessions unites them: ``t[k]`` is then ``merge(earlier, later)`` of their values. See ``tumbling``.

        Raises:
            TopologyError: there is no ``merge``, a duration is invalid, or the table is windowed already.
        """
        windows = declared_sessions(gap, 0, retention, table=self.name)
        if merge is None:
            raise TopologyError(
                "sessions unite when an event falls between them; say what the value is then, "
                "session(gap, merge=lambda earlier, later: ...): " + fact_text(table=self.name)
            )
        check_function(merge, step=f"{self.name}:merge", takes=("earlier", "later"))
        return SessionTable(self.declaration, self._windowed(windows), self._value_type, merge)

    @declares
    def sliding(self, size: Duration, **_: object) -> NoReturn:
        """Raise ``TopologyError``: an agent's table has no sliding windows."""
        raise TopologyError(
            "an agent's table has no sliding windows: each event makes windows that hold earlier events, "
            "whose values only an aggregation can add; aggregate the stream, "
            "stream.sliding(size).aggregate(...), and read that table in the agent: "
            + fact_text(table=self.name, size=shown(size))
        )

    def _windowed(self, windows: AnyWindows) -> StoreSpec:
        """Declare the table's store with windows, in place of the store without."""
        tables = self.declaration.app_tables
        if not any(store is self.store for store in tables):
            raise TopologyError(f"the table is windowed already: {fact_text(table=self.name)}")
        windowed = replace(self.store, windows=windows)
        tables[:] = [windowed if store is self.store else store for store in tables]
        return windowed

    def __getitem__(self, key: K) -> V:
        store = self.store
        store_key = key if store.windows is None else self._store_key(key)
        value = table_in_task(store).get(store_key)
        if value is not None:
            return value  # type: ignore[no-any-return]
        if store.default is None:
            raise KeyError(key)
        return self._default()

    def __setitem__(self, key: K, value: V) -> None:
        if value is None:
            raise ValueError("None deletes a key: use del table[key]")
        store = self.store
        table_in_task(store).put(key if store.windows is None else self._store_key(key), value)

    def __delitem__(self, key: K) -> None:
        store = table_in_task(self.store)
        store_key = self._store_key(key)
        if store.get(store_key) is None:
            raise KeyError(key)
        store.delete(store_key)

    @overload
    def pop(self, key: K, default: V) -> V: ...
    @overload
    def pop(self, key: K, default: V | None = ...) -> V | None: ...
    def pop(self, key: K, default: V | None = None) -> V | None:
        """Remove a key; return its value, or ``default`` if there was none."""
        store = table_in_task(self.store)
        store_key = self._store_key(key)
        value = store.get(store_key)
        if value is None:
            return default
        store.delete(store_key)
        return value  # type: ignore[no-any-return]

    def setdefault(self, key: K, default: V | None = None) -> V:
        """Return the value of a key; a missing key is first set to ``default``, or to the table's default.

        Raises:
            UsageError: there is neither default.
        """
        value = self.get(key)
        if value is not None:
            return value
        if default is None:
            if self.store.default is None:
                raise UsageError(
                    "give a default, table.setdefault(key, value), or declare one, app.table(..., default=): "
                    + fact_text(table=self.name)
                )
            default = self._default()
        self[key] = default
        return default

    def update(self, values: Mapping[K, V] | Iterable[tuple[K, V]]) -> None:
        """Set many keys, from a mapping or from pairs."""
        for key, value in values.items() if isinstance(values, Mapping) else values:
            self[key] = value

    def clear(self) -> None:
        """Remove all keys of this task; of a windowed table, in all windows."""
        store = table_in_task(self.store)
        for place in [place for place, _ in store.items()]:
            store.delete(place)

    def _default(self) -> V:
        default = self.store.default
        return default() if callable(default) else default  # type: ignore[no-any-return]


class HoppingTable(AppTable[K, V], Generic[K, V]):
    """A table that agents write, with windows that overlap: an event is in several of them.

    ``t[k]`` has the value of each window that holds the event. ``t[k] = v`` sets ``v`` in all of them; a
    ``v`` that was computed from ``t[k]`` or ``t.get(k, default)`` has a value for each window.
    """

    @overload  # type: ignore[override]
    def get(self, key: K, default: V, *, at: None = ...) -> WindowValues[V]: ...
    @overload
    def get(self, key: K, default: None = ..., *, at: None = ...) -> WindowValues[V] | None: ...
    @overload
    def get(self, key: K, default: V, *, at: Time) -> V: ...
    @overload
    def get(self, key: K, default: None = ..., *, at: Time) -> V | None: ...
    def get(self, key: K, default: V | None = None, *, at: Time | None = None) -> WindowValues[V] | V | None:
        """Return ``t[k]``, with ``default`` in the windows that have no value of the key.

        Without a default, it is ``None`` if no window that holds the event has a value.

        Args:
            at: a time: return the value of the window that holds it; of several, the one that starts last.

        Raises:
            UsageError: the table cannot be read here, or ``at`` is left out where no event is at hand.
        """
        if at is not None:
            return super().get(key, default, at=at)
        stored = self._stored(key)
        if default is None and all(value is None for value in stored.values()):
            return None
        return self._with_default(key, stored, default)

    def __getitem__(self, key: K) -> WindowValues[V]:  # type: ignore[override]
        return self._with_default(key, self._stored(key), None)

    def __setitem__(self, key: K, value: V | WindowValues[V]) -> None:
        if isinstance(value, WindowValues):
            changes = {window.start_ms: found for window, found in value.items()}
        else:
            changes = dict.fromkeys(window_starts_now(self.store), value)
        if any(found is None for found in changes.values()):
            raise ValueError("None deletes a key: use del table[key]")
        table = table_in_task(self.store)
        for start_ms, found in changes.items():
            table.put((key, start_ms), found)

    def __contains__(self, key: K) -> bool:
        """Whether a window that holds the event has a value of the key."""
        return any(value is not None for value in self._stored(key).values())

    def __delitem__(self, key: K) -> None:
        """Remove the key from all windows that hold the event."""
        if key not in self:
            raise KeyError(key)
        self._remove(key)

    def pop(self, key: K, default: Any = None) -> Any:
        """Remove a key from all windows that hold the event; return ``t[k]``, or ``default`` if there was
        none.
        """
        if key not in self:
            return default
        found = self[key]
        self._remove(key)
        return found

    def setdefault(self, key: K, default: V | None = None) -> WindowValues[V]:  # type: ignore[override]
        """Set the windows that have no value of the key to ``default``, or to the table's default; return
        ``t[k]``.
        """
        table = table_in_task(self.store)
        for start_ms, value in self._stored(key).items():
            if value is None:
                table.put((key, start_ms), self._default() if default is None else default)
        return self[key]

    def _stored(self, key: K) -> dict[int, V | None]:
        """Return what the windows that hold the event have of a key, by their starts."""
        table = table_in_task(self.store)
        return {start_ms: table.get((key, start_ms)) for start_ms in window_starts_now(self.store)}

    def _with_default(self, key: K, stored: dict[int, V | None], default: V | None) -> WindowValues[V]:
        windows = self.store.windows
        assert isinstance(windows, Windows)
        values = [
            value if value is not None else self._default() if default is None else default
            for value in stored.values()
        ]
        return WindowValues(self.name, [windows.windowed(key, start_ms) for start_ms in stored], values)

    def _remove(self, key: K) -> None:
        table = table_in_task(self.store)
        for start_ms, value in self._stored(key).items():
            if value is not None:
                table.delete((key, start_ms))


class SessionTable(AppTable[K, V], Generic[K, V]):
    """A table that agents write, with a value for each session of a key.

    ``t[k]`` is the value of the session that the event belongs to: of the sessions that are at most the gap
    away from it, merged. ``t[k] = v`` makes them one session with the event.
    """

    def __init__(
        self, declaration: Declaration, store: StoreSpec, value_type: Any, merge: Callable[[V, V], V]
    ) -> None:
        super().__init__(declaration, store, value_type)
        self._merge = merge

    @overload
    def get(self, key: K, default: V, *, at: Time | None = ...) -> V: ...
    @overload
    def get(self, key: K, default: V | None = ..., *, at: Time | None = ...) -> V | None: ...
    def get(self, key: K, default: V | None = None, *, at: Time | None = None) -> V | None:
        """Return the value of the session that the event belongs to, or ``default``.

        Args:
            at: a time: return the value of the session that holds it.

        Raises:
            UsageError: the table cannot be read here, or ``at`` is left out where no event is at hand.
        """
        if at is not None:
            return super().get(key, default, at=at)
        found = self._touched(key)
        return reduce(self._merge, found) if found else default

    def __getitem__(self, key: K) -> V:
        found = self._touched(key)
        if found:
            return reduce(self._merge, found)
        if self.store.default is None:
            raise KeyError(key)
        return self._default()

    def __contains__(self, key: K) -> bool:
        return bool(self._touched(key))

    def __delitem__(self, key: K) -> None:
        """Remove the session that the event belongs to."""
        if key not in self:
            raise KeyError(key)
        table_in_task(self.store).delete(self._store_key(key))

    def pop(self, key: K, default: V | None = None) -> Any:
        """Remove the session that the event belongs to; return its value, or ``default`` if there is none."""
        found = self.get(key)
        if found is None:
            return default
        del self[key]
        return found

    def clear(self) -> None:
        """Remove all sessions of this task."""
        table = table_in_task(self.store)
        for key, start_ms, _ in [place for place, _ in table.items()]:
            table.delete((key, start_ms))

    def _touched(self, key: K) -> list[V]:
        key, at_ms = self._store_key(key)
        table: Any = table_in_task(self.store)
        found: list[V] = table.touching(key, at_ms)
        return found


def declare_table(
    declaration: Declaration, name: str, *, key: Any, value: Any, default: Any, codec: str
) -> AppTable[Any, Any]:
    """Declare a table that code of the application writes.

    Raises:
        TopologyError: the name is taken, or the default is not a value of the table.
        UsageError: keys or values of this type cannot be stored.
    """
    legal_name(name, "table")
    check_key_type(key, table=name)
    value_serde = value_serde_for(value, codec)
    if callable(default):
        check_function(default, step=f"{name}:default", takes=())
    elif default is not None:
        try:
            value_serde.encode(default)
        except SerdeError as error:
            raise TopologyError(
                "the default is a value of the table, or a function that makes one: "
                + fact_text(table=name, default=shown(default), reason=error)
            ) from error
    store = StoreSpec(
        name=declaration.store_name(name),
        key_type=key,
        value_serde=value_serde,
        default=default,
        copies_on_read=value is not float and not is_immutable(value),
    )
    declaration.app_tables.append(store)
    return AppTable(declaration, store, value)
