"""What a piece of work cost this process."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


def cpu_s() -> float:
    """User and system time of this process so far, all its threads included."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def peak_bytes() -> int:
    """The most memory this process had so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def resident_bytes() -> int:
    """The memory this process has now."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize()


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
