"""The benchmark stays alive: each kind of measurement runs on few events and finds its answers right."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.slow
def test_the_benchmark_measures_and_writes_its_results(tmp_path: Path) -> None:
    results = tmp_path / "results.md"
    command = [sys.executable, "bench/run.py", "--quick", "--events", "2000", "--output", str(results)]
    joins = ["join-foreign-key", "join-tables", "join-as-of", "join-windows"]
    rows = ["count", "tumbling-100k", *joins, "sliding", "send", "consume", "bare-loop"]

    done = subprocess.run(
        [*command, "--folder", str(tmp_path), "--only", *rows],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "keyed count, RocksDB, changelog" in done.stdout
    text = results.read_text("utf-8")
    assert "| tumbling 10 s count, 100,000 keys |" in text
    assert "* 0.1 of the events only: tables joined by a foreign key, a left row an event; " in text


def test_a_row_that_does_not_exist_is_refused_with_those_that_do() -> None:
    done = subprocess.run(
        [sys.executable, "bench/run.py", "--quick", "--only", "coutn"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert "no such rows: coutn; there are filter-map, " in done.stderr
