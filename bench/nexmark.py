"""Measure Nexmark's queries, in interleaved rounds, and write bench/NEXMARK.md: ``python bench/nexmark.py``.

The events are made and loaded once, into topics of one partition on the embedded, durable log. Each
measurement is a new process on a new copy of this folder: it processes all events with the defaults of
``Worker`` (RocksDB, exactly-once, a commit every 100 ms) and closes the windows, JSON in and out. The CPU
time is divided by the number of all events, also of those that a query does not read, as Nexmark does.

With ``--peers`` other frameworks process the same events in the same run, and the results are compared. Each
gets an environment of its own in the root of the repository; a peer that cannot be installed is skipped.

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
import pstats
import shutil
import sys
import tempfile
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import apps.nexmark
import streamcore as sc
from apps.nexmark.generator import Recipe, event_lines
from apps.nexmark.loading import SIDE_TOPIC, TOPICS, load_lines
from bench.answers import Answer, answer_of_last_rows, answer_of_lines
from bench.broker.children import Children
from bench.environments import ROOT
from bench.measure import Measured
from bench.nexmark_page import PeerResult, Results, chart, our_rows, page, peer_rows
from bench.nexmark_peers import PEERS, Peers
from bench.processes import Sample, sample_of
from bench.results import cpu_us
from bench.table import terminal_lines
from bench.usage import measured, peak_bytes
from streamcore.log.connected_log import ConnectedLog
from streamcore.processing.runtime.running import Worker, new_event_loop

GENERATOR: Final = "generator"
EVERY_ROW: Final = frozenset({"q0", "q1", "q2", "q3", "q10", "q13", "q14", "q20", "q21", "q22", "q23"})
"""Queries whose results are all rows of the topic; of the others the last row of each key counts."""

MEMORY_QUERIES: Final = ("q5", "q9", "q11")
MEMORY_TARGET_MB: Final = 500
"""The highest memory of a process for 10,000,000 events."""

_QUICK_EVENTS: Final = 20_000
_LOADED_EVENTS: Final = 500_000
"""A transaction has so many events: the log aborts one that is open for a minute."""


def prepare(folder: Path, count: int) -> None:
    """Load the events into a new folder."""
    with sc.connect(folder, durability="relaxed") as log:
        for topic in (*TOPICS.values(), SIDE_TOPIC):
            log.create_topic(topic, partitions=1, config={"retention.ms": "-1"})
        for first in range(0, count, _LOADED_EVENTS):
            lines = event_lines(Recipe(), min(_LOADED_EVENTS, count - first), first=first)
            load_lines(log, (line.encode() for line in lines))


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


def our_answer(query: str, folder: Path) -> Answer:
    """Return the result of a query that was measured in this folder."""
    records: list[tuple[bytes | None, bytes | None]] = []
    topic: str = getattr(apps.nexmark, query).app_id
    with sc.connect(folder) as log, log.consumer(topic, start="earliest") as consumer:
        while polled := consumer.poll(timeout="0ms"):
            records += [(record.key, record.value) for record in polled]
    if query in EVERY_ROW:
        return answer_of_lines(value for _, value in records if value is not None)
    return answer_of_last_rows(records)


def rows_in(log: ConnectedLog, topic: str) -> int:
    """Return the number of records of a topic."""
    with log.consumer(topic, start="earliest") as consumer:
        return len(consumer.poll(timeout="5s"))


def run(
    queries: Sequence[str],
    count: int,
    rounds: int,
    folder: Path | None,
    *,
    peer_names: Sequence[str] = (),
    peer_rounds: int = 1,
) -> tuple[str, str]:
    """Measure, print the tables, and return the text of NEXMARK.md and its chart."""
    work = Path(tempfile.mkdtemp(prefix="streamcore-nexmark-", dir=folder))
    samples: dict[str, list[Sample]] = {query: [] for query in (GENERATOR, *queries)}
    answers: dict[str, Answer] = {}
    found: dict[str, dict[str, PeerResult]] = {}
    with Children() as children:
        try:
            peers = Peers(peer_names, children, work / "peers", work / "events", count)
            _say(f"making and loading {count:,} events")
            prepare(work / "events", count)
            if peers.used:
                peers.write_events(lambda first: event_lines(Recipe(), first))
            for number in range(rounds):
                for query, taken in samples.items():
                    copy = work / "measured"
                    shutil.copytree(work / "events", copy)
                    command = [
                        sys.executable,
                        "-m",
                        "bench.nexmark",
                        f"--measure={query}",
                        f"--events={count}",
                    ]
                    taken.append(sample_of([*command, f"--folder={copy}"]))
                    _say(f"round {number + 1} of {rounds}: {query:<10} {cpu_us(taken[-1]):.2f} CPU µs/event")
                    wanted = [peer for peer in peers.used if query in peer.queries and number < peer_rounds]
                    if wanted and query not in answers:
                        answers[query] = our_answer(query, copy)
                    shutil.rmtree(copy)
                    for peer in wanted:
                        sample = peers.measure(peer, query, with_answer=number == 0)
                        if sample is not None:
                            result = found.setdefault(peer.title, {}).setdefault(
                                query, PeerResult([], sample.answer)
                            )
                            result.seen.append(sample.seen)
                            _say(f"{peer.title}: {query:<10} {result.cpu_us:.2f} CPU µs/event")
        finally:
            shutil.rmtree(work)
    results = Results(
        count=count,
        rounds=rounds,
        peer_rounds=peer_rounds,
        generator=samples.pop(GENERATOR),
        samples=samples,
        answers=answers,
        peers=found,
        notes=peers.notes,
    )
    print("\n".join(terminal_lines(our_rows(results))))
    if found:
        print("\n".join(["", *terminal_lines(peer_rows(results)), *peers.notes]))
    return page(results, folder), chart(results)


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
    parser.add_argument(
        "--peers", nargs="*", default=(), choices=list(PEERS), help="measure these frameworks as well"
    )
    parser.add_argument("--peer-rounds", type=int, default=1, help="in how many of the rounds (default 1)")
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
        text, drawing = run(
            options.only,
            count,
            rounds,
            options.folder,
            peer_names=options.peers,
            peer_rounds=min(options.peer_rounds, rounds),
        )
        _say(f"{time.monotonic() - started_s:.0f} s in all")
        if output is not None:
            drawn = output.with_suffix(".svg")
            drawn.write_text(drawing, "utf-8")
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
