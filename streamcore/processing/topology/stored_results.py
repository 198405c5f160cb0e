"""The results of stored accumulators, for tools that read a store without the application.

The description of a store names the kind of each aggregation with its parameter: ``sum``, ``top(3)``,
``quantile(0.99)``, ``min+remove``. Values of classes that only the application knows are plain data here.
What the user's own functions make of an accumulator is not known: the accumulator itself is the result.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

from streamcore.processing.topology import aggregations, kept_aggregations, sketches
from streamcore.processing.topology.aggregator import Aggregator, Of
from streamcore.processing.topology.exact_numbers import mean_of, variance_of
from streamcore.processing.topology.identity_sets import size_of
from streamcore.processing.topology.retraction import removable

_KIND = re.compile(r"([a-z_]+)(?:\(([^()]*)\))?(\+remove)?")

_RESULTS: dict[str, Callable[[Any], Any]] = {
    "mean": mean_of,
    "variance": variance_of,
    "stddev": aggregations.stddev_of,
    "argmin": kept_aggregations.kept_value,
    "argmax": kept_aggregations.kept_value,
    "top": kept_aggregations.kept_values,
    "distinct": size_of,
    "approx_distinct": sketches.distinct_estimate,
}


def stored_result(stored_kind: str) -> Callable[[Any], Any]:
    """Return the function that makes the result of a stored accumulator."""
    parsed = _KIND.fullmatch(stored_kind)
    if parsed is None:
        return _as_it_is
    kind, parameter, removes = parsed.groups()
    if kind == "quantile":
        return partial(sketches.quantile_of, float(parameter))
    if not removes:
        return _RESULTS.get(kind, _as_it_is)
    make = _MAKERS.get(kind)
    made = None if make is None else removable(make(parameter))
    return _as_it_is if made is None else made.result


def _as_it_is(accumulator: Any) -> Any:
    return accumulator


def _itself(value: Any) -> Any:
    return value


def _ranked(make: Callable[[Of], Aggregator[Any, Any]]) -> Callable[[str | None], Aggregator[Any, Any]]:
    return lambda _: make(_itself)


_MAKERS: dict[str, Callable[[str | None], Aggregator[Any, Any]]] = {
    "sum": lambda _: aggregations.sum(),
    "mean": lambda _: aggregations.mean(),
    "variance": lambda _: aggregations.variance(),
    "stddev": lambda _: aggregations.stddev(),
    "min": lambda _: aggregations.min(),
    "max": lambda _: aggregations.max(),
    "first": lambda _: aggregations.first(),
    "last": lambda _: aggregations.last(),
    "distinct": lambda _: kept_aggregations.distinct(),
    "collect": lambda limit: kept_aggregations.collect(limit=int(limit) if limit else None),
    "argmin": _ranked(kept_aggregations.argmin),
    "argmax": _ranked(kept_aggregations.argmax),
    "top": lambda n: kept_aggregations.top(int(n or 1), _itself),
}
"""Kinds of aggregations of tables, which keep more than their results -> the aggregation of the parameter."""
