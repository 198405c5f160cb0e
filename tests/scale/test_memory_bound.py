"""Memory stays bounded, however much is loaded and processed: 4 million events, in processes of their own.

``SCALE_EVENTS`` says how many. The bounds are close to what is needed: 10 bytes kept of each event pass them.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

PROJECT = Path(__file__).resolve().parent.parent.parent
EVENTS = int(os.environ.get("SCALE_EVENTS", "4000000"))
KEYS = 1_000
LOADING_MB_MAX = 90
"""Measured: 47 with 1 million events, 48 with 4 million."""
PROCESSING_MB_MAX = 200
"""Measured: 159 with 1 million events, 163 with 4 million. Most is what is in memory between two commits."""

APPLICATION = """
import resource
import sys
from dataclasses import dataclass
from pathlib import Path

import streamcore as sc


@dataclass(frozen=True, slots=True)
class Event:
    k: str
    v: int


app = sc.App("scale")
events = app.topic("events", key=str, value=Event, partitions=4)
total = events.sum("total", of=lambda event: event.v)
by_last_digit = events.group_by(lambda event: event.k[-1], key=str).count("by-last-digit")


def peak_mb():
    if sys.platform == "darwin":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (1024 * 1024)
    # Linux counts in ru_maxrss what the process had that started this one.
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) // 1024
"""

LOAD = """
with sc.connect(sys.argv[1]) as log:
    log.create_topic("events", partitions=4, config={"retention.ms": "-1"})
    keys = [(b"k%d" % number, b'{"k":"k%d","v":5}' % number) for number in range(KEYS)]
    with log.producer() as producer:
        producer.send_many("events", (keys[number % KEYS] for number in range(EVENTS)))
print(peak_mb())
"""

PROCESS = """
with sc.run(app, data=sys.argv[1]) as running:
    running.wait_until_caught_up()
    assert sum(answer.value for answer in running.table("total").all()) == 5 * EVENTS
    assert sum(answer.value for answer in running.table("by-last-digit").all()) == EVENTS
print(peak_mb())
"""


def peak_mb_of(step: str, folder: Path, program: Path) -> int:
    """Run a step in a process of its own, and return the most memory that it had."""
    program.write_text(f"EVENTS, KEYS = {EVENTS}, {KEYS}\n{APPLICATION}{step}", "utf-8")
    done = subprocess.run(
        [sys.executable, str(program), str(folder)],
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        timeout=1_200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_loading_and_processing_more_events_takes_no_more_memory(tmp_path: Path) -> None:
    folder = tmp_path / "data"

    load_mb = peak_mb_of(LOAD, folder, tmp_path / "load.py")
    process_mb = peak_mb_of(PROCESS, folder, tmp_path / "process.py")

    assert load_mb <= LOADING_MB_MAX
    assert process_mb <= PROCESSING_MB_MAX
