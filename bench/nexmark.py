"""Measure Nexmark's queries, in interleaved rounds, and write bench/NEXMARK.md: ``python bench/nexmark.py``.

The events are made and loaded once, into topics of one partition on the embedded, durable log. Each
measurement is a new process on a new copy of this folder: it processes all events with the defaults of
``Worker`` (RocksDB, exactly-once, a commit every 100 ms) and closes the windows, JSON in and out. The CPU
time is divided by the number of all events, also of those that a query does not read, as Nexmark does.

``--memory`` measures how much memory q5, q9 and q11 take for so many events, in one process each::

    python bench/nexmark.py --memory --events 10000000

To see where the time of a query goes (the folder is changed)::

    python -m bench.nexmark --prepare --events 200000 --folder /tmp/events
    python -m bench.nexmark --measure q5 --events 200000 --folder /tmp/events --profile tottime
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import json
import os
import platform
import pstats
import shutil
import statistics
import sys
import tempfile
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Final

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import apps.nexmark
import streamcore as sc
from apps.nexmark.generator import Recipe, event_lines
from apps.nexmark.loading import SIDE_TOPIC, TOPICS, load_lines
from bench.chart import Bar, bars_svg
from bench.environments import ROOT
from bench.machine import command_text, machine_text
from bench.measure import Measured
from bench.processes import Sample, sample_of
from bench.results import cpu_us, process_cpu_us
from bench.table import markdown_lines, terminal_lines
from bench.usage import measured, peak_bytes
from streamcore.log.connected_log import ConnectedLog
from streamcore.processing.runtime.running import Worker, new_event_loop

GENERATOR: Final = "generator"
TARGETS: Final[Mapping[str, float]] = {
    **dict.fromkeys(("q0", "q1", "q2", "q14", "q21", "q22"), 3),
    **dict.fromkeys(("q3", "q8", "q11", "q12", "q15", "q17"), 6),
    **dict.fromkeys(("q4", "q5", "q7", "q9", "q16", "q18", "q19", "q20", "q23"), 15),
}
"""CPU µs an event at most."""

GENERATOR_TARGET: Final = 300_000
"""Events a second at least."""

MEMORY_QUERIES: Final = ("q5", "q9", "q11")
MEMORY_TARGET_MB: Final = 500
"""The highest memory of a process for 10,000,000 events."""

_QUICK_EVENTS: Final = 20_000


def prepare(folder: Path, count: int) -> None:
    """Load the events into a new folder."""
    with sc.connect(folder, durability="relaxed") as log:
        for topic in (*TOPICS.values(), SIDE_TOPIC):
            log.create_topic(topic, partitions=1, config={"retention.ms": "-1"})
        load_lines(log, (line.encode() for line in event_lines(Recipe(), count)))


def measure_query(query: str, folder: Path, count: int) -> Measured:
    """Process the events in ``folder`` with a query, to the end."""
    app = getattr(apps.nexmark, query)

    async def run() -> Measured:
        worker = Worker(app, data=folder)
        await worker.open()
        try:
            with measured() as cost:
                await worker.run_until_end(close_windows=True)
            peak = peak_bytes()
            assert rows_in(worker.log, app.app_id), f"{query} has no result"
        finally:
            await worker.stop()
        return Measured(count=count, cpu_s=cost.cpu_s, wall_s=cost.wall_s, peak_bytes=peak)

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(run())


def measure_generator(count: int) -> Measured:
    """Make the events, and keep none."""
    with measured() as cost:
        deque(event_lines(Recipe(), count), maxlen=0)
    return Measured(count=count, cpu_s=cost.cpu_s, wall_s=cost.wall_s, peak_bytes=peak_bytes())


def rows_in(log: ConnectedLog, topic: str) -> int:
    """Return the number of records of a topic."""
    with log.consumer(topic, start="earliest") as consumer:
        return len(consumer.poll(timeout="5s"))


def run(queries: Sequence[str], count: int, rounds: int, folder: Path | None) -> tuple[str, str]:
    """Measure, print the table, and return the text of NEXMARK.md and its chart."""
    work = Path(tempfile.mkdtemp(prefix="streamcore-nexmark-", dir=folder))
    samples: dict[str, list[Sample]] = {query: [] for query in (GENERATOR, *queries)}
    try:
        _say(f"making and loading {count:,} events")
        prepare(work / "events", count)
        for number in range(rounds):
            for query, taken in samples.items():
                copy = work / "measured"
                shutil.copytree(work / "events", copy)
                command = [sys.executable, "-m", "bench.nexmark", f"--measure={query}", f"--events={count}"]
                taken.append(sample_of([*command, f"--folder={copy}"]))
                shutil.rmtree(copy)
                _say(f"round {number + 1} of {rounds}: {query:<10} {cpu_us(taken[-1]):.2f} CPU µs/event")
    finally:
        shutil.rmtree(work)
    rows = [_HEADS, *(_row(query, taken) for query, taken in samples.items() if query != GENERATOR)]
    print("\n".join(terminal_lines(rows)))
    page = _page(rows, _generator_line(samples[GENERATOR]), count, rounds, folder)
    return page, bars_svg(
        f"Nexmark: CPU µs an event, {count:,} events; the lines are targets",
        [
            Bar(query, statistics.median(map(cpu_us, taken)), TARGETS.get(query))
            for query, taken in samples.items()
            if query != GENERATOR
        ],
    )


def run_memory(queries: Sequence[str], count: int, folder: Path | None) -> bool:
    """Print the highest memory of each query, all on one folder of events; return whether all are small."""
    work = Path(tempfile.mkdtemp(prefix="streamcore-nexmark-", dir=folder))
    rows = [("query", "peak MB", "events/s", "target", "")]
    is_met = True
    try:
        _say(f"making and loading {count:,} events")
        prepare(work, count)
        for query in queries:
            command = [sys.executable, "-m", "bench.nexmark", f"--measure={query}", f"--events={count}"]
            seen = sample_of([*command, f"--folder={work}"]).seen
            megabytes = seen.peak_bytes / 1e6
            verdict = "met" if megabytes <= MEMORY_TARGET_MB else "MISSED"
            is_met = is_met and verdict == "met"
            rate = f"{seen.count / seen.wall_s:,.0f}"
            rows.append((query, f"{megabytes:.0f}", rate, f"≤ {MEMORY_TARGET_MB}", verdict))
            _say(f"{query}: {megabytes:.0f} MB")
    finally:
        shutil.rmtree(work)
    print("\n".join(terminal_lines(rows)))
    return is_met


_HEADS: Final = ("query", "CPU µs/event", "min - max", "whole process", "events/s", "peak MB", "target", "")


def _row(query: str, taken: Sequence[Sample]) -> tuple[str, ...]:
    costs = [cpu_us(sample) for sample in taken]
    median = statistics.median(costs)
    rate = statistics.median(sample.seen.count / sample.seen.wall_s for sample in taken)
    target = TARGETS.get(query)
    return (
        query,
        f"{median:.2f}",
        f"{min(costs):.2f} - {max(costs):.2f}",
        f"{statistics.median(map(process_cpu_us, taken)):.2f}",
        f"{rate:,.0f}",
        f"{statistics.median(sample.seen.peak_bytes for sample in taken) / 1e6:.0f}",
        "" if target is None else f"≤ {target:g}",
        "" if target is None else "met" if median <= target else "MISSED",
    )


def _generator_line(taken: Sequence[Sample]) -> str:
    rate = 1e6 / statistics.median(map(cpu_us, taken))
    verdict = "met" if rate >= GENERATOR_TARGET else "MISSED"
    return f"{rate:,.0f} a second of CPU time of one core (target: {GENERATOR_TARGET:,}, {verdict})"


def _page(rows: Sequence[Sequence[str]], made: str, count: int, rounds: int, folder: Path | None) -> str:
    command = command_text("bench-nexmark", "bench/nexmark.py")
    return "\n".join(
        [
            "# Nexmark",
            "",
            f"Written by {command} on {date.today().isoformat()}; do not edit.",
            "",
            f"* Machine: {machine_text(folder)}. Python {platform.python_version()}.",
            f"* {count:,} events of `apps/nexmark` (of 50 events 46 are bids), in topics of "
            "one partition on the embedded, durable log; JSON in, JSON out; exactly-once, a commit "
            "every 100 ms, RocksDB and changelogs where a query has state.",
            "* *CPU µs* is user and system time of the whole process with all its threads, at work, "
            "divided by the number of all events. *Whole process* is the same from the start of Python to "
            "its end. *Events/s* is by the clock.",
            f"* {rounds} interleaved round(s), each measurement in a process of its own; medians. "
            f"{os.getloadavg()[2]:.1f} processes wanted the cores in the last 15 minutes.",
            "* No other framework was part of this run.",
            f"* Making the events: {made}.",
            "",
            *markdown_lines(rows),
            "",
        ]
    )


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> None:
    """Read the command line, run, write the results."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", default=apps.nexmark.__all__, metavar="QUERY")
    parser.add_argument("--quick", action="store_true", help="one round of few events: does it run at all?")
    parser.add_argument("--folder", type=Path, help="where to work: on the disk that is to be measured")
    parser.add_argument(
        "--output", type=Path, help="the file of the results; bench/NEXMARK.md for a whole run"
    )
    parser.add_argument("--measure", metavar="QUERY", help="measure one query in this process")
    parser.add_argument("--prepare", action="store_true", help="only load the events into the folder")
    parser.add_argument(
        "--memory", action="store_true", help="measure the memory of some queries for so many events"
    )
    parser.add_argument(
        "--profile", metavar="SORT", help="with --measure: show the functions, sorted by this"
    )
    options = parser.parse_args()
    if options.prepare:
        prepare(options.folder, options.events)
    elif options.measure is not None:
        _measure(options)
    elif options.memory:
        chosen = MEMORY_QUERIES if options.only == apps.nexmark.__all__ else options.only
        if not run_memory(chosen, options.events, options.folder):
            raise SystemExit(1)
    else:
        whole = options.only == apps.nexmark.__all__ and not options.quick
        output = options.output or (ROOT / "bench" / "NEXMARK.md" if whole else None)
        count, rounds = (_QUICK_EVENTS, 1) if options.quick else (options.events, options.rounds)
        started_s = time.monotonic()
        text, chart = run(options.only, count, rounds, options.folder)
        _say(f"{time.monotonic() - started_s:.0f} s in all")
        if output is not None:
            drawn = output.with_suffix(".svg")
            drawn.write_text(chart, "utf-8")
            output.write_text(f"{text}\n![CPU time of each query]({drawn.name})\n", "utf-8")
            _say(f"written to {os.path.relpath(output)}")


def _measure(options: argparse.Namespace) -> None:
    profiler = cProfile.Profile()
    if options.profile is not None:
        profiler.enable()
    if options.measure == GENERATOR:
        seen = measure_generator(options.events)
    else:
        seen = measure_query(options.measure, options.folder, options.events)
    if options.profile is not None:
        profiler.disable()
        pstats.Stats(profiler).sort_stats(options.profile).print_stats(35)
    print(json.dumps(asdict(seen)))


if __name__ == "__main__":
    main()
