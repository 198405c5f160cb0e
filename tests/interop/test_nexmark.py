"""Nexmark's queries over a broker, StreamCore's own and Apache Kafka, give the rows of DuckDB."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import streamcore as sc
from apps.nexmark.generator import Recipe, event_lines
from tests.interop.kafka_processes import kafka_running
from tests.support.nexmark_answers import Answers
from tests.support.nexmark_runs import rows_on_a_broker

pytestmark = pytest.mark.interop

QUERIES = ("q0", "q3", "q5", "q9", "q16", "q19")
"""Together they have steps without state, windows, joins, sets, agents and periodic results."""

RECIPES = {seed: Recipe(seed=seed, rate=100, out_of_order=60, late=0.01) for seed in (21, 22)}
PARTITIONS = 2


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """A broker of StreamCore with an empty log."""
    with sc.serve(folder, listen="127.0.0.1:0") as broker:
        yield broker.address


def ensure_right(seed: int, address: str, folder: Path) -> None:
    lines = list(event_lines(RECIPES[seed], 3_000))
    answers = Answers(lines, folder, partitions=PARTITIONS)

    found = rows_on_a_broker(QUERIES, lines, address, folder / "state", partitions=PARTITIONS)

    assert all(found.values())
    assert found == {query: answers.rows(query) for query in QUERIES}


@pytest.mark.parametrize("seed", RECIPES)
def test_queries_over_a_served_log_give_the_rows_of_duckdb(seed: int, tmp_path: Path) -> None:
    with served(tmp_path / "served") as address:
        ensure_right(seed, address, tmp_path)


@pytest.mark.parametrize("seed", RECIPES)
def test_queries_on_apache_kafka_give_the_rows_of_duckdb(seed: int, jars: Path, tmp_path: Path) -> None:
    node = tmp_path / "kafka"
    node.mkdir()
    with kafka_running(jars, node) as address:
        ensure_right(seed, f"kafka://{address}", tmp_path)
