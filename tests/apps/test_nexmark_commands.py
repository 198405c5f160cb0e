"""Nexmark as a person runs it: make events, load and process them, read the topic; also over a served log."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import streamcore as sc
from apps.nexmark.generator import Recipe, event_lines
from tests.support.nexmark_answers import Answers
from tests.support.nexmark_runs import rows_in

PROJECT = Path(__file__).resolve().parent.parent.parent
RECIPE = Recipe(seed=6, rate=100, out_of_order=50, late=0.01)
MADE = ("--events", "3000", "--seed", "6", "--rate", "100", "--out-of-order", "50", "--late", "0.01")


def streamcore(*words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "streamcore.cli.main", *words],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_generated_events_go_through_a_file_and_two_queries_of_one_folder(tmp_path: Path) -> None:
    file, data = tmp_path / "events.jsonl", str(tmp_path / "data")
    lines = list(event_lines(RECIPE, 3_000))

    streamcore("app", "apps.nexmark:q8", "generate", *MADE, "--output", str(file))
    streamcore("app", "apps.nexmark:q8", "load", str(file), "--partitions", "4", "--data", data)
    for query in ("q8", "q13"):
        streamcore("worker", f"apps.nexmark:{query}", "--until-end", "--close-windows", "--data", data)

    assert file.read_text("ascii").splitlines() == lines
    answers = Answers(lines, tmp_path, partitions=4)
    with sc.connect(data) as log:
        for query in ("q8", "q13"):
            assert rows_in(query, log) == answers.rows(query)
    shown = streamcore("consume", "nexmark-q8", "--max", "1", "--json", "--data", data)
    assert len(json.loads(json.loads(shown.splitlines()[0])["value"])) == 3


@pytest.mark.slow
def test_a_query_over_a_served_log_gives_the_rows_of_duckdb(tmp_path: Path) -> None:
    answers = Answers(event_lines(RECIPE, 3_000), tmp_path)
    with sc.serve(tmp_path / "served", listen="127.0.0.1:0") as served:
        place = ("--broker", served.address, "--data", str(tmp_path / "state"))

        streamcore("app", "apps.nexmark:q12", "generate", *MADE, *place)
        for query in ("q12", "q4"):
            streamcore("worker", f"apps.nexmark:{query}", "--until-end", "--close-windows", *place)

        with sc.connect(served.address) as log:
            for query in ("q12", "q4"):
                assert rows_in(query, log) == answers.rows(query)
