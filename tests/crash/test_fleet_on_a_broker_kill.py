"""The fleet job on a broker, both killed with SIGKILL at random moments: the tables are the undisturbed ones.

The worker lives on when its broker dies and comes back. A worker that is killed is started again by the
same command. ``CRASH_KILLS`` says how many kills (20), ``CRASH_SEED`` which moments.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import pytest

from apps.fleet.data import read_flight_events, read_planes, source_folder
from tests.support.fleet_answers import answers_of_duckdb
from tests.support.fleet_at_work import tables_at

pytestmark = pytest.mark.crash

PROJECT = Path(__file__).resolve().parent.parent.parent
KILLS = int(os.environ.get("CRASH_KILLS", "20"))
SEED = int(os.environ.get("CRASH_SEED", "2013"))
JOB_S_MAX = 180.0
KILLS_A_JOB = 4
MOMENT_S_MAX = 5.0
"""Kills are at most this far apart, so that several hit a job."""


class Running:
    """A command in a process of its own, which can be killed and started again."""

    def __init__(self, *words: str) -> None:
        self._words = words
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "streamcore.cli.main", *self._words],
            cwd=PROJECT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()

    def end(self) -> None:
        """Wait until it ends well by itself."""
        _, errors = self._process.communicate(timeout=JOB_S_MAX)
        assert self._process.returncode == 0, errors


def free_address() -> str:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return f"127.0.0.1:{found.getsockname()[1]}"


def test_brokers_and_workers_killed_at_random_moments_give_the_undisturbed_answers(
    loaded: Path, tmp_path: Path
) -> None:
    source = source_folder()
    right = answers_of_duckdb(read_flight_events(source), read_planes(source), tmp_path)
    random = Random(SEED)

    kill_count = 0
    while kill_count < KILLS:
        data = shutil.copytree(loaded, tmp_path / "served")
        state = tmp_path / "state"
        address = free_address()
        broker = Running("serve", "--data", str(data), "--listen", address)
        worker = Running("worker", "apps.fleet:app", "--broker", address, "--data", str(state), "--until-end")
        moments: list[tuple[str, float]] = []
        try:
            while len(moments) < KILLS_A_JOB and not worker.has_ended():
                victim, name = random.choice([(broker, "broker"), (worker, "worker")])
                moments.append((name, random.uniform(0.2, MOMENT_S_MAX)))
                time.sleep(moments[-1][1])
                if not worker.has_ended():
                    victim.kill()
                    victim.start()
                    kill_count += 1
            worker.end()
            found = tables_at(address, state)
            shutil.rmtree(state)
            restored = tables_at(address, state)
        finally:
            worker.kill()
            broker.kill()

        assert found == right, f"seed={SEED} moments={moments}"
        assert restored == right, f"restored from the changelogs alone, seed={SEED} moments={moments}"
        shutil.rmtree(state)
        shutil.rmtree(data)
