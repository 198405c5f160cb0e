"""The fleet job, killed with SIGKILL at random moments and started again, gives the undisturbed answers.

Moments are chosen by a seed, over the whole life of the process: start, restore, work, commit, end. A
job that reaches its end is compared, and another one starts from the loaded log, until enough kills
have hit.

``CRASH_KILLS`` says how many (20), ``CRASH_SEED`` which moments.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest

import streamcore as sc
from apps.fleet.app import app
from apps.fleet.data import read_flight_events, read_planes, source_folder
from tests.support.fleet_answers import Answers, answers_of_duckdb
from tests.support.fleet_tables import tables_of

pytestmark = pytest.mark.crash

PROJECT = Path(__file__).resolve().parent.parent.parent
KILLS = int(os.environ.get("CRASH_KILLS", "20"))
SEED = int(os.environ.get("CRASH_SEED", "2013"))
JOB_S_MAX = 120.0
"""An undisturbed job takes a tenth of this; one that takes longer hangs."""


def job(folder: Path) -> list[str]:
    return [
        *(sys.executable, "-m", "streamcore.cli.main", "worker", "apps.fleet:app"),
        *("--data", str(folder), "--until-end"),
    ]


def start(command: Sequence[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command,
        cwd=PROJECT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def killed_after(command: Sequence[str], seconds: float) -> bool:
    """Run a command, and kill it if it has not ended well after some seconds; whether it was killed."""
    process = start(command)
    try:
        _, errors = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return True
    assert process.returncode == 0, errors
    return False


def tables_in(folder: Path) -> Answers:
    with sc.run(app, data=folder) as running:
        running.wait_until_caught_up()
        return tables_of(running)


def test_jobs_killed_at_random_moments_give_the_undisturbed_answers(loaded: Path, tmp_path: Path) -> None:
    source = source_folder()
    right = answers_of_duckdb(read_flight_events(source), read_planes(source), tmp_path)
    undisturbed = shutil.copytree(loaded, tmp_path / "undisturbed")
    begun_s = time.monotonic()
    assert not killed_after(job(undisturbed), JOB_S_MAX)
    undisturbed_s = time.monotonic() - begun_s
    assert tables_in(undisturbed) == right
    shutil.rmtree(undisturbed)
    random = Random(SEED)

    kill_count = 0
    while kill_count < KILLS:
        folder = shutil.copytree(loaded, tmp_path / "disturbed")
        moments = []
        while kill_count < KILLS:
            moments.append(random.uniform(0.1, 0.45 * undisturbed_s))
            if not killed_after(job(folder), moments[-1]):
                break
            kill_count += 1
        else:
            assert not killed_after(job(folder), JOB_S_MAX)

        assert tables_in(folder) == right, f"seed={SEED} moments={moments}"
        if kill_count == KILLS:
            shutil.rmtree(folder / "state")
            assert tables_in(folder) == right, "restored from the changelogs alone"
        shutil.rmtree(folder)


def test_a_load_killed_half_way_is_done_again_and_no_event_comes_twice(tmp_path: Path) -> None:
    """The demo loads and processes; killed while it loads, it begins the load anew."""
    command = [sys.executable, "-m", "apps.fleet.demo", "--data", str(tmp_path)]
    random = Random(SEED)

    for _ in range(3):
        killed_after(command, random.uniform(0.5, 7.0))
    assert not killed_after(command, JOB_S_MAX)

    with sc.connect(tmp_path) as log, log.consumer("flights", start="earliest") as consumer:
        event_count = 0
        while records := consumer.poll(timeout="0ms"):
            event_count += len(records)
    assert event_count == 664_122
