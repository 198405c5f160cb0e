"""Show that memory does not grow with the number of events: ``python bench/memory.py``.

Loads and processes a tenth of the events and all of them, each step in a new process, and prints the highest
memory of each. With a million keys the state is larger than the caches, so the limits of the caches, of
RocksDB and of one commit are measured.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.measure import Job
from bench.processes import measure_in_process

LIMIT_BYTES = 350_000_000
"""The most memory that a step may need, for any number of events."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """The highest memory of one step."""

    step: str
    events: int
    peak_bytes: int


def steps(events: int, folder: Path) -> Iterator[Seen]:
    """Load, process and read this many events; the data that a step needs is made before."""
    for keys in (1_000, 1_000_000):
        loaded = folder / f"events-{keys}"
        yield _seen(f"load, {keys:,} keys", Job(kind="load", events=events, keys=keys, folder=loaded))
        works = ("count", "tumbling", "agent") if keys == 1_000 else ("count",)
        for work in works:
            copied = folder / "copy"
            shutil.copytree(loaded, copied)
            yield _seen(
                f"{work}, {keys:,} keys", Job(kind="process", events=events, work=work, folder=copied)
            )
            if keys > 1_000:
                yield _seen(f"restore, {keys:,} keys", Job(kind="restore", events=events, folder=copied))
            shutil.rmtree(copied)
        shutil.rmtree(loaded)
    for kind in ("send", "send-many", "consume"):
        records = folder / "records"
        yield _seen(f"{kind}, 100 B", Job(kind=kind, events=events, folder=records))
        if kind != "send-many":
            shutil.rmtree(records)


def _seen(step: str, job: Job) -> Seen:
    return Seen(step=step, events=job.events, peak_bytes=measure_in_process(job).seen.peak_bytes)


def main() -> None:
    """Measure with a tenth and with all events; exit with 1 if a step needs too much."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--folder", type=Path, help="where to work; some GB are needed")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="streamcore-memory-", dir=options.folder))
    largest = 0
    counts = (options.events // 10, options.events)
    print(f"{'peak memory, MB':<28}" + "".join(f"{f'{count:,} events':>20}" for count in counts), flush=True)
    try:
        for few, many in zip(*(steps(count, folder / str(count)) for count in counts), strict=True):
            print(f"{few.step:<28}{few.peak_bytes / 1e6:>20.0f}{many.peak_bytes / 1e6:>20.0f}", flush=True)
            largest = max(largest, few.peak_bytes, many.peak_bytes)
    finally:
        shutil.rmtree(folder)
    if largest > LIMIT_BYTES:
        raise SystemExit(f"a step needed {largest / 1e6:.0f} MB, more than {LIMIT_BYTES / 1e6:.0f}")


if __name__ == "__main__":
    main()
