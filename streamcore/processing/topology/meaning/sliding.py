"""The meaning of sliding windows: which windows the records of a key make, and which records each holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from streamcore.processing.topology.aggregator import Aggregator
from streamcore.processing.topology.meaning.outputs import Event, Results
from streamcore.processing.topology.nodes import StoreSpec
from streamcore.processing.topology.windows import SlidingWindows

if TYPE_CHECKING:
    from streamcore.processing.topology.meaning.time import TaskMeaning


class SlidRecord(Struct, frozen=True):
    """A record of a key, with the values of each aggregation.

    It is in the windows that start in ``[first_ms, time_ms]``. Where it came so late that some of them were
    closed, ``first_ms`` is the first start of an open one.
    """

    time_ms: int
    first_ms: int
    values: Sequence[Any]

    def is_in(self, start_ms: int) -> bool:
        """Whether the record is in the window that starts at a time."""
        return self.first_ms <= start_ms <= self.time_ms


def window_starts(records: Sequence[SlidRecord]) -> set[int]:
    """Return the starts of the windows that the records of a key make.

    They are the starts from which a record is in the windows, and from which it is not any more. A window
    without records does not exist.
    """
    made = {record.first_ms for record in records} | {record.time_ms + 1 for record in records}
    return {start_ms for start_ms in made if any(record.is_in(start_ms) for record in records)}


def slid(
    task: TaskMeaning,
    store: StoreSpec,
    key: Any,
    event: Event,
    record: SlidRecord,
    is_read: bool,
    call: Callable[..., Results[Any]],
) -> list[Event]:
    """Keep a record of a key; return the new results of the windows that it changes, if a step reads them."""
    windows = store.windows
    assert isinstance(windows, SlidingWindows)
    before = task.slid[store.name, key]
    updates = []
    for changes in call(partial(changed_windows, is_read=is_read), store, before, record):
        before.append(record)
        for start_ms, accumulators, result in changes:
            end_ms = windows.end_of(start_ms)
            task.stores[store.name][key, start_ms, end_ms] = accumulators
            updates.append(replace(event, key=windows.windowed(event.key, start_ms, end_ms), value=result))
    return updates if is_read else []


def changed_windows(
    store: StoreSpec,
    before: Sequence[SlidRecord],
    added: SlidRecord,
    *,
    is_read: bool,
) -> list[tuple[int, tuple[Any, ...], Any]]:
    """Return the start, the accumulators and the result of the windows that change when a record is added.

    They are the windows that hold the record, and those that exist because of it. The result is ``None``
    unless a step reads it.
    """
    known = window_starts(before)
    records = [*before, added]
    changes = []
    for start_ms in sorted(window_starts(records)):
        if added.is_in(start_ms) or start_ms not in known:
            accumulators = folded(store, records, start_ms)
            result = store.result(accumulators) if is_read and store.result is not None else None
            changes.append((start_ms, accumulators, result))
    return changes


def folded(store: StoreSpec, records: Sequence[SlidRecord], start_ms: int) -> tuple[Any, ...]:
    """Return the accumulators of a window: of the records in it, in the order in which they came."""
    within = [record for record in records if record.is_in(start_ms)]
    return tuple(
        _folded(aggregator, [record.values[number] for record in within])
        for number, (_, aggregator) in enumerate(store.aggregators)
    )


def _folded(aggregator: Aggregator[Any, Any], values: Sequence[Any]) -> Any:
    accumulator = aggregator.initial()
    for value in values:
        if value is not None or aggregator.counts_none:
            accumulator = aggregator.add(accumulator, value)
    return accumulator
