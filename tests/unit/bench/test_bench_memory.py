"""Memory stays bounded: five times the events need no more of it. The whole measure is bench/memory.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.measure import Job
from bench.processes import measure_in_process

FEW, MANY = 80_000, 400_000
GROWTH_BYTES_MAX = 12_000_000
"""Less than the bytes of the events between few and many, held once."""


def peaks(events: int, folder: Path) -> tuple[int, int]:
    """The peaks of the process that loads the events and of the one that counts them by key."""
    load = measure_in_process(Job(kind="load", events=events, folder=folder))
    count = measure_in_process(Job(kind="process", events=events, work="count", folder=folder))
    return load.seen.peak_bytes, count.seen.peak_bytes


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="peaks are measured as Linux tells them")
def test_loading_and_counting_need_no_more_memory_for_more_events(tmp_path: Path) -> None:
    load_few, count_few = peaks(FEW, tmp_path / "few")
    load_many, count_many = peaks(MANY, tmp_path / "many")

    assert load_many - load_few < GROWTH_BYTES_MAX
    assert count_many - count_few < GROWTH_BYTES_MAX
