"""Queries of the tables of a running application: the partitions of this worker as one table."""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import datetime
from typing import Any, Final, TypeVar

from streamcore.durations import duration_ms, time_ms
from streamcore.errors import ClosedError, NotOwnerError, UsageError, fact_text
from streamcore.model import Offset, TopicPartition, Windowed
from streamcore.processing.runtime.key_partitions import KeyPartition, TableKeyPartitions
from streamcore.processing.runtime.open_partitions import OpenPartitions, PartitionSource, not_here
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

_READS_MAX: Final = 5
"""How often a query is repeated if a commit, or a task that was opened or closed, came between two reads."""

R = TypeVar("R")

Time = datetime | str | int
WaitForPosition = Callable[[StoreSpec, Position, int], None]


class TableQuery:
    """The query object of one table of a running application, for any thread.

    Queries see committed writes. ``position`` in an answer is the position of the inputs that it reflects. If
    several workers share an application, a query reads the partitions that this worker has at the time of the
    query.
    """

    def __init__(
        self,
        store: StoreSpec,
        partitions: Callable[[], OpenPartitions],
        wait_for: WaitForPosition,
        is_open: Callable[[], bool],
        places: TableKeyPartitions,
        history: HistoryQuery | None = None,
    ) -> None:
        """Unite the views of the partitions.

        Args:
            partitions: returns the partitions that are open now.
            wait_for: waits until the table reflects a position.
            places: the partitions that keys lead to.
            history: the versions of the rows, if the table keeps them.
        """
        self._partitions = partitions
        self._places = places
        self._history = history
        self.store = store
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

    @property
    def sub_topology(self) -> str | None:
        """The name of the sub-topology whose tasks have the table; ``None`` for a global table."""
        return self._places.sub_topology

    def position(self) -> Position:
        """Return the position of the inputs that the table reflects."""
        return self._read(OpenPartitions.position)

    def partitions(self) -> list[int]:
        """Return the partitions of the table that this worker has open now."""
        return self._read(lambda partitions: list(partitions.views))

    def partition_count(self) -> int:
        """Return how many partitions the table has, on all workers."""
        return self._read(lambda partitions: partitions.count)

    def partition_of(self, key: Any) -> KeyPartition | None:
        """Return the partition that a key leads to; ``None`` if it may be in any."""
        return self._places.of(key)

    def only(self, partitions: Collection[int]) -> TableQuery:
        """Return a query of some partitions alone.

        Its queries raise ``NotOwnerError`` while one of them is not open on this worker.
        """
        return self._of(lambda: self._partitions().only(partitions), lambda history: history.only(partitions))

    def here(self) -> TableQuery:
        """Return a query of the partitions that this worker has, as if they were the whole table."""
        return self._of(lambda: self._partitions().as_all(), HistoryQuery.here)

    def _of(
        self,
        partitions: Callable[[], OpenPartitions],
        history_of: Callable[[HistoryQuery], HistoryQuery],
    ) -> TableQuery:
        history = None if self._history is None else history_of(self._history)
        return TableQuery(self.store, partitions, self._wait_for, self._is_open, self._places, history)

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
            NotOwnerError: the key may be in a partition that this worker does not have.
            RequestTimeoutError: the table does not reflect ``at_least`` in time.
            SerdeError: the key is not of the table's key type.
            UsageError: an agent wrote the key in several partitions.
        """
        self._ensure_open()
        if at_least is not None:
            self._wait_for(self.store, Position(at_least), duration_ms(timeout))
        at_ms = None if at is None else time_ms(at)
        return self._read(lambda partitions: self._get(partitions, key, at_ms))

    def _get(self, partitions: OpenPartitions, key: Any, at_ms: int | None) -> Answer[Any] | None:
        position = partitions.position()
        if at_ms is not None and self._history is not None:
            found = self._history.value_as_of(key, at_ms)
            return None if found is None else Answer(found.value, position, key, found.partition)
        answers = [
            answer for view in partitions.views.values() if (answer := view.get(key, at=at_ms)) is not None
        ]
        if len(answers) > 1:
            raise UsageError(
                "the key has values in several partitions: the agent's topic has another key than the "
                "table; let the agent follow topic.group_by(...), or look at all(): "
                + fact_text(table=self.name, key=repr(key))
            )
        if answers:
            (answer,) = answers
            found_key = key if answer.key is None else answer.key
            return Answer(answer.value, position, found_key, answer.partition)
        self._ensure_none_elsewhere(partitions, key)
        return None

    def _ensure_none_elsewhere(self, partitions: OpenPartitions, key: Any) -> None:
        """Raise ``NotOwnerError`` if a partition that is not open here may hold the key."""
        if partitions.is_complete:
            return
        place = self._places.of(key)
        if place is not None and place.is_certain:
            if place.partition not in partitions.views:
                raise not_here(self.name, [place.partition])
            return
        raise not_here(self.name, {*range(partitions.count)} - {*partitions.views})

    def range(self, start: Any = None, end: Any = None) -> Iterator[Answer[Any]]:
        """Return the keys in ``[start, end)`` in order; a bound that is ``None`` is open.

        Here and in the other queries with several answers, the iterator raises ``NotOwnerError`` if the
        worker gives a partition away meanwhile.
        """
        return self._united(lambda view: view.range(start, end))

    def prefix(self, prefix: Any) -> Iterator[Answer[Any]]:
        """Return the keys that begin with a text or bytes, in order."""
        return self._united(lambda view: view.prefix(prefix))

    def all(self) -> Iterator[Answer[Any]]:
        """Return all keys, in order; of a windowed table by window start and then key."""
        return self._united(lambda view: view.all())

    def windows(
        self, key: Any, since: Time | None = None, until: Time | None = None
    ) -> Iterator[Answer[Any]]:
        """Return the windows of a key that start in ``[since, until)``, earliest first."""
        since_ms, until_ms = _bound(since), _bound(until)
        return self._united(lambda view: view.windows(key, since_ms, until_ms))

    def windows_between(self, since: Time | None = None, until: Time | None = None) -> Iterator[Answer[Any]]:
        """Return the windows of all keys that start in ``[since, until)``, by start and then key."""
        since_ms, until_ms = _bound(since), _bound(until)
        return self._united(lambda view: view.windows_between(since_ms, until_ms))

    def place_in_order(self, key: Any) -> tuple[int, bytes]:
        """Return the place of the key of an answer in the order of the queries with several answers."""
        if self.is_windowed:
            assert isinstance(key, Windowed)
            return key.start_ms, self.keys.encode(key.key)
        return 0, self.keys.encode(key)

    def _united(self, ask: Callable[[StoreView[Any, Any]], Iterator[Answer[Any]]]) -> Iterator[Answer[Any]]:
        parts = self._read(lambda partitions: [ask(view) for view in partitions.views.values()])
        return self._while_open(heapq.merge(*parts, key=lambda answer: self.place_in_order(answer.key)))

    def _while_open(self, answers: Iterator[Answer[Any]]) -> Iterator[Answer[Any]]:
        try:
            yield from answers
        except ClosedError as error:
            raise self._gone() from error

    def _read(self, read: Callable[[OpenPartitions], R]) -> R:
        """Read from the open partitions, and again if the worker's thread closes one of them meanwhile."""
        closed: ClosedError | None = None
        for _ in range(_READS_MAX):
            self._ensure_open()
            try:
                return read(self._partitions())
            except ClosedError as error:
                closed = error
        raise self._gone() from closed

    def _gone(self) -> NotOwnerError:
        """Return the error of a query whose partition is closed meanwhile, unless the worker has stopped."""
        self._ensure_open()
        return NotOwnerError(
            "the worker gave a part of the table to another one during the query; make it again: "
            + fact_text(table=self.name)
        )

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

    def only(self, partitions: Collection[int]) -> HistoryQuery:
        """Return a query of some partitions alone."""
        return HistoryQuery(self._keys.only(partitions), self._versions.only(partitions), self._decode)

    def here(self) -> HistoryQuery:
        """Return a query of the partitions that this worker has, as if they were the whole table."""
        return HistoryQuery(self._keys.here(), self._versions.here(), self._decode)

    def value_as_of(self, key: Any, time_ms: int) -> Answer[Any] | None:
        """Return the value that a key had at a time; ``None`` if it had none, or it is not known any more."""
        held: Version | None = None
        partition: int | None = None
        for _ in range(_READS_MAX):
            answer = self._keys.get(key)
            if answer is None:
                return None
            partition = answer.partition
            held, is_whole = self._held(key, answer.value, time_ms)
            if is_whole:
                break
        if held is None or held.data is None:
            return None
        return Answer(self._decode(held.data), Position(), key, partition)

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
    task_set: Callable[[], TaskSet], table: AnyTable, wait_for: WaitForPosition, is_open: Callable[[], bool]
) -> TableQuery:
    """Return the query object of a table, given by its name or as declared, over the engines that hold it.

    ``task_set`` returns the tasks as they are now: the query object follows them.

    Raises:
        UsageError: the application has no table of this name.
    """
    present = task_set()
    stores = {store.name: store for store in stores_of(present)}
    store = stores[table_name(table, stores)]
    kept = _history_of(present, store)
    history = None
    if kept is not None:
        keys, versions = (
            table_query(task_set, each.name, wait_for, is_open) for each in (kept.keys, kept.versions)
        )
        history = HistoryQuery(keys, versions, store.value_serde.decode)
    places = TableKeyPartitions(present.plan, present.counts, store)
    return TableQuery(store, PartitionSource(task_set, store), wait_for, is_open, places, history)


def _history_of(task_set: TaskSet, store: StoreSpec) -> TableHistory | None:
    """Return the history of a table, if it keeps one."""
    for sub_topology in task_set.plan.sub_topologies:
        for node in sub_topology.nodes:
            if isinstance(node, TableSource) and node.store is store:
                return node.history
    return None


def committed_table(task_set: Callable[[], TaskSet], store: StoreSpec) -> ReadOnlyTable:
    """Return a table for timers: the parts of all tasks of this worker, as of the last commit.

    Raises:
        UsageError: the application has no such table.
    """
    if not any(known is store for known in stores_of(task_set())):
        raise UsageError(f"the table is not one of this application's: {fact_text(table=store.name)}")
    view = table_query(task_set, store.name, lambda *_: None, lambda: True).here()
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
