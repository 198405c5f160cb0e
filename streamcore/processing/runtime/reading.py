"""Read-only access of agents, timers and functions of steps to tables that steps write."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import NoneType
from typing import Any, NoReturn

from streamcore.errors import UsageError, fact_text
from streamcore.processing.runtime.global_tables import GlobalTableKeeper
from streamcore.processing.topology.immutable_types import is_immutable
from streamcore.processing.topology.nodes import StoreSpec
from streamcore.state.write_back import WriteBack

_IMMUTABLE = frozenset({int, float, str, bytes, bool, NoneType})


class ReadOnlyTable:
    """A table for reading, by the keys of its store: of a windowed table (key, start of the window)."""

    def __init__(
        self, name: str, get: Callable[[Any], Any], items: Callable[[], Iterable[tuple[Any, Any]]]
    ) -> None:
        self._name = name
        self._get = get
        self._items = items

    def get(self, key: Any) -> Any:
        """Return the value, or ``None``."""
        return self._get(key)

    def items(self) -> Iterable[tuple[Any, Any]]:
        """Return all keys and values, in key order."""
        return self._items()

    def put(self, key: Any, value: Any) -> NoReturn:
        """Raise ``UsageError``: only the step writes the table."""
        raise UsageError(
            "the table is only read here; agents write those of app.table(...): "
            + fact_text(table=self._name)
        )

    def delete(self, key: Any) -> NoReturn:
        """Raise ``UsageError``: only the step writes the table."""
        self.put(key, None)


def part_of_task(store: StoreSpec, part: WriteBack[Any, Any]) -> ReadOnlyTable:
    """Return a task's part of a table that one of its steps writes, with all writes so far."""
    result = store.result
    encode, decode = store.value_serde.encode, store.value_serde.decode
    never_changes = not store.aggregators and is_immutable(store.value_serde.value_type)

    def own(state: Any) -> Any:
        # The store continues to use the object that it holds, so the reader gets a copy, if it can change.
        kind = type(state)
        is_shared = (
            never_changes or kind in _IMMUTABLE or (kind is tuple and _IMMUTABLE.issuperset(map(type, state)))
        )
        own_state = state if is_shared else decode(encode(state))
        return own_state if result is None else result(own_state)

    def get(key: Any) -> Any:
        state = part.get(key)
        return None if state is None else own(state)

    return ReadOnlyTable(store.name, get, lambda: ((key, own(state)) for key, state in part.items()))


def global_table(keeper: GlobalTableKeeper) -> ReadOnlyTable:
    """Return a whole global table."""
    return ReadOnlyTable(keeper.store.name, keeper.get, keeper.items)
