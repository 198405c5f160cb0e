"""The partitions of a table that a worker has open: they come and go with its tasks."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from streamcore.errors import NotOwnerError, fact_text
from streamcore.processing.runtime.commit import TaskState
from streamcore.processing.runtime.stores import description_of, stored_keys
from streamcore.processing.runtime.task_set import TaskSet
from streamcore.processing.topology.nodes import StoreSpec
from streamcore.processing.topology.plan import task_count
from streamcore.state.position import Position
from streamcore.state.queries import StoreView
from streamcore.state.session_view import store_view


@dataclass(frozen=True, slots=True)
class OpenPartitions:
    """The views of the partitions that are open here, at one time."""

    table: str
    views: Mapping[int, StoreView[Any, Any]]
    """Partition -> its view, in the order of the numbers."""
    count: int
    """How many partitions the table has, here and elsewhere."""
    reached: Callable[[], Position] | None = None
    """Returns the position of the table, where the engines do not know it (global tables)."""
    is_all: bool = False
    """Whether a query is only for these partitions, whichever others the table has."""

    @property
    def is_complete(self) -> bool:
        """Whether these are all partitions that a query is for."""
        return self.is_all or len(self.views) == self.count

    def position(self) -> Position:
        """Return the position of the inputs that the partitions reflect."""
        if self.reached is not None:
            return self.reached()
        found = Position()
        for view in self.views.values():
            found = found.merge(view.position())
        return found

    def only(self, partitions: Collection[int]) -> OpenPartitions:
        """Return some of the partitions.

        Raises:
            NotOwnerError: one of them is not open here.
        """
        missing = [number for number in partitions if number not in self.views]
        if missing:
            raise not_here(self.table, missing)
        chosen = {number: view for number, view in self.views.items() if number in partitions}
        return replace(self, views=chosen, is_all=True)

    def as_all(self) -> OpenPartitions:
        """Return these partitions as a whole table."""
        return replace(self, is_all=True)


class PartitionSource:
    """Finds the open partitions of a table, for any thread."""

    def __init__(self, task_set: Callable[[], TaskSet], store: StoreSpec) -> None:
        """``task_set`` returns the worker's task set as it is now."""
        self._task_set = task_set
        self._store = store
        self._latest: tuple[TaskSet, tuple[TaskState, ...], OpenPartitions] | None = None

    def __call__(self) -> OpenPartitions:
        """Return the partitions that are open now; the same object while the worker's tasks are the same."""
        task_set = self._task_set()
        states = task_set.open_states
        latest = self._latest
        if latest is not None and latest[0] is task_set and latest[1] is states:
            return latest[2]
        found = self._found(task_set, states)
        self._latest = task_set, states, found
        return found

    def _found(self, task_set: TaskSet, states: Iterable[TaskState]) -> OpenPartitions:
        store = self._store
        decode, result = store.value_serde.decode, store.result
        shown = decode if result is None else (lambda data: result(decode(data)))
        keeper = task_set.global_tables.get(store.name)
        if keeper is not None:
            names = {each.partition: keeper.store_name(each.partition) for each in keeper.partitions}
            engines = dict.fromkeys(names, keeper.engine)
            count = len(names)
        else:
            own = {state.task.task_id.partition: state for state in states if store.name in state.task.stores}
            engines = {number: own[number].engine for number in sorted(own)}
            names = dict.fromkeys(engines, store.name)
            count = next(
                task_count(each, task_set.counts)
                for each in task_set.plan.sub_topologies
                if each.store_of(store.name) is not None
            )
        views = {
            number: store_view(
                engine,
                description_of(store, names[number], follows=""),
                shown,
                keys=stored_keys(store),
                value_type=store.value_serde.type_name,
                partition=number,
            )
            for number, engine in engines.items()
        }
        return OpenPartitions(store.name, views, count, None if keeper is None else keeper.position)


def not_here(table: str, partitions: Collection[int]) -> NotOwnerError:
    """Return the error of a query for partitions that this worker does not have open."""
    return NotOwnerError(
        "another worker has this part of the table, or opens it just now; make the query again, or ask over "
        "HTTP, where every worker answers for all: "
        + fact_text(table=table, partitions=",".join(map(str, sorted(partitions))))
    )
