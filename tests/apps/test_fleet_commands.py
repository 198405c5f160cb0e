"""The commands of the README, as a person types them: a worker in a process of its own, then questions."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import takewhile
from pathlib import Path

import pytest

import streamcore as sc
from apps.fleet.events import Flight, Plane
from apps.fleet.loading import load
from tests.support.fleet_answers import answers_of_duckdb

PROJECT = Path(__file__).resolve().parent.parent.parent
WEEK_MS = 604_800_000


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
def test_a_worker_processes_to_the_end_and_tables_answer_from_the_folder(
    year_of_flights: list[Flight], registry: list[Plane], tmp_path: Path
) -> None:
    events = list(takewhile(lambda flight: flight.ts < year_of_flights[0].ts + WEEK_MS, year_of_flights))
    right = answers_of_duckdb(events, registry, tmp_path)
    data = str(tmp_path / "data")
    with sc.connect(data) as log:
        load(log, events, registry, lambda count: None)

    streamcore("worker", "apps.fleet:app", "--data", data, "--until-end")

    airport, hour_ms, departures, delay, worst, cancelled = right.hourly[-1]
    at = ("--at", str(hour_ms))
    hour = json.loads(streamcore("tables", "get", "flights-hourly", airport, *at, "--data", data, "--json"))
    assert hour["start_ms"] == hour_ms
    assert hour["value"] == {
        "departures": departures,
        "delay": delay,
        "worst": worst,
        "cancelled": cancelled,
    }
    lines = streamcore("tables", "scan", "flights-by-maker", "--data", data, "--json").splitlines()
    rows = [json.loads(line) for line in lines]
    makers = [(row["key"], row["value"]["departures"], row["value"]["seats"]) for row in rows]
    assert sorted(makers) == right.by_maker
