"""Convert samples to the table: on the terminal, and in RESULTS.md with the machine and the command."""

from __future__ import annotations

import platform
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path

from bench.environments import BYTEWAX
from bench.events import EVENT_STEP_MS
from bench.machine import command_text, machine_text
from bench.processes import Sample
from bench.rows import FEW_EVENTS_SHARE, RATIOS, Row, Unit
from bench.table import markdown_lines, terminal_lines

_LIBRARIES = ("streamcore", "msgspec", "rocksdict", "aiokafka", "msgpack", "uvloop", "google-crc32c")

_IDLE_MB_MAX = 65
"""The goal for a worker that waits for events."""


def value_of(sample: Sample, unit: Unit) -> float:
    """Return the number of a sample in a row's unit."""
    match unit:
        case Unit.CPU_US:
            return cpu_us(sample)
        case Unit.RATE:
            return sample.seen.count / sample.seen.wall_s
        case Unit.SECONDS:
            return sample.seen.start_s


def cpu_us(sample: Sample) -> float:
    """Return the CPU time per event of the measured part."""
    return sample.seen.cpu_s / sample.seen.count * 1e6


def process_cpu_us(sample: Sample) -> float:
    """Return the CPU time per event of the whole process, including start and check."""
    return sample.process_cpu_s / sample.seen.count * 1e6


def sample_text(sample: Sample, row: Row) -> str:
    """Return a sample as one line."""
    return f"{_number(value_of(sample, row.unit), row.unit)} {row.unit.value}"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table, as texts."""

    title: str
    median: str
    spread: str
    cpu: str
    process: str
    memory: str
    target: str
    verdict: str
    reference: str


_HEADS = Line("work", "median", "min - max", "CPU µs", "whole process", "peak MB", "target", "", "elsewhere")


def lines_of(rows: Sequence[Row], samples: Mapping[str, Sequence[Sample]]) -> list[Line]:
    """Return the lines of the table: the rows, the ratios, the memory of an idle worker."""
    lines = []
    for row in rows:
        taken = samples[row.name]
        if taken:
            lines.append(_line(row, taken))
            if row.kind == "start":
                lines.append(_idle_line(taken))
    for ratio in RATIOS:
        above, below = samples.get(ratio.above), samples.get(ratio.below)
        if above and below:
            ratios = [cpu_us(top) / cpu_us(bottom) for top, bottom in zip(above, below, strict=True)]
            found = statistics.median(cpu_us(top) for top in above) / statistics.median(
                cpu_us(bottom) for bottom in below
            )
            lines.append(
                Line(
                    ratio.title,
                    f"{found:.2f} x",
                    f"{min(ratios):.2f} - {max(ratios):.2f}",
                    "",
                    "",
                    "",
                    "" if ratio.target is None else f"≤ {ratio.target:g} x",
                    "" if ratio.target is None else _verdict(found <= ratio.target),
                    ratio.reference,
                )
            )
    return lines


def _line(row: Row, taken: Sequence[Sample]) -> Line:
    values = [value_of(sample, row.unit) for sample in taken]
    median = statistics.median(values)
    target, verdict = "", ""
    if row.target is not None:
        is_rate = row.unit is Unit.RATE
        target = f"{'≥' if is_rate else '≤'} {_number(row.target, row.unit, short=True)}"
        verdict = _verdict(median >= row.target if is_rate else median <= row.target)
    is_start = row.unit is Unit.SECONDS
    return Line(
        title=row.title,
        median=f"{_number(median, row.unit)} {row.unit.value}",
        spread=f"{_number(min(values), row.unit)} - {_number(max(values), row.unit)}",
        cpu="" if is_start else f"{_median(taken, cpu_us):.2f}",
        process="" if is_start else f"{_median(taken, process_cpu_us):.2f}",
        memory="" if is_start else f"{_median(taken, lambda sample: sample.seen.peak_bytes) / 1e6:.0f}",
        target=target,
        verdict=verdict,
        reference=row.reference,
    )


def _idle_line(taken: Sequence[Sample]) -> Line:
    idle_mb = [sample.seen.idle_bytes / 1e6 for sample in taken]
    percent = _median(taken, lambda sample: sample.seen.idle_cpu_percent)
    median = statistics.median(idle_mb)
    return Line(
        title=f"streamcore worker: memory when idle (CPU {percent:.1f} %)",
        median=f"{median:.0f} MB",
        spread=f"{min(idle_mb):.0f} - {max(idle_mb):.0f}",
        cpu="",
        process="",
        memory="",
        target=f"≤ {_IDLE_MB_MAX} MB",
        verdict=_verdict(median <= _IDLE_MB_MAX),
        reference="Kafka 385 MB",
    )


def _median(taken: Sequence[Sample], of: Callable[[Sample], float]) -> float:
    return statistics.median(of(sample) for sample in taken)


def _verdict(is_met: bool) -> str:
    return "met" if is_met else "MISSED"


def _number(value: float, unit: Unit, *, short: bool = False) -> str:
    if unit is Unit.RATE:
        return f"{value:,.0f}"
    return f"{value:g}" if short else f"{value:.2f}"


def _texts(line: Line) -> tuple[str, ...]:
    return (
        line.title,
        line.median,
        line.spread,
        line.cpu,
        line.process,
        line.memory,
        line.target,
        line.verdict,
        line.reference,
    )


def table_lines(rows: Sequence[Row], samples: Mapping[str, Sequence[Sample]]) -> list[str]:
    """Return the table for a terminal."""
    return terminal_lines([_texts(line) for line in (_HEADS, *lines_of(rows, samples))])


def markdown(
    rows: Sequence[Row],
    samples: Mapping[str, Sequence[Sample]],
    skipped: Mapping[str, str],
    *,
    events: int,
    rounds: int,
    folder: Path | None,
) -> str:
    """Return the text of RESULTS.md; ``folder`` is the folder of the run."""
    table = markdown_lines([_texts(line) for line in (_HEADS, *lines_of(rows, samples))])
    few = [row.title for row in rows if row.prepared is not None and row.events_share < 1]
    skips = [f"* {name} was skipped: {reason}" for name, reason in skipped.items()]
    libraries = ", ".join(f"{name} {version(name)}" for name in _LIBRARIES)
    return "\n".join(
        [
            "# Results of the benchmark",
            "",
            f"Written by {command_text('bench', 'bench/run.py')} on {date.today().isoformat()}; do not edit.",
            "",
            f"* Machine: {machine_text(folder)}.",
            f"* Python {platform.python_version()}; {libraries}; peers: {BYTEWAX.replace('==', ' ')}.",
            f'* {events:,} JSON events `{{"k": "k123", "v": 5}}` in one partition of the embedded, durable '
            f"log, 1,000 keys drawn evenly unless a row says otherwise, {EVENT_STEP_MS} ms of event "
            "time apart; exactly-once, a commit every 100 ms, values typed by a dataclass unless a row says "
            "otherwise.",
            *([f"* {FEW_EVENTS_SHARE:g} of the events only: {'; '.join(few)}."] if few else []),
            f"* {rounds} interleaved rounds; each measurement in a process of its own; medians.",
            "* *CPU µs* is user and system time of the whole process with all its threads, while it "
            "processes, per event. *Whole process* is the same from the start of Python to its end: imports, "
            "opening the log, checking the answers. Rates are per second of wall time.",
            "* *Elsewhere* are numbers measured on such a machine with the frameworks' own brokers; they are "
            "not part of this run. Rows of peers are.",
            "",
            *table,
            "",
            *skips,
            *([""] if skips else []),
        ]
    )
