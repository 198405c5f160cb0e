"""The operators without state: each takes a batch and returns the records that pass or are made of it."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterable, Sequence
from itertools import chain, compress, repeat
from operator import not_
from typing import Any, Final, Protocol

from streamcore.errors import fact_text
from streamcore.model import Headers, Record
from streamcore.processing.operators.batch import Batch
from streamcore.processing.operators.guard import Guard
from streamcore.processing.topology.limits import SampleOf
from streamcore.processing.topology.made_records import made_record
from streamcore.processing.topology.times import NO_TIMESTAMP, TIME_MS_MAX

_UNFINISHED: Final = (types.CoroutineType, types.GeneratorType, types.AsyncGeneratorType)
"""Results of a call of ``async def``, or of a function with ``yield``, whose code has not run."""


class Operator(Protocol):
    """The running side of a node."""

    def process(self, batch: Batch) -> Batch | None:
        """Process a batch; return the batch for the children, ``None`` for no records."""


def guarded(guard: Guard, function: Callable[[Any], Any], batch: Batch) -> tuple[list[Any], Batch]:
    """Call a function on each value; return the results and the records that they belong to."""
    results, kept = called(guard, function, batch)
    return results, batch if kept is None else batch.take(kept)


def called(guard: Guard, function: Callable[[Any], Any], batch: Batch) -> tuple[list[Any], list[int] | None]:
    """Call a function on each value; return as ``Guard.map`` does."""
    results, kept = guard.map(function, batch.values, batch)
    if results and isinstance(results[0], _UNFINISHED):
        for result in results:
            if isinstance(result, types.CoroutineType):
                result.close()  # otherwise Python warns of each
        results, finished = guard.map(_finished, results, batch if kept is None else batch.take(kept))
        kept = _among(kept, finished)
    return results, kept


def _flags(guard: Guard, function: Callable[[Any], Any], batch: Batch) -> tuple[list[bool], list[int] | None]:
    """Return whether a function is true for each value; return as ``Guard.map`` does."""
    results, kept = called(guard, function, batch)
    try:
        return list(map(bool, results)), kept
    except Exception:  # noqa: BLE001 - what the function returned may refuse to be true or false
        flags, decided = guard.map(bool, results, batch if kept is None else batch.take(kept))
        return flags, _among(kept, decided)


def _among(kept: list[int] | None, again: list[int] | None) -> list[int] | None:
    """Return the indexes of records that two calls of ``Guard.map`` in a row kept."""
    if kept is None or again is None:
        return again if kept is None else kept
    return [kept[index] for index in again]


def _finished(result: Any) -> Any:
    """Refuse a coroutine or generator as a result; a lambda around ``async def`` is not seen at
    declaration.
    """
    if isinstance(result, _UNFINISHED):
        if isinstance(result, types.CoroutineType):
            result.close()
        raise TypeError(
            "the function returned a coroutine or generator, which is not run here: await in an agent, or "
            f"use flat_map for several values: {fact_text(returned=getattr(result, '__qualname__', result))}"
        )
    return result


class MapOperator:
    """Replaces each value."""

    def __init__(self, guard: Guard, function: Callable[[Any], Any]) -> None:
        self._guard = guard
        self._function = function

    def process(self, batch: Batch) -> Batch:
        """Return the batch with new values."""
        values, rest = guarded(self._guard, self._function, batch)
        return rest.with_values(values)


class FilterOperator:
    """Keeps the values for which the function is true, or false if ``negated``."""

    def __init__(self, guard: Guard, function: Callable[[Any], Any], *, negated: bool) -> None:
        self._guard = guard
        self._function = function
        self._negated = negated

    def process(self, batch: Batch) -> Batch:
        """Return the records that pass."""
        flags, kept = _flags(self._guard, self._function, batch)
        rest = batch if kept is None else batch.take(kept)
        if self._negated:
            flags = [not flag for flag in flags]
        return rest if all(flags) else rest.where(flags)


class SplitOperator:
    """Pairs each value with the index of its arm: the first whose function is true, or the rest.

    The function of an arm is called once for each value that no earlier arm took.
    """

    def __init__(self, arms: Sequence[tuple[Guard, Callable[[Any], Any]]]) -> None:
        """Create the operator; each arm has a guard with the arm's name."""
        self._arms = arms

    def process(self, batch: Batch) -> Batch:
        """Return the records that did not fail, with pairs of arm and value."""
        arm_by_index: list[int | None] = [None] * len(batch)
        indexes: Sequence[int] = range(len(batch))
        waiting = batch
        for arm, (guard, function) in enumerate(self._arms):
            flags, kept = _flags(guard, function, waiting)
            if kept is not None:
                indexes = [indexes[index] for index in kept]
                waiting = waiting.take(kept)
            for index in compress(indexes, flags):
                arm_by_index[index] = arm
            others = list(map(not_, flags))
            indexes = list(compress(indexes, others))
            waiting = waiting.where(others)
        for index in indexes:
            arm_by_index[index] = len(self._arms)
        if None in arm_by_index:
            batch = batch.where([arm is not None for arm in arm_by_index])
            arm_by_index = [arm for arm in arm_by_index if arm is not None]
        return batch.with_values(list(zip(arm_by_index, batch.values, strict=True)))


class BranchOperator:
    """Keeps the values of one arm of a split."""

    def __init__(self, arm: int) -> None:
        self._arm = arm

    def process(self, batch: Batch) -> Batch:
        """Return the records of this arm, with their values alone."""
        wanted = self._arm
        mine = batch.where([arm == wanted for arm, _ in batch.values])
        return mine.with_values([value for _, value in mine.values])


