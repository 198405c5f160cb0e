"""Tables that agents write, with the interface of a mapping."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Generic, TypeVar, overload

from streamcore.errors import SerdeError, TopologyError, UsageError, fact_text
from streamcore.processing.context import table_in_task
from streamcore.processing.dsl.checks import Duration, check_function, declared_ms, legal_name, type_name
from streamcore.processing.dsl.declaration import Declaration, check_key_type, value_serde_for
from streamcore.processing.dsl.table_access import TableAccess
from streamcore.processing.topology.immutable_types import is_immutable
from streamcore.processing.topology.nodes import StoreSpec
from streamcore.processing.topology.places import declares, shown
from streamcore.processing.topology.windows import TimeWindows

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
        size_ms = declared_ms(size, "a window's size", table=self.name)
        kept_ms = (
            None if retention is None else declared_ms(retention, "retention", least_ms=0, table=self.name)
        )
        tables = self.declaration.app_tables
        if not any(store is self.store for store in tables):
            raise TopologyError(f"the table is windowed already: {fact_text(table=self.name)}")
        windowed = replace(self.store, windows=TimeWindows(size_ms, size_ms, retention_ms=kept_ms))
        tables[:] = [windowed if store is self.store else store for store in tables]
        return AppTable(self.declaration, windowed, self._value_type)

    def __getitem__(self, key: K) -> V:
        store = self.store
        place = key if store.windows is None else self._place(key)
        value = table_in_task(store).get(place)
        if value is not None:
            return value  # type: ignore[no-any-return]
        if store.default is None:
            raise KeyError(key)
        return self._default()

    def __setitem__(self, key: K, value: V) -> None:
        if value is None:
            raise ValueError("None deletes a key: use del table[key]")
        store = self.store
        table_in_task(store).put(key if store.windows is None else self._place(key), value)

    def __delitem__(self, key: K) -> None:
        store = table_in_task(self.store)
        place = self._place(key)
        if store.get(place) is None:
            raise KeyError(key)
        store.delete(place)

    @overload
    def pop(self, key: K, default: V) -> V: ...
    @overload
    def pop(self, key: K, default: V | None = ...) -> V | None: ...
    def pop(self, key: K, default: V | None = None) -> V | None:
        """Remove a key; return its value, or ``default`` if there was none."""
        store = table_in_task(self.store)
        place = self._place(key)
        value = store.get(place)
        if value is None:
            return default
        store.delete(place)
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
