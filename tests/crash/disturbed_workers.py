"""Runs an application with several workers, and kills, suspends and stops them at random moments."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import NamedTuple

from tests.crash.test_shop_kill import PROJECT

JOB_S_MAX = 400.0


class Outcome(NamedTuple):
    """How a disturbed job ended."""

    code: int
    disturbance_count: int
    printed: str


def disturbed_job(folder: Path, arguments: Sequence[str], count: int, random: Random) -> Outcome:
    """Run the shop with workers to the end of its input, disturbed ``count`` times at most."""
    with (folder / "output").open("w") as output:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "streamcore", "worker", "tests.crash.shop_app:app"),
                *("--data", str(folder), "--until-end", "--close-windows", *arguments),
            ],
            cwd=PROJECT,
            env={**os.environ, "PYTHONPATH": str(PROJECT)},
            stdout=output,
            stderr=output,
        )
    try:
        done = 0
        while done < count and process.poll() is None:
            time.sleep(random.uniform(0.2, 1.5))
            done += _disturbed(children_of(process.pid), random)
        code = process.wait(JOB_S_MAX)
    finally:
        process.kill()
    return Outcome(code, done, (folder / "output").read_text())


def children_of(pid: int) -> list[int]:
    """Return the processes that a process has started and that still run."""
    with contextlib.suppress(FileNotFoundError):
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def _disturbed(workers: list[int], random: Random) -> int:
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
