"""The time of ``streamcore worker`` to its first result, and its memory when it is idle.

The application is nearly empty: it passes events from one topic to another. One event waits. The time is from
the start of the process until the event's result is in the output topic's file, committed: then any consumer
sees it. The files are read from outside, so the worker has no additional work.

The modules of the package are compiled before, as pip compiles a package that it installs.
"""

from __future__ import annotations

import compileall
import contextlib
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import streamcore as sc
from bench.usage import cpu_s_of, resident_bytes
from streamcore.errors import StreamCoreError
from streamcore.log.connect import connect
from streamcore.log.tools.dump import dump

app = sc.App("bench-start")
incoming = app.topic("incoming", key=str, value=str, partitions=1)
outgoing = app.topic("outgoing", key=str, value=str, partitions=1)
incoming.to(outgoing)

_TIMEOUT_S = 30.0
_LOOK_S = 0.002
_IDLE_S = 2.0


@dataclass(frozen=True, slots=True)
class Started:
    """The numbers of one start."""

    first_result_s: float
    cpu_s: float
    """CPU time until the first result was seen."""
    idle_bytes: int
    """Resident memory two seconds later."""
    idle_cpu_percent: float


def start_worker(folder: Path) -> Started:
    """Start the command on a new folder in which one event waits, measure, and stop it."""
    compileall.compile_dir(Path(sc.__file__).parent, quiet=1)
    with connect(folder) as log:
        for name in ("incoming", "outgoing"):
            log.create_topic(name, partitions=1)
        with log.producer() as producer:
            producer.send_and_wait("incoming", key=b"k", value=b"v")
    file = folder / "log" / "outgoing-0" / f"{0:020d}.log"
    command = [
        sys.executable,
        "-m",
        "streamcore.cli.main",
        "worker",
        "bench.starting:app",
        "--data",
        str(folder),
    ]
    output = folder / "worker.txt"
    with output.open("wb") as lines:
        started_s = time.monotonic()
        worker = subprocess.Popen(command, stdout=lines, stderr=lines)
        try:
            while not _holds_committed_record(file):
                assert worker.poll() is None, output.read_text(errors="replace")
                assert time.monotonic() - started_s < _TIMEOUT_S, output.read_text(errors="replace")
                time.sleep(_LOOK_S)
            first_result_s = time.monotonic() - started_s
            cpu_s = cpu_s_of(worker.pid)
            time.sleep(0.5)
            before_s = cpu_s_of(worker.pid)
            time.sleep(_IDLE_S)
            idle_s = cpu_s_of(worker.pid) - before_s
            idle_bytes = resident_bytes(worker.pid)
        finally:
            worker.terminate()
            status = worker.wait(timeout=_TIMEOUT_S)
    assert status in (0, -15, 130, 143), output.read_text(errors="replace")
    return Started(first_result_s, cpu_s, idle_bytes, 100 * idle_s / _IDLE_S)


def _holds_committed_record(file: Path) -> bool:
    """Whether the file holds a record and, behind it, the marker of its transaction."""
    has_record = False
    # The file is being written: an incomplete batch will be complete at a later read.
    with contextlib.suppress(StreamCoreError, OSError):
        if file.stat().st_size == 0:
            return False
        for batch in dump(file):
            if batch.problem is not None:
                return False
            has_record |= bool(batch.records) and batch.marker is None
            if batch.marker is not None:
                return has_record
    return False
