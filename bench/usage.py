"""The cost of a block: of this process, or of another one as Linux reports it."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


def cpu_s() -> float:
    """Return user and system time of this process so far, with all its threads."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def peak_bytes(pid: int | None = None) -> int:
    """Return the highest memory of a process so far; without a pid, of this one.

    Unlike ``ru_maxrss`` it does not count what the process had in memory before it became another program.
    """
    lines = _proc(pid, "status").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) * 1024


def resident_bytes(pid: int | None = None) -> int:
    """Return the present memory of a process; without a pid, of this one."""
    return int(_proc(pid, "statm").split()[1]) * resource.getpagesize()


def cpu_s_of(pid: int) -> float:
    """Return user and system time of another process so far, with all its threads, also ended ones."""
    fields = _proc(pid, "stat").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _proc(pid: int | None, name: str) -> str:
    return Path(f"/proc/{'self' if pid is None else pid}/{name}").read_text()


@dataclass(slots=True)
class Cost:
    """CPU and wall time of a block; both are final once it has ended."""

    cpu_s: float = 0.0
    wall_s: float = 0.0


@contextmanager
def measured() -> Iterator[Cost]:
    """Measure the block."""
    cost = Cost()
    cpu_before_s, wall_before_s = cpu_s(), time.perf_counter()
    yield cost
    cost.cpu_s = cpu_s() - cpu_before_s
    cost.wall_s = time.perf_counter() - wall_before_s