class FlatMapOperator:
    """Replaces each value by any number of values."""

    def __init__(self, guard: Guard, function: Callable[[Any], Iterable[Any]]) -> None:
        self._guard = guard
        self._function = function

    def process(self, batch: Batch) -> Batch:
        """Return all values that were made, in order."""
        # The iterable is consumed under the guard: a generator fails where it is consumed.
        groups, kept = self._guard.map(self._function, batch.values, batch, list)
        rest = batch if kept is None else batch.take(kept)
        return _spread(rest, groups).with_values(list(chain.from_iterable(groups)))


def _spread(batch: Batch, groups: Sequence[Sequence[Any]]) -> Batch:
    """Return each record as many times as its group has items."""
    counts = list(map(len, groups))
    if max(counts, default=1) > 1:
        return batch.take([index for index, count in enumerate(counts) for _ in range(count)])
    return batch if all(counts) else batch.where(counts)


class PeekOperator:
    """Calls a function on each value and passes the value on unchanged."""

    def __init__(self, guard: Guard, function: Callable[[Any], Any]) -> None:
        self._guard = guard
        self._function = function

    def process(self, batch: Batch) -> Batch:
        """Return the records whose call did not fail."""
        return guarded(self._guard, self._function, batch)[1]


class ForeachOperator(PeekOperator):
    """Calls a function on each value; passes nothing on."""

    def process(self, batch: Batch) -> Batch:
        """Return nothing."""
        super().process(batch)
        return batch.where(())


class SampleOperator:
    """Passes a fraction of the records; the same ones whenever they are read again."""

    def __init__(self, sample: SampleOf) -> None:
        self._sample = sample

    def process(self, batch: Batch) -> Batch:
        """Return the records of the sample."""
        record_at, keeps = batch.source.record_at, self._sample.keeps
        flags: list[bool] = []
        last_origin, number = -1, 0
        for origin in batch.origins:
            number = number + 1 if origin == last_origin else 0
            last_origin = origin
            flags.append(keeps(record_at(origin), number))
        return batch.where(flags)


class PassOperator:
    """Passes on its input: the parents of a merge are united before."""

    def process(self, batch: Batch) -> Batch:
        """Return the batch."""
        return batch


class GroupByOperator:
    """Gives each record the key that a function computes from its value."""

    def __init__(self, guard: Guard, function: Callable[[Any], Any]) -> None:
        self._guard = guard
        self._function = function

    def process(self, batch: Batch) -> Batch:
        """Return the records under their new keys."""
        keys, rest = guarded(self._guard, self._function, batch)
        return rest.with_keys(keys)


class MapRecordOperator:
    """Replaces each record, or, if ``flat``, makes any number of records of each."""

    def __init__(self, guard: Guard, function: Callable[[Any], Any], *, flat: bool) -> None:
        self._guard = guard
        self._function = function
        self._flat = flat

    def process(self, batch: Batch) -> Batch:
        """Return the records that were made, in order."""
        rows = rows_of(batch)
        results, kept = self._guard.map(self._function, rows, batch, list if self._flat else None)
        rest = batch
        if kept is not None:
            rows, rest = [rows[index] for index in kept], batch.take(kept)
        if not _need_no_check(chain.from_iterable(results) if self._flat else results):
            results, kept = self._guard.map(self._checks(rows, results), range(len(rest)), rest)
            rest = rest if kept is None else rest.take(kept)
        made = results
        if self._flat:
            rest = _spread(rest, results)
            made = list(chain.from_iterable(results))
        headers: list[Headers] | None = None
        if any(record.headers for record in made):
            headers = [record.headers for record in made]
        timestamps_ms = [record.timestamp_ms for record in made]
        if timestamps_ms and min(timestamps_ms) < 0:
            timestamps_ms = [
                made_ms if made_ms >= 0 else own_ms
                for made_ms, own_ms in zip(timestamps_ms, rest.timestamps_ms, strict=True)
            ]
        return Batch(
            [record.key for record in made],
            [record.value for record in made],
            timestamps_ms,
            rest.origins,
            headers,
            rest.source,
            held_times_ms=rest.held_times_ms,
        )

    def _checks(self, rows: Sequence[Any], results: Sequence[Any]) -> Callable[[int], Any]:
        """Return a function that checks the result of the row at an index; called again, it calls the user's
        function again.
        """
        first_results = dict(enumerate(results))

        def checked(index: int) -> Any:
            made = first_results.pop(index) if index in first_results else self._function(rows[index])
            return list(map(made_record, made)) if self._flat else made_record(made)

        return checked


def _need_no_check(made: Iterable[Any]) -> bool:
    """Whether ``made_record`` returns each of these objects as it is."""
    made = list(made)
    if not set(map(type, made)) <= {Record}:
        return False
    timestamps_ms = [record.timestamp_ms for record in made]
    return (
        set(map(type, timestamps_ms)) <= {int}
        and min(timestamps_ms, default=0) >= NO_TIMESTAMP
        and max(timestamps_ms, default=0) <= TIME_MS_MAX
        and not any(record.headers != () for record in made)
    )


def rows_of(batch: Batch) -> list[Record[Any, Any]]:
    """Return the batch as records, each with the topic, partition and offset of the fetched record it was
    made from.
    """
    headers = repeat(()) if batch.headers is None else batch.headers
    topics, partitions, offsets = batch.source.places_at(batch.origins)
    return list(
        map(Record, batch.keys, batch.values, batch.timestamps_ms, headers, topics, partitions, offsets)
    )
