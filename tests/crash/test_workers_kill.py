"""Three workers share an application with joins, sessions and foreign keys, and are killed, suspended and
stopped at random moments: each row comes once, as plain Python computes it.

``CRASH_KILLS`` says how many disturbances (20), ``CRASH_SEED`` which and when.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import pytest

from tests.crash.shop_app import expected, made_records
from tests.crash.test_shop_kill import KILLS, PROJECT, SEED, differences, load, results_in

pytestmark = pytest.mark.crash

RECORDS = 30_000
JOB_S_MAX = 400.0
START_MS = 1_700_000_000_000
"""Later than 1970: librdkafka cannot send a time of 0."""


def test_workers_disturbed_at_random_moments_give_each_row_once(tmp_path: Path) -> None:
    sent = made_records(SEED, RECORDS, START_MS)
    load(tmp_path, sent)
    random = Random(SEED)
    with (tmp_path / "output").open("w") as output:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "streamcore", "worker", "tests.crash.shop_app:app", "--data"),
                *(str(tmp_path), "--workers", "3", "--until-end", "--close-windows"),
            ],
            cwd=PROJECT,
            env={**os.environ, "PYTHONPATH": str(PROJECT)},
            stdout=output,
            stderr=output,
        )
    try:
        done = 0
        while done < KILLS and process.poll() is None:
            time.sleep(random.uniform(0.2, 4.0))
            done += disturbed(children_of(process.pid), random)
        code = process.wait(JOB_S_MAX)
    finally:
        process.kill()
    printed = (tmp_path / "output").read_text()
    assert code == 0, printed[-3_000:]
    assert done >= min(KILLS, 3), f"the job ended after {done} disturbances"

    assert differences(results_in(tmp_path), expected(sent)) == {}, printed[-6_000:]


def children_of(pid: int) -> list[int]:
    with contextlib.suppress(FileNotFoundError):
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def disturbed(workers: list[int], random: Random) -> int:
    """Kill, stop or suspend one of the workers; return how many were there to disturb, 0 or 1."""
    if not workers:
        return 0
    worker = random.choice(workers)
    kind = random.choice(("kill", "kill", "kill", "stop", "suspend", "suspend for long"))
    with contextlib.suppress(ProcessLookupError):
        if kind == "kill":
            os.kill(worker, signal.SIGKILL)
        elif kind == "stop":
            os.kill(worker, signal.SIGTERM)
        else:
            os.kill(worker, signal.SIGSTOP)
            # The supervisor kills a worker that is suspended for longer than its session.
            time.sleep(random.uniform(0.1, 2.0) if kind == "suspend" else 11.5)
            os.kill(worker, signal.SIGCONT)
    return 1
