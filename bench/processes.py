"""Run measurements in new processes, and add the CPU time of the whole process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from bench.environments import ROOT
from bench.measure import Job, Measured


@dataclass(frozen=True, slots=True)
class Sample:
    """One measurement, and the CPU time of its whole process."""

    seen: Measured
    process_cpu_s: float


def measure_in_process(job: Job) -> Sample:
    """Measure a job in a new process."""
    return sample_of(
        [
            sys.executable,
            "-m",
            "bench.measure",
            job.kind,
            f"--events={job.events}",
            f"--keys={job.keys}",
            f"--work={job.work}",
            f"--value-type={job.value_type}",
            f"--folder={job.folder}",
        ]
    )


def sample_of(command: Sequence[str]) -> Sample:
    """Run a command that prints a measurement as its last line.

    Raises:
        SystemExit: it failed; its output is on the terminal.
    """
    process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT)
    assert process.stdout is not None
    printed = process.stdout.read()
    process.stdout.close()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"a measurement failed, exit code {process.returncode}: {' '.join(command)}")
    return Sample(Measured(**json.loads(printed.splitlines()[-1])), used.ru_utime + used.ru_stime)
