"""Estimates of many values: how near they are, and that neither batches nor restarts change them."""

from __future__ import annotations

import math
import random
import subprocess
import sys
from bisect import bisect_left
from typing import Any

import pytest

from streamcore.processing.topology.sketches import approx_distinct, quantile

pytest.importorskip("datasketches")


def folded(aggregator: Any, values: list[Any], step: int) -> Any:
    accumulator = aggregator.initial()
    for start in range(0, len(values), step):
        accumulator = aggregator.add_many(accumulator, values[start : start + step])
    return accumulator


@pytest.mark.parametrize("q", [0.01, 0.25, 0.5, 0.9, 0.999])
def test_a_quantile_is_near_by_rank_and_does_not_depend_on_the_cuts(q: float) -> None:
    values = [random.Random(number).gauss(0, 1) for number in range(3_000)]
    aggregator = quantile(None, q)
    found = {repr(folded(aggregator, values, step)) for step in (13, 512, 5_000)}

    assert len(found) == 1
    result = aggregator.result(folded(aggregator, values, 100))
    assert result is not None
    assert bisect_left(sorted(values), result) / len(values) == pytest.approx(q, abs=0.01)


def test_quantiles_of_merged_parts_are_near() -> None:
    values = [float(number * 7 % 4_000) for number in range(4_000)]
    aggregator = quantile(None, 0.5)
    assert aggregator.merge is not None
    parts = [folded(aggregator, values[start : start + 1_000], 100) for start in range(0, 4_000, 1_000)]
    merged = parts[0]
    for part in parts[1:]:
        merged = aggregator.merge(merged, part)

    assert aggregator.result(merged) == pytest.approx(2_000, abs=40)


def test_infinities_and_nan_stand_at_the_ends_of_many_values() -> None:
    values = (
        [-math.inf] * 100 + [float(number) for number in range(600)] + [math.inf] * 100 + [math.nan] * 200
    )

    def result(q: float) -> Any:
        aggregator = quantile(None, q)
        return aggregator.result(folded(aggregator, values, 64))

    assert [result(0.05), result(0.75), repr(result(0.9))] == [-math.inf, math.inf, "nan"]
    assert result(0.4) == pytest.approx(300, abs=10)


def test_an_estimate_of_many_different_values_is_near_and_does_not_depend_on_the_cuts() -> None:
    values = [f"k{number * 7 % 3_000}" for number in range(4_000)]
    aggregator = approx_distinct()
    found = {folded(aggregator, values, step) for step in (13, 512, 5_000)}

    assert len(found) == 1
    assert aggregator.result(found.pop()) == pytest.approx(3_000, rel=0.04)


def test_merged_estimates_count_a_value_of_both_parts_once() -> None:
    aggregator = approx_distinct()
    assert aggregator.merge is not None
    earlier = folded(aggregator, [f"k{number}" for number in range(2_000)], 500)
    later = folded(aggregator, [f"k{number}" for number in range(1_000, 3_000)], 500)

    assert aggregator.result(aggregator.merge(earlier, later)) == pytest.approx(3_000, rel=0.05)


def test_stored_sketches_are_read_as_they_were_written() -> None:
    """The bytes of this version: another one that cannot read them, or hashes otherwise, fails here."""
    distinct, median = approx_distinct(), quantile(None, 0.5)
    hashes = distinct.add_many(b"", ["a", 1, 2.5, b"x", (1, "b")])

    assert hashes.hex() == DISTINCT
    assert distinct.result(distinct.add_many(bytes.fromhex(DISTINCT), ["a", 1.0, "new"])) == 6
    assert median.result([0, 0, 0, b"", bytes.fromhex(DIGEST)]) == 2.0


DISTINCT = "0201070c03080500e797e80cb68a3a058fd26405cd5896046a02760f"
DIGEST = (
    "020114f4010400000300000000000000000000000000f03f0000000000000840000000000000f03f"
    "01000000000000000000000000000040010000000000000000000000000008400100000000000000"
)


@pytest.mark.slow
def test_the_package_of_the_sketches_is_imported_only_when_it_is_used() -> None:
    program = (
        "import sys, streamcore as sc\n"
        "made = sc.approx_distinct()\n"
        "assert 'numpy' not in sys.modules and 'datasketches' not in sys.modules\n"
        "made.add(made.initial(), 1)\n"
        "assert 'datasketches' in sys.modules\n"
    )

    subprocess.run([sys.executable, "-c", program], check=True)
