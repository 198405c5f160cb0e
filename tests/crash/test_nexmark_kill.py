"""Nexmark's queries, killed with SIGKILL at random moments and started again, give the rows of DuckDB.

``CRASH_KILLS`` says how many kills each query gets, a quarter of it (5), ``CRASH_SEED`` which moments.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import pytest

import streamcore as sc
from apps.nexmark.generator import Recipe, event_lines
from apps.nexmark.loading import load_lines
from tests.support.nexmark_answers import Answers
from tests.support.nexmark_runs import app_of, create_all_topics, rows_in

pytestmark = pytest.mark.crash

PROJECT = Path(__file__).resolve().parent.parent.parent
KILLS = max(1, int(os.environ.get("CRASH_KILLS", "20")) // 4)
SEED = int(os.environ.get("CRASH_SEED", "2013"))
EVENTS = 30_000
JOB_S_MAX = 180.0
"""An undisturbed job takes a tenth of this; one that takes longer hangs."""


def killed_after(query: str, folder: Path, seconds: float) -> bool:
    """Run a query, and kill it if it has not ended well after some seconds; whether it was killed."""
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "streamcore.cli.main", "worker", f"apps.nexmark:{query}"),
            *("--data", str(folder), "--until-end", "--close-windows"),
        ],
        cwd=PROJECT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        _, errors = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return True
    assert process.returncode == 0, errors
    return False


@pytest.mark.parametrize("query", ["q5", "q9", "q16", "q23"])
def test_a_query_killed_at_random_moments_gives_the_rows_of_duckdb(query: str, tmp_path: Path) -> None:
    lines = list(event_lines(Recipe(seed=SEED, rate=500, out_of_order=100, late=0.01), EVENTS))
    right = Answers(lines, tmp_path, partitions=2).rows(query)
    loaded, disturbed = tmp_path / "loaded", tmp_path / "disturbed"
    with sc.connect(loaded) as log:
        create_all_topics(log, [app_of(query)], 2)
        load_lines(log, (line.encode() for line in lines))
    shutil.copytree(loaded, disturbed)
    begun_s = time.monotonic()
    assert not killed_after(query, disturbed, JOB_S_MAX)
    undisturbed_s = time.monotonic() - begun_s
    random, moments = Random(SEED), list[float]()

    while len(moments) < KILLS:
        shutil.rmtree(disturbed)
        shutil.copytree(loaded, disturbed)
        while len(moments) < KILLS:
            seconds = random.uniform(0.2, 0.9) * undisturbed_s
            if not killed_after(query, disturbed, seconds):
                break
            moments.append(seconds)
        else:
            assert not killed_after(query, disturbed, JOB_S_MAX)

        with sc.connect(disturbed) as log:
            assert rows_in(query, log) == right, f"seed={SEED} moments={moments}"
