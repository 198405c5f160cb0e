"""The parts that all loads share: the values that they send, and the output of their numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping

from bench.usage import Cost


def value_of(value_bytes: int) -> bytes:
    """Return the value of every record of a size."""
    return b"v" * value_bytes


def print_numbers(numbers: Mapping[str, float]) -> None:
    """Print the numbers, as the last line."""
    print(json.dumps(numbers), flush=True)


def throughput_numbers(count: int, cost: Cost) -> dict[str, float]:
    """Return the numbers of this many records in this time."""
    return {"count": count, "wall_s": cost.wall_s, "client_cpu_s": cost.cpu_s}


def latency_numbers(latencies_s: list[float]) -> dict[str, float]:
    """Return median, 99th percentile and maximum, in milliseconds."""
    ordered = sorted(latencies_s)
    count = len(ordered)
    return {
        "count": count,
        "p50_ms": ordered[count // 2] * 1e3,
        "p99_ms": ordered[count * 99 // 100] * 1e3,
        "max_ms": ordered[-1] * 1e3,
    }
