"""The aggregations of tables: those from which the old value of a changed row can be removed.

``removable`` returns, for an aggregation, one with the same results that has ``remove``. The results are
exact: after any additions and removals they are those of the rows that are left, in the order in which these
were added. This needs another accumulator than the aggregation of a stream, so the stored kind has the suffix
``+remove``::

    count, custom                             as on a stream
    sum, mean, variance, stddev               exact sums (``exact_numbers``)
    min, max                                  each different value and how often it is there
    distinct                                  each identity and how often it is there
    first, last, argmin, argmax, top,         all values of the rows, in the order of their addition
    collect

Others are refused: a sketch does not know whether a value was added twice, and only the user can write the
inverse of a user's function.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial, reduce
from typing import Any

from streamcore.errors import SerdeError, TopologyError, UsageError, fact_text
from streamcore.processing.topology import exact_numbers
from streamcore.processing.topology.aggregator import Aggregator, Of
from streamcore.processing.topology.identities import identities, identity_of
from streamcore.processing.topology.kept_aggregations import DISTINCT_MAX, ensure_few_distinct
from streamcore.state.keys import key_codec

ROWS_MAX = 100_000
"""How many rows, or different values, of a key are kept."""

_INSTEAD = {
    "approx_distinct": "a sketch does not know how often a value is there; use sc.distinct()",
    "quantile": "a sketch cannot forget a value; use sc.collect() and compute the quantile from the list",
    "reduce": "use sc.aggregation(initial, add, remove=...), where remove(accumulator, value) undoes add",
    "fold": "use sc.aggregation(initial, add, remove=...), where remove(accumulator, value) undoes add",
    "custom": "give remove=, where remove(accumulator, value) undoes add",
}


def ensure_can_remove(
    step: str, named: Mapping[str, Aggregator[Any, Any]]
) -> dict[str, Aggregator[Any, Any]]:
    """Return the aggregations that a step on a table uses in place of these: each has ``remove``.

    Raises:
        TopologyError: one cannot take back a value; the message says why and what to write instead.
    """
    found: dict[str, Aggregator[Any, Any]] = {}
    for attribute, aggregator in named.items():
        made = removable(aggregator)
        if made is None:
            raise TopologyError(
                "a row of a table that changes takes its old value back, and this aggregation cannot remove "
                f"one; {_INSTEAD.get(aggregator.kind, 'use sc.aggregation(initial, add, remove=...)')}: "
                + fact_text(step=step, aggregation=attribute, kind=aggregator.kind)
            )
        found[attribute] = made
    return found


def removable(aggregator: Aggregator[Any, Any]) -> Aggregator[Any, Any] | None:
    """Return an aggregation with the same results that has ``remove``; ``None`` if there is none."""
    if aggregator.remove is not None:
        return aggregator
    make = _MAKERS.get(aggregator.kind)
    return None if make is None else make(aggregator)


def regrouped(
    key_type: Any, old: tuple[Any, Any] | None, new: tuple[Any, Any] | None
) -> list[tuple[Any, list[tuple[bool, Any]]]]:
    """Return the changes of the groups of a row, (group, [(whether the row is added, value), ...]).

    A row is (group, value). ``None`` is no row, and a row whose group is ``None`` is in no group. A row that
    stays in its group is one change, so that its aggregations change once.
    """
    removed = None if old is None or old[0] is None else (False, old[1])
    added = None if new is None or new[0] is None else (True, new[1])
    if removed is None or added is None:
        found = [(old, removed), (new, added)]
        return [(row[0], [change]) for row, change in found if row is not None and change is not None]
    assert old is not None
    assert new is not None
    if is_one_key(key_type, old[0], new[0]):
        return [(new[0], [removed, added])]
    return [(old[0], [removed]), (new[0], [added])]


def is_one_key(key_type: Any, first: Any, second: Any) -> bool:
    """Whether two values are one key of a store; ``False`` where one of them cannot be a key."""
    keys = key_codec(key_type)
    if type(first) is type(second) is keys.plain_type:
        return bool(first == second)
    try:
        return keys.encode(first) == keys.encode(second)
    except (SerdeError, TypeError):
        return False


def of_changes(aggregator: Aggregator[Any, Any]) -> Aggregator[Any, Any]:
    """Return the aggregation of pairs (whether the value is added, value): others are removed.

    The aggregation has ``remove``.
    """
    add, add_many, remove, of = aggregator.add, aggregator.add_many, aggregator.remove, aggregator.of
    assert remove is not None
    take_back = remove

    def of_change(change: tuple[bool, Any]) -> tuple[bool, Any] | None:
        is_added, value = change
        found = value if of is None else of(value)
        return None if found is None and not aggregator.counts_none else (is_added, found)

    def add_change(accumulator: Any, change: tuple[bool, Any]) -> Any:
        is_added, value = change
        return add(accumulator, value) if is_added else take_back(accumulator, value)

    def add_changes(accumulator: Any, changes: Sequence[tuple[bool, Any]]) -> Any:
        if all(is_added for is_added, _ in changes):
            return add_many(accumulator, [value for _, value in changes])
        return reduce(add_change, changes, accumulator)

    return replace(
        aggregator,
        of=of_change,
        functions=(),
        add=add_change,
        add_many=add_changes,
        add_groups=None,
        counts_none=False,
    )


def _summed(aggregator: Aggregator[Any, Any]) -> Aggregator[Any, Any]:
    nothing = aggregator.initial()

    def result(accumulator: Any) -> Any:
        total = exact_numbers.total_of(accumulator)
        return total if accumulator[1] or total else nothing

    return _with_removal(
        aggregator,
        initial=lambda: [0, 0, None, {}],
        step=exact_numbers.exact_sum,
        merge=exact_numbers.merge_exact_sums,
        result=result,
    )


def _averaged(aggregator: Aggregator[Any, Any]) -> Aggregator[Any, Any]:
    return _with_removal(
        aggregator,
        initial=lambda: [0, [0, 0, None, {}]],
        step=lambda sign, found, value: [
            found[0] + sign,
            exact_numbers.exact_sum(sign, found[1], value),
        ],
        merge=lambda earlier, later: [
            earlier[0] + later[0],
            exact_numbers.merge_exact_sums(earlier[1], later[1]),
        ],
        result=exact_mean_of,
    )


def exact_mean_of(accumulator: Sequence[Any]) -> Any:
    """Return the mean of a stored ``[count, exact sum]``; ``None`` for no values."""
    return exact_numbers.mean_of([accumulator[0], exact_numbers.total_of(accumulator[1])])


def exact_stddev_of(accumulator: Sequence[int]) -> float | None:
    """Return the standard deviation of exact sums; ``None`` for fewer than two values."""
    return exact_numbers.root(exact_numbers.variance_of_moments(accumulator))


def _varied(aggregator: Aggregator[Any, Any]) -> Aggregator[Any, Any]:
    return _with_removal(
        aggregator,
        initial=lambda: [0, 0, 0, 0, 0, 0],
        step=exact_numbers.exact_moments,
        merge=exact_numbers.merge_moments,
        result=exact_stddev_of if aggregator.kind == "stddev" else exact_numbers.variance_of_moments,
    )


def _with_removal(
    aggregator: Aggregator[Any, Any],
    *,
    initial: Callable[[], Any],
    step: Callable[[int, Any, Any], Any],
    merge: Callable[[Any, Any], Any],
    result: Callable[[Any], Any],
) -> Aggregator[Any, Any]:
    """Return an aggregation from a function of a sign, an accumulator and a value."""
    return replace(
        aggregator,
        kind=f"{aggregator.kind}+remove",
        form="own",
        initial=initial,
        add=partial(step, 1),
        add_many=lambda accumulator, values: reduce(partial(step, 1), values, accumulator),
        add_groups=None,
        remove=partial(step, -1),
        merge=merge,
        result=result,
    )


# -- each different value and how often it is there


def _counted(aggregator: Aggregator[Any, Any]) -> Aggregator[Any, Any]:
    def result(accumulator: Sequence[Sequence[Any]]) -> Any:
        return aggregator.add_many(None, accumulator[1])

    return replace(
        aggregator,
        kind=f"{aggregator.kind}+remove",
        form="counted",
        initial=lambda: [[], []],
        add=lambda accumulator, value: _count_values(accumulator, (value,), [1]),
        add_many=lambda accumulator, values: _count_values(accumulator, values, [1] * len(values)),
        add_groups=None,
        remove=lambda accumulator, value: _count_values(accumulator, (value,), [-1]),
        merge=lambda earlier, later: _count_values(earlier, later[1], later[0]),
        result=result,
    )


def _count_values(
    accumulator: Sequence[Sequence[Any]], values: Sequence[Any], counts: Sequence[int]
) -> list[list[Any]]:
    """Return ``[[count, ...], [value, ...]]`` after a change of the counts of some values."""
    found_counts, found_values = list(accumulator[0]), list(accumulator[1])
    for value, count in zip(values, counts, strict=True):
        index = _index_of(value, found_values)
        if index is None:
            if count < 0:
                raise _not_there(value)
            found_counts.append(count)
            found_values.append(value)
        elif found_counts[index] + count:
            found_counts[index] += count
        else:
            del found_counts[index], found_values[index]
    _ensure_few_rows(found_values)
    return [found_counts, found_values]


def _count_identities(
    accumulator: Mapping[bytes, int], counts: Mapping[bytes, int], most: int
) -> dict[bytes, int]:
    found = dict(accumulator)
    for identity, count in counts.items():
        found[identity] = found.get(identity, 0) + count
        if found[identity] < 0:
            raise _not_there(identity)
        if not found[identity]:
            del found[identity]
    ensure_few_distinct(len(found), most)
    return found


def _counted_identities(aggregator: Aggregator[Any, Any]) -> Aggregator[Any, Any]:
    most = int(aggregator.parameter or DISTINCT_MAX)

    def add_many(accumulator: Mapping[bytes, int], values: Sequence[Any]) -> dict[bytes, int]:
        counts: dict[bytes, int] = {}
        for identity in identities(values):
            counts[identity] = counts.get(identity, 0) + 1
        return _count_identities(accumulator, counts, most)

    return replace(
        aggregator,
        kind=f"{aggregator.kind}+remove",
        initial=dict,
        stored=None,
        result=len,
        add=lambda accumulator, value: add_many(accumulator, (value,)),
        add_many=add_many,
        add_groups=None,
        remove=lambda accumulator, value: _count_identities(accumulator, {identity_of(value): -1}, most),
        merge=lambda earlier, later: _count_identities(earlier, later, most),
    )


# -- all values of the rows, in the order of their addition


def _kept(aggregator: Aggregator[Any, Any]) -> Aggregator[Any, Any]:
    def add_many(accumulator: Sequence[Any], values: Sequence[Any]) -> list[Any]:
        return _ensure_few_rows([*accumulator, *values])

    def remove(accumulator: Sequence[Any], value: Any) -> list[Any]:
        index = _index_of(value, accumulator)
        if index is None:
            raise _not_there(value)
        return [*accumulator[:index], *accumulator[index + 1 :]]

    def result(accumulator: Sequence[Any]) -> Any:
        start = aggregator.initial()
        return aggregator.result(aggregator.add_many(start, accumulator) if accumulator else start)

    return replace(
        aggregator,
        kind=f"{aggregator.kind}+remove",
        form="values",
        initial=list,
        add=lambda accumulator, value: add_many(accumulator, (value,)),
        add_many=add_many,
        add_groups=None,
        remove=remove,
        merge=add_many,
        result=result,
    )


def _kept_ranked(aggregator: Aggregator[Any, Any]) -> Aggregator[Any, Any]:
    """Return the aggregation on pairs (rank, value), stored as ranks and values."""
    kept = _kept(aggregator)
    assert kept.remove is not None
    remove_pair = kept.remove

    def pairs_of(accumulator: Sequence[Sequence[Any]]) -> list[tuple[Any, Any]]:
        return list(zip(*accumulator, strict=True))

    def ranked(pairs: Sequence[tuple[Any, Any]]) -> list[list[Any]]:
        return [[rank for rank, _ in pairs], [value for _, value in pairs]]

    return replace(
        kept,
        form="ranked",
        initial=lambda: [[], []],
        add=lambda accumulator, pair: ranked(kept.add(pairs_of(accumulator), pair)),
        add_many=lambda accumulator, pairs: ranked(kept.add_many(pairs_of(accumulator), pairs)),
        add_groups=None,
        remove=lambda accumulator, pair: ranked(remove_pair(pairs_of(accumulator), pair)),
        merge=lambda earlier, later: ranked(kept.add_many(pairs_of(earlier), pairs_of(later))),
        result=lambda accumulator: kept.result(pairs_of(accumulator)),
    )


def _index_of(value: Any, values: Sequence[Any]) -> int | None:
    try:
        index = values.index(value)
    except ValueError:
        if value == value and type(value) is not tuple:
            return None
    else:
        if _same(value, values[index]):
            return index
    # NaN equals nothing, and values of several classes can be equal.
    return next((index for index, other in enumerate(values) if _same(value, other)), None)


def _same(value: Any, other: Any) -> bool:
    """Whether two values are of one class and equal, at any depth of tuples; NaN is NaN."""
    if type(value) is tuple and type(other) is tuple and len(value) == len(other):
        return all(map(_same, value, other))
    return type(value) is type(other) and bool(value == other or (value != value and other != other))


def _ensure_few_rows(found: list[Any]) -> list[Any]:
    if len(found) > ROWS_MAX:
        raise UsageError(
            "a key has too many rows to keep all values, as min, max, first, last, argmin, argmax, top "
            "and collect of a table need; use a finer key, or sc.aggregation(initial, add, remove=...): "
            + fact_text(most=ROWS_MAX)
        )
    return found


def _not_there(value: Any) -> UsageError:
    return UsageError(
        "the old value of a row is not among the added ones; of= and by= return the same for the same row: "
        + fact_text(value=repr(value)[:100])
    )


_MAKERS: dict[str, Of] = {
    "sum": _summed,
    "mean": _averaged,
    "variance": _varied,
    "stddev": _varied,
    "min": _counted,
    "max": _counted,
    "distinct": _counted_identities,
    "first": _kept,
    "last": _kept,
    "collect": _kept,
    "argmin": _kept_ranked,
    "argmax": _kept_ranked,
    "top": _kept_ranked,
}
