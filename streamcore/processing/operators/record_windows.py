"""The common part of the operators that fold records into windows whose bounds follow from the records.

Two ways lead to the same state: key by key where no step reads the updates, record by record otherwise, or
where a function of the user fails.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, TypeAlias, TypeVar, cast

from streamcore.model import Windowed
from streamcore.processing.operators.aggregate import added
from streamcore.processing.operators.batch import Batch
from streamcore.processing.operators.guard import Guard
from streamcore.processing.operators.store_keys import loaded
from streamcore.processing.operators.windowed_aggregate import LateSink, Watermark
from streamcore.processing.topology.nodes import StoreSpec
from streamcore.processing.topology.windows import RecordWindows
from streamcore.state.sessions import SessionStore

Change: TypeAlias = tuple[Windowed[Any], Any]
"""A window and its new result."""

S = TypeVar("S", bound=SessionStore[Any])
W = TypeVar("W", bound=RecordWindows)


class RecordWindowsOperator(ABC, Generic[S, W]):
    """Folds each record into the windows of its key; late records are left out."""

    def __init__(
        self,
        guard: Guard,
        store: S,
        spec: StoreSpec,
        time: Watermark,
        late: LateSink,
        *,
        emits: bool,
        closes: bool,
    ) -> None:
        """Create the operator.

        Args:
            emits: a step reads the updates.
            closes: no step reads the final results, so this operator closes the windows.
        """
        assert isinstance(spec.windows, RecordWindows)
        assert spec.result is not None
        self._guard = guard
        self._store = store
        self._windows = cast("W", spec.windows)
        self._aggregators = [aggregator for _, aggregator in spec.aggregators]
        self._counts_only = all(
            aggregator.kind == "count" and aggregator.counts_none for aggregator in self._aggregators
        )
        self._result = spec.result
        self._time = time
        self._late = late
        self._emits = emits
        self._closes = closes
        self._open: dict[Any, list[Any]] = store.open_sessions(self._windows.closed_before(time.watermark_ms))

    def process(self, batch: Batch) -> Batch | None:
        """Fold the batch; return the changes of windows in the order of the records, if a step reads them."""
        batch = self._guard.with_times(self._guard.with_values(self._guard.with_keys(batch)))
        if not len(batch):
            return None
        batch, identities, _ = loaded(self._guard, self._store, batch.keys, batch)
        updates = self._fold(batch, identities)
        if self._closes:
            self._store.close_before(self._windows.closed_before(self._time.watermark_ms))
        return updates

    @abstractmethod
    def _fold(self, batch: Batch, identities: Sequence[Any]) -> Batch | None:
        """Fold records, report late ones; return the changes of windows, if a step reads them."""

    # -- key by key

    def _columns(self, batch: Batch) -> list[Sequence[Any]] | None:
        """Return for each aggregation the values that it takes; ``None`` if a function failed."""
        columns: list[Sequence[Any]] = []
        for aggregator in self._aggregators:
            column: Sequence[Any] | None = batch.values
            if aggregator.of is not None:
                column = self._guard.attempt(aggregator.of, batch.values)
            if column is None:
                return None
            columns.append(column)
        return columns

    def _folded(
        self, state: tuple[Any, ...] | None, columns: Sequence[Sequence[Any]], indexes: Sequence[int]
    ) -> tuple[Any, ...]:
        """Return a state with the records at these indexes; ``None`` is the state without records."""
        if self._counts_only:
            return ((0 if state is None else state[0]) + len(indexes),) * len(self._aggregators)
        accumulators = []
        for number, (aggregator, column) in enumerate(zip(self._aggregators, columns, strict=True)):
            accumulator = aggregator.initial() if state is None else state[number]
            values = [column[index] for index in indexes]
            if not aggregator.counts_none and None in values:
                values = [value for value in values if value is not None]
            accumulators.append(aggregator.add_many(accumulator, values) if values else accumulator)
        return tuple(accumulators)

    # -- record by record

    def _fold_each(self, batch: Batch, step: Callable[[int], Iterable[Change]]) -> Batch | None:
        """Fold each record by ``step(index)``; return the changes that it returns, if a step reads them."""
        found, kept = self._guard.map(step, range(len(batch)), batch)
        if not self._emits:
            return None
        rest = range(len(batch)) if kept is None else kept
        indexes = [index for index, changes in zip(rest, found, strict=True) for _ in changes]
        updates = batch.take(indexes).with_keys([key for changes in found for key, _ in changes])
        return updates.with_values([value for changes in found for _, value in changes])

    def _values(self, value: Any) -> list[Any]:
        """Return what each aggregation takes of a value."""
        return [value if aggregator.of is None else aggregator.of(value) for aggregator in self._aggregators]

    def _added(self, state: tuple[Any, ...] | None, values: Sequence[Any]) -> tuple[Any, ...]:
        """Return a state with what each aggregation takes; ``None`` is the state without records."""
        return tuple(
            added(aggregator, aggregator.initial() if state is None else state[number], value)
            for number, (aggregator, value) in enumerate(zip(self._aggregators, values, strict=True))
        )
