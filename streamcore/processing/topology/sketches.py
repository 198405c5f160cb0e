"""Aggregations that estimate: the number of different values, and quantiles, in a few kilobytes for each key.

The sketches are those of Apache DataSketches (``pip install "streamcore[sketches]"``). The package, and NumPy
with it, is imported when the first sketch is made: a worker without estimates does not load them.

Results depend on the values and their order alone, not on how records were cut into batches, nor on restarts:
both sketches are free of chance, and both are written after the same values whatever the batches were::

    approx_distinct  := b"" | HLL sketch (HLL_4, compact) of identities, each as text in Latin-1
    quantile         := [-inf count, inf count, NaN count, buffer, sketch]
    buffer           := up to 511 values that the sketch does not have, as doubles, little-endian
    sketch           := b"" | t-digest of doubles (k = 500) of all earlier values
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import math
import struct
from collections.abc import Callable, Sequence
from typing import Any, Final, overload

from streamcore.errors import TopologyError, UsageError, fact_text
from streamcore.processing.topology.aggregator import Aggregator, Of, Value
from streamcore.processing.topology.code_locations import declares, shown
from streamcore.processing.topology.exact_numbers import as_number
from streamcore.processing.topology.identities import different_identities

BUFFER_VALUES: Final = 512
"""Quantiles of fewer values than this are exact."""
_BUFFER_BYTES: Final = BUFFER_VALUES * 8
_DIGEST_K: Final = 500


@functools.cache
def _sketches() -> Any:
    """Return the package of the sketches.

    Raises:
        UsageError: it is not installed.
    """
    try:
        return importlib.import_module("datasketches")
    except ImportError as error:
        raise UsageError(f"{_MISSING}: {fact_text(reason=error)}") from error


_MISSING: Final = (
    "sc.approx_distinct() and sc.quantile() need the package datasketches: pip install 'streamcore[sketches]'"
)


def _ensure_installed(name: str) -> None:
    """Refuse a declaration that could not run; nothing is imported.

    Raises:
        TopologyError: the package of the sketches is not installed.
    """
    if importlib.util.find_spec("datasketches") is None:
        raise TopologyError(f"{_MISSING}: {fact_text(aggregation=name)}")


# -- the number of different values


@overload
def approx_distinct(of: None = ..., *, precision: int = ...) -> Aggregator[Any, int]: ...
@overload
def approx_distinct(of: Callable[[Value], object], *, precision: int = ...) -> Aggregator[Value, int]: ...
@declares
def approx_distinct(of: Of | None = None, *, precision: int = 12) -> Aggregator[Any, int]:
    """Estimate how many different values there are, by HyperLogLog: at most 2 KB for each key.

    Two estimates of three are within 1.3 % of the truth, and nearly all within 4 %; up to a few hundred
    values are counted exactly. Values are one as for ``distinct``. Needs the package that
    ``pip install "streamcore[sketches]"`` installs.

    Args:
        precision: the logarithm of the number of registers, 7 to 21: each step more doubles the memory, and
            two steps halve the error.

    Raises:
        TopologyError: ``precision`` is out of range, or the package is missing.
    """
    if type(precision) is not int or not 7 <= precision <= 21:
        raise TopologyError(f"precision= is a whole number from 7 to 21: {fact_text(given=shown(precision))}")
    _ensure_installed("approx_distinct")

    def add_many(accumulator: bytes, values: Sequence[Any]) -> bytes:
        package = _sketches()
        if accumulator:
            sketch = package.hll_sketch.deserialize(accumulator)
        else:
            sketch = package.hll_sketch(precision, package.tgt_hll_type.HLL_4)
        for identity in different_identities(values):
            sketch.update(identity.decode("latin-1"))
        return bytes(sketch.serialize_compact())

    def merge(earlier: bytes, later: bytes) -> bytes:
        if not earlier or not later:
            return earlier or later
        package = _sketches()
        union = package.hll_union(precision)
        union.update(package.hll_sketch.deserialize(earlier))
        union.update(package.hll_sketch.deserialize(later))
        return bytes(union.get_result(package.tgt_hll_type.HLL_4).serialize_compact())

    return Aggregator(
        kind="approx_distinct",
        form="own",
        parameter=str(precision),
        initial=bytes,
        add=lambda accumulator, value: add_many(accumulator, (value,)),
        add_many=add_many,
        merge=merge,
        result=distinct_estimate,
        of=of,
        result_type=int,
    )


def distinct_estimate(accumulator: bytes) -> int:
    """Return the estimate of a stored sketch, a whole number.

    Raises:
        UsageError: the package of the sketches is not installed.
    """
    return round(_sketches().hll_sketch.deserialize(accumulator).get_estimate()) if accumulator else 0


# -- quantiles


@overload
def quantile(of: None, q: float) -> Aggregator[Any, float | None]: ...
@overload
def quantile(of: Callable[[Value], object], q: float) -> Aggregator[Value, float | None]: ...
@declares
def quantile(of: Of | None, q: float) -> Aggregator[Any, float | None]:
    """Estimate a quantile of numbers as a float, by t-digest: at most 14 KB for each key.

    ``None`` for no values. Below 512 values the result is exact: the value at rank ``q * (count - 1)``, with
    linear interpolation, as ``percentile_cont`` in SQL. Above, errors are smallest near 0 and 1. NaN is
    greater than every number. Needs ``pip install "streamcore[sketches]"``.

    Args:
        of: what to take of each value; ``None`` for the values themselves.
        q: the quantile, from 0 to 1: 0.5 for the median.

    Raises:
        TopologyError: ``q`` is not a number from 0 to 1, or the package is missing.
    """
    if isinstance(q, bool) or not isinstance(q, int | float) or not 0 <= q <= 1:
        raise TopologyError(f"q is a number from 0 to 1, 0.5 for the median: {fact_text(given=shown(q))}")
    _ensure_installed("quantile")
    return Aggregator(
        kind="quantile",
        form="own",
        parameter=repr(float(q)),
        initial=lambda: [0, 0, 0, b"", b""],
        add=lambda accumulator, value: _add_to_digest(accumulator, (value,)),
        add_many=_add_to_digest,
        merge=_merge_digests,
        result=functools.partial(quantile_of, float(q)),
        of=of,
        result_type=float,
    )


def _add_to_digest(accumulator: Sequence[Any], values: Sequence[Any]) -> Sequence[Any]:
    low, high, nan, buffer, sketch = accumulator
    finite = [float(as_number(value)) for value in values]
    if not all(map(math.isfinite, finite)):
        low += finite.count(-math.inf)
        high += finite.count(math.inf)
        nan += sum(value != value for value in finite)
        finite = [value for value in finite if math.isfinite(value)]
    return [low, high, nan, *_flushed(buffer + struct.pack(f"<{len(finite)}d", *finite), sketch)]


def _flushed(buffer: bytes, sketch: bytes) -> tuple[bytes, bytes]:
    """Move full buffers into the sketch, each as a whole, so that the sketch depends on the values alone."""
    while len(buffer) >= _BUFFER_BYTES:
        digest = _digest(sketch)
        for value in _doubles(buffer[:_BUFFER_BYTES]):
            digest.update(value)
        buffer, sketch = buffer[_BUFFER_BYTES:], bytes(digest.serialize())
    return buffer, sketch


def _merge_digests(earlier: Sequence[Any], later: Sequence[Any]) -> Sequence[Any]:
    sketch = earlier[4] or later[4]
    if earlier[4] and later[4]:
        digest = _digest(earlier[4])
        digest.merge(_digest(later[4]))
        sketch = bytes(digest.serialize())
    counts = [mine + other for mine, other in zip(earlier[:3], later[:3], strict=True)]
    return [*counts, *_flushed(earlier[3] + later[3], sketch)]


def _digest(sketch: bytes) -> Any:
    kind = _sketches().tdigest_double
    return kind.deserialize(sketch) if sketch else kind(_DIGEST_K)


def _doubles(buffer: bytes) -> Sequence[float]:
    return struct.unpack(f"<{len(buffer) // 8}d", buffer)


def quantile_of(q: float, accumulator: Sequence[Any]) -> float | None:
    """Return the quantile of a stored accumulator; ``None`` for no values.

    Raises:
        UsageError: the package of the sketches is not installed.
    """
    low, high, nan, buffer, sketch = accumulator
    values = sorted(_doubles(buffer))
    digest = None
    finite = len(values)
    if sketch:
        digest = _digest(sketch)
        for value in values:
            digest.update(value)
        finite = int(digest.get_total_weight())
    count = low + finite + high + nan
    if not count:
        return None
    rank = q * (count - 1)
    below, above = math.floor(rank), math.ceil(rank)
    if below < low:
        return -math.inf
    if above >= low + finite + high:
        return math.nan
    if above >= low + finite:
        return math.inf
    if digest is not None:
        return float(digest.get_quantile((rank - low) / (finite - 1)))
    part = rank - below
    start, end = values[below - low], values[above - low]
    return float(start if start == end else start * (1 - part) + end * part)
