"""The aggregations that keep several values of the stream, or the values together with their ranks.

Each function returns an ``Aggregator``. Where several values are equal, the one that was added first counts
as the first; under ``merge`` those of the earlier accumulator were added first.

What is kept of a key is one stored value, so each aggregation has a bound.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from itertools import chain
from operator import itemgetter
from typing import Any, TypeVar, overload

from streamcore.errors import TopologyError, UsageError, fact_text
from streamcore.processing.topology.aggregator import Aggregator, Of, Value
from streamcore.processing.topology.code_locations import declares, shown
from streamcore.processing.topology.identities import different_identities, identities_by_value, identity_of
from streamcore.processing.topology.identity_sets import (
    FEW,
    NO_IDENTITIES,
    Accumulator,
    size_of,
    stored_set,
    whole_set,
    with_identities,
    with_identity,
)

T = TypeVar("T")

COLLECTED_MAX = 10_000
"""How many values ``collect`` keeps of a key without ``limit=``."""
DISTINCT_MAX = 100_000
"""How many values ``distinct`` keeps of a key without ``limit=``."""
FEW_PAIRS = 8
"""Up to here, values are put into the list of ``top`` one by one instead of sorting it."""


def is_less(value: Any, other: Any) -> bool:
    """Whether a value is less than another one; NaN is greater than every number."""
    return bool(value == value and (other != other or value < other))


Ranked = Sequence[Sequence[Any]]
"""``[[rank, ...], [value, ...]]``"""


def _nothing_ranked() -> list[list[Any]]:
    return [[], []]


def _pair(by: Of, of: Of | None) -> Of:
    """Return the function that gives the rank and the value to keep, ``None`` if one of them is ``None``."""

    def ranked(value: Any) -> tuple[Any, Any] | None:
        rank = by(value)
        if rank is None:
            return None
        kept = value if of is None else of(value)
        return None if kept is None else (rank, kept)

    return ranked


def kept_value(accumulator: Ranked) -> Any:
    """Return the first of the ranked values, ``None`` for none."""
    return accumulator[1][0] if accumulator[1] else None


def kept_values(accumulator: Ranked) -> list[Any]:
    """Return the ranked values in their order."""
    return list(accumulator[1])


def _extreme(
    kind: str, by: Of, of: Of | None, value: Any, is_before: Callable[[Any, Any], bool]
) -> Aggregator[Any, Any]:
    def add(accumulator: Ranked, ranked: tuple[Any, Any]) -> Ranked:
        if accumulator[0] and not is_before(ranked[0], accumulator[0][0]):
            return accumulator
        return [[ranked[0]], [ranked[1]]]

    def merge(earlier: Ranked, later: Ranked) -> Ranked:
        return add(earlier, (later[0][0], later[1][0])) if later[0] else earlier

    return Aggregator(
        kind=kind,
        form="ranked",
        initial=_nothing_ranked,
        add=add,
        add_many=lambda accumulator, values: reduce(add, values, accumulator),
        merge=merge,
        result=kept_value,
        of=_pair(by, of),
        functions=(by,) if of is None else (by, of),
        kept=of,
        declared_type=value,
        result_type=value,
    )


@overload
def argmin(
    by: Callable[[Value], object], *, of: None = ..., value: Any = ...
) -> Aggregator[Value, Value | None]: ...
@overload
def argmin(
    by: Callable[[Value], object], *, of: Callable[[Value], T | None], value: Any = ...
) -> Aggregator[Value, T | None]: ...
@declares
def argmin(by: Of, *, of: Of | None = None, value: Any = None) -> Aggregator[Any, Any]:
    """The value for which ``by`` is smallest, ``None`` for no values; of equal ones the first.

    Args:
        by: what is compared; a value for which it is ``None`` is left out. NaN is greater than every number.
        of: what is kept of the value, the whole value by default.
        value: the type of what is kept, where no annotation names it.
    """
    return _extreme("argmin", by, of, value, is_less)


@overload
def argmax(
    by: Callable[[Value], object], *, of: None = ..., value: Any = ...
) -> Aggregator[Value, Value | None]: ...
@overload
def argmax(
    by: Callable[[Value], object], *, of: Callable[[Value], T | None], value: Any = ...
) -> Aggregator[Value, T | None]: ...
@declares
def argmax(by: Of, *, of: Of | None = None, value: Any = None) -> Aggregator[Any, Any]:
    """The value for which ``by`` is greatest, ``None`` for no values; of equal ones the first.

    The arguments are those of ``argmin``.
    """
    return _extreme("argmax", by, of, value, lambda rank, other: is_less(other, rank))


@overload
def top(
    n: int, by: Callable[[Value], object], *, of: None = ..., value: Any = ...
) -> Aggregator[Value, list[Value]]: ...
@overload
def top(
    n: int, by: Callable[[Value], object], *, of: Callable[[Value], T | None], value: Any = ...
) -> Aggregator[Value, list[T]]: ...
@declares
def top(n: int, by: Of, *, of: Of | None = None, value: Any = None) -> Aggregator[Any, Any]:
    """The list of the ``n`` values for which ``by`` is greatest, the greatest first; of equal ones the first.

    Args:
        n: how many values at most, 1 to 10,000.
        by: what is compared; a value for which it is ``None`` is left out. NaN is greater than every number.
        of: what is kept of a value, the whole value by default.
        value: the type of what is kept, where no annotation names it.

    Raises:
        TopologyError: ``n`` is out of range.
    """
    most = _limit("n", n)

    def add(accumulator: Ranked, pair: tuple[Any, Any]) -> Ranked:
        ranks, kept = accumulator
        rank = pair[0]
        if len(ranks) == most and not is_less(ranks[-1], rank):
            return accumulator
        low, high = 0, len(ranks)
        while low < high:
            middle = (low + high) // 2
            if is_less(ranks[middle], rank):
                high = middle
            else:
                low = middle + 1
        return [[*ranks[:low], rank, *ranks[low:]][:most], [*kept[:low], pair[1], *kept[low:]][:most]]

    def add_many(accumulator: Ranked, pairs: Sequence[tuple[Any, Any]]) -> Ranked:
        ranks = accumulator[0]
        if len(ranks) == most:
            pairs = [pair for pair in pairs if is_less(ranks[-1], pair[0])]
            if not pairs:
                return accumulator
        if len(pairs) <= FEW_PAIRS:
            return reduce(add, pairs, accumulator)
        # A stable order: of equal ranks the earlier value is first, whichever way the list is sorted.
        pairs = [*zip(*accumulator, strict=True), *pairs]
        has_nan = any(rank != rank for rank, _ in pairs)
        in_order = sorted(pairs, key=_Rank if has_nan else itemgetter(0), reverse=True)[:most]
        return [[rank for rank, _ in in_order], [kept for _, kept in in_order]]

    return Aggregator(
        kind="top",
        form="ranked",
        parameter=str(most),
        initial=_nothing_ranked,
        add=add,
        add_many=add_many,
        merge=lambda earlier, later: add_many(earlier, list(zip(*later, strict=True))),
        result=kept_values,
        of=_pair(by, of),
        functions=(by,) if of is None else (by, of),
        kept=of,
        declared_type=value,
        result_type=list if value is None else list[value],
    )


class _Rank:
    """Compares pairs (rank, value) by their ranks."""

    __slots__ = ("rank",)

    def __init__(self, pair: tuple[Any, Any]) -> None:
        self.rank = pair[0]

    def __lt__(self, other: _Rank) -> bool:
        return is_less(self.rank, other.rank)


# -- many values


def _limit(name: str, given: Any, most: int = COLLECTED_MAX) -> int:
    """Return a number of values to keep.

    Raises:
        TopologyError: it is not a whole number from 1 to ``most``.
    """
    if type(given) is not int or not 1 <= given <= most:
        raise TopologyError(f"{name} is a whole number from 1 to {most:,}: {fact_text(given=shown(given))}")
    return given


@overload
def collect(of: None = ..., *, limit: int | None = ..., value: Any = ...) -> Aggregator[Any, Any]: ...
@overload
def collect(
    of: Callable[[Value], T | None], *, limit: int | None = ..., value: Any = ...
) -> Aggregator[Value, list[T]]: ...
@declares
def collect(of: Of | None = None, *, limit: int | None = None, value: Any = None) -> Aggregator[Any, Any]:
    """The list of the values in the order of their records.

    The whole list is one stored value, written at each commit in which it changed.

    Args:
        limit: keep only the newest values, this many. Without it a record fails if its key has 10,000 values.
        value: the type of the values, where no annotation names it.

    Raises:
        TopologyError: ``limit`` is not a whole number from 1 to 10,000.
    """
    newest = None if limit is None else _limit("limit=", limit)

    def add_many(accumulator: Sequence[Any], values: Sequence[Any]) -> list[Any]:
        found = [*accumulator, *values]
        if newest is not None:
            return found[-newest:]
        if len(found) > COLLECTED_MAX:
            raise UsageError(
                "a key has too many values to keep them all; collect(limit=n) keeps the newest n: "
                + fact_text(most=COLLECTED_MAX)
            )
        return found

    return Aggregator(
        kind="collect",
        form="values",
        parameter="" if newest is None else str(newest),
        initial=list,
        add=lambda accumulator, value: add_many(accumulator, (value,)),
        add_many=add_many,
        merge=add_many,
        of=of,
        declared_type=value,
        result=list,
        result_type=list if value is None else list[value],
    )


@overload
def distinct(of: None = ..., *, limit: int = ...) -> Aggregator[Any, int]: ...
@overload
def distinct(of: Callable[[Value], object], *, limit: int = ...) -> Aggregator[Value, int]: ...
@declares
def distinct(of: Of | None = None, *, limit: int = DISTINCT_MAX) -> Aggregator[Any, int]:
    """Count the different values, as ``count(distinct ...)`` in SQL.

    Values are one where keys would be: ``1`` and ``1.0`` are, ``True`` and ``1`` are not. All values of a key
    are kept, and in memory while the key is used; ``approx_distinct`` needs 2 KB.

    Args:
        limit: a record fails if its key has more different values than this, 1 to 1,000,000.

    Raises:
        TopologyError: ``limit`` is out of range.
    """
    most = _limit("limit=", limit, 1_000_000)

    def ensured(found: Accumulator) -> Accumulator:
        ensure_few_distinct(size_of(found), most)
        return found

    few = min(FEW, most)

    def add_many(accumulator: Accumulator, values: Sequence[Any]) -> Accumulator:
        return ensured(with_identities(accumulator, different_identities(values)))

    def add_groups(accumulators: Sequence[Accumulator], groups: Sequence[Sequence[Any]]) -> list[Accumulator]:
        identity_by_value = identities_by_value(list(chain.from_iterable(groups)))
        if identity_by_value is None:
            return [add_many(found, values) for found, values in zip(accumulators, groups, strict=True)]
        found: list[Accumulator] = []
        for accumulator, values in zip(accumulators, groups, strict=True):
            if len(values) == 1 and type(accumulator) is tuple and len(accumulator) < few:
                identity = identity_by_value[values[0]]
                found.append(accumulator if identity in accumulator else (*accumulator, identity))
            else:
                identities = [identity_by_value[value] for value in dict.fromkeys(values)]
                found.append(ensured(with_identities(accumulator, identities)))
        return found

    return Aggregator(
        kind="distinct",
        form="own",
        initial=lambda: NO_IDENTITIES,
        add=lambda accumulator, value: ensured(with_identity(accumulator, identity_of(value))),
        add_many=add_many,
        add_groups=add_groups,
        merge=lambda earlier, later: ensured(with_identities(earlier, list(whole_set(later)))),
        stored=stored_set,
        result=size_of,
        of=of,
        result_type=int,
    )


def ensure_few_distinct(count: int, most: int) -> None:
    """Refuse a set of values that is too large to be one stored value.

    Raises:
        UsageError: ``count``, the number of values, is more than ``most``.
    """
    if count > most:
        raise UsageError(
            "a key has too many different values to keep them all; use sc.approx_distinct(), or "
            f"distinct(limit=n): {fact_text(limit=most)}"
        )
