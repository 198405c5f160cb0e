"""Peers at Nexmark: the files that they read, the statements of Flink's tables, and what a peer printed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

import apps.nexmark
from apps.nexmark.generator import Recipe, event_lines
from bench.measure import Measured
from bench.nexmark_peers import PEERS, measured_from, write_events
from bench.peers.flink_sql import INPUTS, QUERIES, input_table, result_table
from bench.peers.nexmark_rows import FOLDS, ROWS, key_within_auction
from tests.support.nexmark_answers import Answers

EVENTS = 2_000


@pytest.fixture(scope="module")
def lines() -> list[str]:
    return list(event_lines(Recipe(), EVENTS))


@pytest.fixture(scope="module")
def answers(lines: list[str], tmp_path_factory: pytest.TempPathFactory) -> Answers:
    return Answers(lines, tmp_path_factory.mktemp("answers"))


def bids(lines: list[str]) -> list[dict[str, Any]]:
    return [event for event in map(json.loads, lines) if event["event_type"] == 2]


def test_each_kind_of_event_has_a_file_with_its_lines_in_their_order(
    lines: list[str], tmp_path: Path
) -> None:
    write_events(tmp_path / "all", lines)

    for kind, name in enumerate(("person", "auction", "bid")):
        expected = [line for line in lines if json.loads(line)["event_type"] == kind]
        assert (tmp_path / "all" / f"{name}.jsonl").read_text().splitlines() == expected
    side = (tmp_path / "all" / "side.jsonl").read_text().splitlines()
    assert json.loads(side[17]) == {"id": 17, "text": "17", "dateTime": 1}


def test_the_peers_know_only_queries_that_there_are() -> None:
    assert set(PEERS["flink"].queries) == set(apps.nexmark.__all__)
    for peer in PEERS.values():
        assert set(peer.queries) <= set(apps.nexmark.__all__), peer.name
        assert re.fullmatch(r"[A-Z][\w ]+ \d+(\.\d+)+", peer.title)


@pytest.mark.parametrize("query", QUERIES)
def test_a_statement_of_flink_reads_inputs_that_are_declared(query: str) -> None:
    select = QUERIES[query].select
    read = set(re.findall(r"(?:FROM|JOIN|TABLE) ([a-z]+)\b", select))

    assert read & set(INPUTS)
    assert read <= {*INPUTS, "counts"}, "counts is a part of q5"


def test_the_tables_of_flink_have_event_time_and_the_format_that_fits_the_result(tmp_path: Path) -> None:
    side = input_table("side", tmp_path / "side.jsonl")

    assert "WATERMARK FOR event_time" in side
    assert side.index("PRIMARY KEY") > side.index("WATERMARK")
    assert f"'path' = 'file://{tmp_path}/side.jsonl'" in side
    assert "'format' = 'json'" in result_table("results", QUERIES["q0"], tmp_path)
    assert "'format' = 'debezium-json'" in result_table("results", QUERIES["q4"], tmp_path)


def test_a_measurement_is_read_from_the_line_of_a_peer() -> None:
    line = '{"count": 50, "cpu_s": 0.5, "wall_s": 0.25, "peak_bytes": 1000}'

    assert measured_from(json.loads(line)) == Measured(count=50, cpu_s=0.5, wall_s=0.25, peak_bytes=1000)


@pytest.mark.parametrize("query", ROWS)
def test_a_query_of_single_bids_has_the_rows_of_the_sql(
    query: str, lines: list[str], answers: Answers
) -> None:
    rows = [row for row in map(ROWS[query], bids(lines)) if row is not None]

    assert sorted(map(tuple, rows)) == answers.rows(query)


@pytest.mark.parametrize("query", FOLDS)
def test_the_last_row_of_each_key_of_a_fold_is_that_of_the_sql(
    query: str, lines: list[str], answers: Answers
) -> None:
    known: dict[tuple[int, str], Any] = {}
    last = {}
    for bid in bids(lines):
        key = bid["auction"], key_within_auction(query, bid)
        known[key], last[key] = FOLDS[query](known.get(key), bid)

    assert sorted(map(tuple, last.values())) == answers.rows(query)
