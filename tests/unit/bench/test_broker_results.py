"""The table of the broker's benchmark: ratios are taken within a round, and targets are judged by medians."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from bench.broker.brokers import Kind
from bench.broker.children import Numbers
from bench.broker.results import table_lines
from bench.broker.rows import ROWS, Line, Row, Target, Unit
from bench.broker.site import Site


def row_with(line: Line) -> Row:
    def measure(site: Site, kind: Kind) -> Numbers:
        raise AssertionError("it is not measured here")

    return Row(name="row", measure=measure, lines=(line,))


def written(line: Line, ours: Sequence[float], kafkas: Sequence[float]) -> str:
    """The line of the table for what was found in each round."""
    row = row_with(line)
    taken = {
        Kind.DURABLE: [{"number": each} for each in ours],
        Kind.KAFKA: [{"number": each} for each in kafkas],
    }
    return table_lines([row], {"row": taken})[1]


def test_a_ratio_is_taken_within_each_round() -> None:
    line = Line("work", "number", Unit.RECORDS, Target(1.5, is_minimum=True, is_factor=True))

    text = written(line, ours=[100, 400, 300], kafkas=[50, 100, 300])

    assert "300 (100 - 400)" in text
    assert "100 (50 - 300)" in text
    assert "2.00 (1.00 - 4.00)" in text  # 2, 4 and 1: not the ratio of the medians, which is 3
    assert "≥ 1.5 x Kafka" in text
    assert "met" in text


@pytest.mark.parametrize(
    ("target", "ours", "verdict"),
    [
        (Target(10), [9, 10, 50], "met"),
        (Target(10), [9, 11, 50], "MISSED"),
        (Target(10, is_minimum=True), [1, 10, 11], "met"),
        (Target(10, is_minimum=True), [1, 9, 11], "MISSED"),
        (Target(1, is_factor=True), [4, 4, 9], "met"),
        (Target(1, is_factor=True), [4, 6, 9], "MISSED"),
    ],
)
def test_a_target_is_judged_by_the_median(target: Target, ours: list[float], verdict: str) -> None:
    text = written(Line("work", "number", Unit.MILLISECONDS, target), ours=ours, kafkas=[5, 5, 5])

    assert text.split()[-1] == verdict


def test_a_factor_of_kafkas_number_is_not_judged_without_kafka() -> None:
    line = Line("work", "number", Unit.RECORDS, Target(1.5, is_minimum=True, is_factor=True))

    text = written(line, ours=[100], kafkas=[])

    assert text.endswith("≥ 1.5 x Kafka")


def test_rows_have_names_of_their_own() -> None:
    names = [row.name for row in ROWS]

    assert len(names) == len(set(names))
