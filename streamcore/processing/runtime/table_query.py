"""Queries of the tables of a running application: all partitions of this worker as one table."""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from streamcore.durations import duration_ms, time_ms
from streamcore.errors import ClosedError, UsageError, fact_text
from streamcore.model import Offset, TopicPartition, Windowed
from streamcore.processing.runtime.outside import AnyTable, table_name
from streamcore.processing.runtime.reading import ReadOnlyTable
from streamcore.processing.runtime.stores import description_of, stored_keys
from streamcore.processing.runtime.task_set import TaskSet
from streamcore.processing.topology.nodes import StoreSpec, TableHistory, TableSource
from streamcore.processing.topology.versions import KeyHistory, Version, time_of
from streamcore.processing.topology.windows import RecordWindows
from streamcore.state.descriptions import StoreDescription
from streamcore.state.keys import KeyCodec
from streamcore.state.position import Position
from streamcore.state.queries import Answer, StoreView
from streamcore.state.session_view import store_view

_READS_MAX: Final = 5
"""How often a history is read again, because a commit has come between two reads."""

Time = datetime | str | int
WaitForPosition = Callable[[StoreSpec, Position, int], None]


class TableQuery:
    """The query object of one table of a running application, for any thread.

    Queries see committed writes. ``position`` in an answer is the position of the inputs that it reflects.
    """

    def __init__(
        self,
        store: StoreSpec,
        views: Sequence[StoreView[Any, Any]],
        wait_for: WaitForPosition,
        is_open: Callable[[], bool],
        reached: Callable[[], Position] | None = None,
        history: HistoryQuery | None = None,
    ) -> None:
        """Unite the views of the partitions.

        Args:
            wait_for: waits until the table reflects a position.
            reached: returns the position of the table, where the engines do not know it (global tables).
            history: the versions of the rows, if the table keeps them.
        """
        self._reached = reached
        self._history = history
        self.store = store
        self._views = views
        self._wait_for = wait_for
        self._is_open = is_open
        self.keys: KeyCodec[Any] = stored_keys(store)
        """The codec of the keys."""

    @property
    def name(self) -> str:
        """The table's name."""
        return self.store.name

    @property
    def description(self) -> StoreDescription:
        """The description of the store, for tools."""
        return description_of(self.store, self.name, follows="")

    @property
    def is_windowed(self) -> bool:
        """Whether the table's keys are windows."""
        return self.store.windows is not None

    def position(self) -> Position:
        """Return the position of the inputs that the table reflects."""
        self._ensure_open()
        if self._reached is not None:
            return self._reached()
        found = Position()
        for view in self._views:
            found = found.merge(view.position())
        return found

    def get(
        self,
        key: Any,
        *,
        at: Time | None = None,
        at_least: Mapping[TopicPartition, Offset] | None = None,
        timeout: str | int = "30s",
    ) -> Answer[Any] | None:
        """Return the value of a key; of a windowed table, the value in the key's window at a time.

        Of a table with a history, the value that the key had at a time, as a join as of that time finds it;
        ``None`` if it had none, or if the history does not reach back so far.

        Args:
            at: the time, for windowed tables and tables with a history.
            at_least: wait until the table reflects this position, as an acknowledged send returns it.
            timeout: the longest wait for that.

        Raises:
            RequestTimeoutError: the table does not reflect ``at_least`` in time.
            SerdeError: the key is not of the table's key type.
            UsageError: an agent wrote the key in several partitions.
        """
        self._ensure_open()
        if at_least is not None:
            self._wait_for(self.store, Position(at_least), duration_ms(timeout))
        at_ms = None if at is None else time_ms(at)
        position = self.position()
        if at_ms is not None and self._history is not None:
            value = self._history.value_as_of(key, at_ms)
            return None if value is None else Answer(value, position, key)
        found = [answer for view in self._views if (answer := view.get(key, at=at_ms)) is not None]
        if len(found) > 1:
            raise UsageError(
                "the key has values in several partitions: the agent's topic has another key than the "
                "table; let the agent follow topic.group_by(...), or look at all(): "
                + fact_text(table=self.name, key=repr(key))
            )
        if not found:
            return None
        return Answer(found[0].value, position, key if found[0].key is None else found[0].key)

    def range(self, start: Any = None, end: Any = None) -> Iterator[Answer[Any]]:
        """Return the keys in ``[start, end)`` in order; a bound that is ``None`` is open."""
        return self._united([view.range(start, end) for view in self._views])

    def prefix(self, prefix: Any) -> Iterator[Answer[Any]]:
        """Return the keys that begin with a text or bytes, in order."""
        return self._united([view.prefix(prefix) for view in self._views])

    def all(self) -> Iterator[Answer[Any]]:
        """Return all keys, in order; of a windowed table by window start and then key."""
        return self._united([view.all() for view in self._views])

    def windows(
        self, key: Any, since: Time | None = None, until: Time | None = None
    ) -> Iterator[Answer[Any]]:
        """Return the windows of a key that start in ``[since, until)``, earliest first."""
        since_ms, until_ms = _bound(since), _bound(until)
        return self._united([view.windows(key, since_ms, until_ms) for view in self._views])

    def windows_between(self, since: Time | None = None, until: Time | None = None) -> Iterator[Answer[Any]]:
        """Return the windows of all keys that start in ``[since, until)``, by start and then key."""
        since_ms, until_ms = _bound(since), _bound(until)
        return self._united([view.windows_between(since_ms, until_ms) for view in self._views])

    def _united(self, parts: Sequence[Iterator[Answer[Any]]]) -> Iterator[Answer[Any]]:
        self._ensure_open()
        return heapq.merge(*parts, key=self._sort_key)

    def _sort_key(self, answer: Answer[Any]) -> tuple[int, bytes]:
        key = answer.key
        if self.is_windowed:
            assert isinstance(key, Windowed)
            return key.start_ms, self.keys.encode(key.key)
        return 0, self.keys.encode(key)

    def _ensure_open(self) -> None:
        if not self._is_open():
            raise ClosedError(f"the application has stopped; run it again: {fact_text(table=self.name)}")


