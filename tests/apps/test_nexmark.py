"""The results of Nexmark's queries equal DuckDB's over the same events: all rows, every column."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import apps.nexmark
from apps.nexmark.generator import Recipe, event_lines
from tests.support.nexmark_answers import SQL, Answers
from tests.support.nexmark_runs import rows_in_the_driver, rows_on_an_embedded_log

QUERIES = tuple(apps.nexmark.__all__)
QUICK = ("q3", "q5", "q8", "q9", "q11", "q15", "q19", "q21", "q23")
"""Queries that together use all operators: the others are left to the slow tests."""

SLOW = pytest.mark.slow

RECIPES = (
    Recipe(seed=1, rate=100, out_of_order=50, late=0.02),
    Recipe(seed=2, rate=1_000, out_of_order=300, late=0.01),
    Recipe(seed=3, rate=40),
)


def lines_of(query: str, recipe: Recipe, count: int) -> list[str]:
    """Return the events of a recipe; for q11 without late ones, see ``nexmark_answers``."""
    return list(event_lines(replace(recipe, late=0) if query == "q11" else recipe, count))


def test_each_query_has_an_answer_to_compare_with() -> None:
    assert set(QUERIES) <= set(SQL)


@pytest.mark.parametrize(
    "query", [query if query in QUICK else pytest.param(query, marks=SLOW) for query in QUERIES]
)
def test_a_few_events_with_late_ones_and_a_crash_in_the_middle_give_the_rows_of_duckdb(
    query: str, tmp_path: Path
) -> None:
    lines = lines_of(query, Recipe(seed=7, rate=8, out_of_order=20, late=0.03), 250)

    found = rows_in_the_driver(query, lines, crash_every=100)

    assert found == Answers(lines, tmp_path).rows(query)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("recipe", "partitions"), list(zip(RECIPES, (4, 1, 4), strict=True)), ids=("1", "2", "3")
)
@pytest.mark.parametrize("query", QUERIES)
def test_an_embedded_log_with_a_restart_in_the_middle_gives_the_rows_of_duckdb(
    query: str, recipe: Recipe, partitions: int, tmp_path: Path
) -> None:
    lines = lines_of(query, recipe, 4_000)

    found = rows_on_an_embedded_log(query, lines, tmp_path / "data", partitions=partitions, parts=2)

    right = Answers(lines, tmp_path, partitions=partitions).rows(query)
    assert found == right
    assert right


@pytest.mark.slow
@pytest.mark.parametrize("seed", [11, 12])
@pytest.mark.parametrize("query", QUERIES)
def test_crashes_between_and_within_commits_change_no_row(query: str, seed: int, tmp_path: Path) -> None:
    lines = lines_of(query, Recipe(seed=seed, rate=50, out_of_order=100, late=0.02), 2_000)

    found = rows_in_the_driver(query, lines, crash_every=300, crash_within=seed, seed=seed)

    assert found == Answers(lines, tmp_path).rows(query)
