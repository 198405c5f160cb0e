"""The benchmark of the broker stays alive: it runs where there is no Java, and ends what it has started."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
COMMAND = [sys.executable, "bench/broker/run.py", "--quick", "--without-kafka"]
LIMIT_S = 60.0


def processes_that_name(text: str) -> list[int]:
    """The pids of processes with a text in their command line; not those of programs that have ended."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes()
        except OSError:  # it has ended meanwhile
            continue
        if text.encode() in words:
            found.append(int(path.parent.name))
    return found


@pytest.mark.slow
def test_the_benchmark_measures_a_broker_and_writes_its_results(tmp_path: Path) -> None:
    results = tmp_path / "results.md"
    rows = ["consume-100-raw", "connections", "partitions"]

    done = subprocess.run(
        [*COMMAND, "--folder", str(tmp_path), "--output", str(results), "--only", *rows],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "64 connections, a record a request" in done.stdout
    assert "| 10,000 partitions: start after a clean stop | s |" in results.read_text("utf-8")
    assert list(tmp_path.iterdir()) == [results]


def test_a_row_that_does_not_exist_is_refused_with_those_that_do() -> None:
    done = subprocess.run(
        [*COMMAND, "--only", "produce-1000"], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.returncode == 1
    assert "no such rows: produce-1000; there are produce-100, " in done.stderr


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="looks for processes as Linux lists them")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_benchmark_leaves_no_process_and_no_folder(
    tmp_path: Path, number: signal.Signals
) -> None:
    running = subprocess.Popen(
        [*COMMAND, "--folder", str(tmp_path), "--only", "connections"],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline_s = time.monotonic() + LIMIT_S
    while len(processes_that_name(str(tmp_path))) < 2:  # the benchmark and a broker
        assert running.poll() is None
        assert time.monotonic() < deadline_s

    running.send_signal(number)
    status = running.wait(LIMIT_S)

    assert status != 0
    assert processes_that_name(str(tmp_path)) == []
    assert list(tmp_path.iterdir()) == []