class HistoryQuery:
    """The versions of the rows of a table, as of the last commit."""

    def __init__(self, keys: TableQuery, versions: TableQuery, decode: Callable[[bytes], Any]) -> None:
        """Read the two stores of a history; ``decode`` returns a value from its bytes in a version."""
        self._keys = keys
        self._versions = versions
        self._decode = decode

    def value_as_of(self, key: Any, time_ms: int) -> Any:
        """Return the value that a key had at a time; ``None`` if it had none, or it is not known any more."""
        held: Version | None = None
        for _ in range(_READS_MAX):
            answer = self._keys.get(key)
            if answer is None:
                return None
            held, is_whole = self._held(key, answer.value, time_ms)
            if is_whole:
                break
        return None if held is None or held.data is None else self._decode(held.data)

    def _held(self, key: Any, history: KeyHistory, time_ms: int) -> tuple[Version | None, bool]:
        """Return the newest version at or before a time, and whether all buckets were there: a commit between
        two reads can delete one.
        """
        for start_ms in reversed(history.starts_ms[: bisect_right(history.starts_ms, time_ms)]):
            bucket = self._versions.get(key, at=start_ms)
            if bucket is None:
                return None, False
            versions: list[Version] = bucket.value
            index = bisect_right(versions, time_ms, key=time_of)
            if index:
                return versions[index - 1], True
        base = history.base
        return (base if base is not None and base.time_ms <= time_ms else None), True


def stores_of(task_set: TaskSet) -> list[StoreSpec]:
    """Return all tables of an application on a log: global ones, then those of tasks."""
    found = [keeper.store for keeper in task_set.global_tables.values()]
    for sub_topology in task_set.plan.sub_topologies:
        found += sub_topology.stores
    return found


def table_query(
    task_set: TaskSet, table: AnyTable, wait_for: WaitForPosition, is_open: Callable[[], bool]
) -> TableQuery:
    """Return the query object of a table, given by its name or as declared, over the engines that hold it.

    Raises:
        UsageError: the application has no table of this name.
    """
    stores = {store.name: store for store in stores_of(task_set)}
    name = table_name(table, stores)
    store = stores[name]
    keeper = task_set.global_tables.get(name)
    if keeper is not None:
        parts = [(keeper.engine, keeper.store_name(each.partition)) for each in keeper.partitions]
    else:
        parts = [(state.engine, name) for state in task_set.states if name in state.task.stores]
    decode, result = store.value_serde.decode, store.result
    shown = decode if result is None else (lambda data: result(decode(data)))
    views = [
        store_view(
            engine,
            description_of(store, part, follows=""),
            shown,
            keys=stored_keys(store),
            value_type=store.value_serde.type_name,
        )
        for engine, part in parts
    ]
    kept = _history_of(task_set, store)
    history = None
    if kept is not None:
        keys, versions = (
            table_query(task_set, each.name, wait_for, is_open) for each in (kept.keys, kept.versions)
        )
        history = HistoryQuery(keys, versions, decode)
    return TableQuery(store, views, wait_for, is_open, None if keeper is None else keeper.position, history)


def _history_of(task_set: TaskSet, store: StoreSpec) -> TableHistory | None:
    """Return the history of a table, if it keeps one."""
    for sub_topology in task_set.plan.sub_topologies:
        for node in sub_topology.nodes:
            if isinstance(node, TableSource) and node.store is store:
                return node.history
    return None


def committed_table(task_set: TaskSet, store: StoreSpec) -> ReadOnlyTable:
    """Return a table for timers: the parts of all tasks of this worker, as of the last commit.

    Raises:
        UsageError: the application has no such table.
    """
    if not any(known is store for known in stores_of(task_set)):
        raise UsageError(f"the table is not one of this application's: {fact_text(table=store.name)}")
    view = table_query(task_set, store.name, lambda *_: None, lambda: True)
    has_own_ends = isinstance(store.windows, RecordWindows)

    def get(place: Any) -> Any:
        if not view.is_windowed or has_own_ends:
            key, at = place if has_own_ends else (place, None)
            answer = view.get(key, at=at)
        else:
            key, start_ms = place
            answer = next(view.windows(key, start_ms, start_ms + 1), None)
        return None if answer is None else answer.value

    def items() -> Iterator[tuple[Any, Any]]:
        for answer in view.all():
            place = answer.key
            if isinstance(place, Windowed) and view.is_windowed:
                place = (place.key, place.start_ms, *([place.end_ms] if has_own_ends else []))
            yield place, answer.value

    return ReadOnlyTable(store.name, get, items)


def _bound(time: Time | None) -> int | None:
    return None if time is None else time_ms(time)
