"""Nexmark's results as texts: the table of our queries, the table beside the peers, the page, the chart."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Final

from bench.answers import Answer
from bench.chart import Bar, Group, bars_svg, groups_svg
from bench.machine import command_text, machine_text
from bench.measure import Measured
from bench.processes import Sample
from bench.results import cpu_us, process_cpu_us
from bench.table import markdown_lines

TARGETS: Final[Mapping[str, float]] = {
    **dict.fromkeys(("q0", "q1", "q2", "q14", "q21", "q22"), 3),
    **dict.fromkeys(("q3", "q8", "q11", "q12", "q15", "q17"), 6),
    **dict.fromkeys(("q4", "q5", "q7", "q9", "q16", "q18", "q19", "q20", "q23"), 15),
}
"""CPU µs an event at most."""

GENERATOR_TARGET: Final = 300_000
"""Events a second at least."""

OURS: Final = "StreamCore"

Rows = list[tuple[str, ...]]
"""A table; the first row holds the headings."""


@dataclass(frozen=True, slots=True)
class PeerResult:
    """What a peer took for one query in all rounds, and its result."""

    seen: list[Measured]
    answer: Answer

    @property
    def cpu_us(self) -> float:
        """Return the CPU time per event."""
        return statistics.median(seen.cpu_s / seen.count * 1e6 for seen in self.seen)


@dataclass(frozen=True, slots=True)
class Results:
    """Everything that a run has measured."""

    count: int
    rounds: int
    peer_rounds: int
    generator: Sequence[Sample]
    samples: Mapping[str, Sequence[Sample]]
    """Our measurements of each query."""
    answers: Mapping[str, Answer] = field(default_factory=dict)
    """Our results, if there are peers."""
    peers: Mapping[str, Mapping[str, PeerResult]] = field(default_factory=dict)
    """By the peer's title and the query."""
    notes: Sequence[str] = ()
    """What happened to peers."""


def our_rows(results: Results) -> Rows:
    """Return the table of our measurements."""
    return [_HEADS, *(_our_row(query, taken) for query, taken in results.samples.items())]


_HEADS: Final = ("query", "CPU µs/event", "min - max", "whole process", "events/s", "peak MB", "target", "")


def _our_row(query: str, taken: Sequence[Sample]) -> tuple[str, ...]:
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


def peer_rows(results: Results) -> Rows:
    """Return the table of all frameworks: CPU time per event, its ratio to ours, memory, result."""
    heads = ["query", f"{OURS}, CPU µs/event"]
    for title in results.peers:
        heads += [f"{title}, CPU µs/event", "ratio", "peak MB", "result"]
    rows = [tuple(heads)]
    for query, taken in results.samples.items():
        ours = statistics.median(map(cpu_us, taken))
        cells = [query, f"{ours:.2f}"]
        for found in results.peers.values():
            cells += _peer_cells(found.get(query), ours, results.answers.get(query))
        rows.append(tuple(cells))
    return rows


def _peer_cells(found: PeerResult | None, ours: float, our_answer: Answer | None) -> list[str]:
    if found is None:
        return ["", "", "", ""]
    memory = statistics.median(seen.peak_bytes for seen in found.seen) / 1e6
    if our_answer == found.answer:
        verdict = "equal"
    elif our_answer is None or our_answer.rows == found.answer.rows:
        verdict = "DIFFERS"
    else:
        verdict = f"DIFFERS: {found.answer.rows:,} rows, ours {our_answer.rows:,}"
    return [f"{found.cpu_us:.2f}", f"{found.cpu_us / ours:.1f} x", f"{memory:.0f}", verdict]


def generator_line(taken: Sequence[Sample]) -> str:
    """Return how fast the events are made."""
    rate = 1e6 / statistics.median(map(cpu_us, taken))
    verdict = "met" if rate >= GENERATOR_TARGET else "MISSED"
    return f"{rate:,.0f} a second of CPU time of one core (target: {GENERATOR_TARGET:,}, {verdict})"


_ABOUT_PEERS: Final = (
    "## Beside other frameworks",
    "",
    "In the same run, on the same cores, after our measurement of the query. A peer reads the same JSON from "
    "a file for each kind of event and writes its result as JSON, with one parallel instance. *Ratio* is its "
    "CPU time divided by ours. *Result* says whether all rows are those of our result topic, in any order; "
    "of rows that replace each other the last ones count.",
    "",
    "* Flink: its SQL (`bench/peers/flink_sql.py`), streaming mode, RocksDB, a checkpoint every 10 s (ours: "
    "a commit every 100 ms), mini-batches of 1 s, object reuse. CPU time is that of the Java process. A "
    "first run over all events, which does not count, compiles the code that runs often. What a run over "
    "1,000 events costs afterwards (the cheaper of two) is the start of a job, and is subtracted.",
    "* Bytewax: files in and out, a snapshot of the state every 10 s. q17 writes a row after each bid, ours "
    "once a second of event time. The other queries need joins, or results over the windows of all keys: "
    "Bytewax has operators for neither that answer these queries.",
    "* Quix Streams: a served StreamCore log on the same cores, with the same topics, exactly-once. CPU time "
    "is that of its own process, not of the broker, from the start of the application. Windows (q11, q12) "
    "write each change: nothing would close the last ones.",
)


def page(results: Results, folder: Path | None) -> str:
    """Return the text of NEXMARK.md without the chart; ``folder`` is the folder of the run."""
    command = command_text("bench-nexmark", "bench/nexmark.py")
    lines = [
        "# Nexmark",
        "",
        f"Written by {command} on {date.today().isoformat()}; do not edit.",
        "",
        f"* Machine: {machine_text(folder)}. Python {platform.python_version()}.",
        f"* {results.count:,} events of `apps/nexmark` (of 50 events 46 are bids), in topics of "
        "one partition on the embedded, durable log; JSON in, JSON out; exactly-once, a commit "
        "every 100 ms, RocksDB and changelogs where a query has state.",
        "* *CPU µs* is user and system time of the whole process with all its threads, at work, "
        "divided by the number of all events. *Whole process* is the same from the start of Python to "
        "its end. *Events/s* is by the clock.",
        f"* {results.rounds} interleaved round(s), each measurement in a process of its own; medians. "
        f"{os.getloadavg()[2]:.1f} processes wanted the cores in the last 15 minutes.",
        *([] if results.peers else ["* No other framework was part of this run."]),
        f"* Making the events: {generator_line(results.generator)}.",
        "",
        *markdown_lines(our_rows(results)),
        "",
    ]
    if results.peers:
        lines += [
            *_ABOUT_PEERS,
            f"* {results.peer_rounds} round(s) of the peers.",
            "",
            *markdown_lines(peer_rows(results)),
            "",
        ]
    if results.notes:
        lines += [*(f"* {note}" for note in results.notes), ""]
    return "\n".join(lines)


def chart(results: Results) -> str:
    """Return the chart: a bar for each query, or with peers one for each framework."""
    ours = {query: statistics.median(map(cpu_us, taken)) for query, taken in results.samples.items()}
    title = f"Nexmark: CPU µs an event, {results.count:,} events; the lines are targets"
    if not results.peers:
        return bars_svg(title, [Bar(query, cost, TARGETS.get(query)) for query, cost in ours.items()])
    groups = []
    for query, cost in ours.items():
        others = [found.get(query) for found in results.peers.values()]
        costs = [cost, *(None if other is None else other.cpu_us for other in others)]
        groups.append(Group(query, costs, TARGETS.get(query)))
    return groups_svg(title, [OURS, *results.peers], groups)
