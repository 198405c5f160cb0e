"""Convert the measurements to the table: on the terminal, and in BROKER.md with the machine and the
command.
"""

from __future__ import annotations

import platform
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import TypeAlias

from bench.broker import kafka
from bench.broker.brokers import Kind
from bench.broker.children import Numbers
from bench.broker.rows import Line, Row, Target, Unit
from bench.broker.site import PARTITIONS, Sizes
from bench.environments import CONFLUENT, KAFKA
from bench.machine import command_text, machine_text
from bench.table import markdown_lines, terminal_lines

Samples: TypeAlias = Mapping[str, Mapping[Kind, Sequence[Numbers]]]
"""The numbers by row and broker: one entry per round."""

_LIBRARIES = ("streamcore", "uvloop", "google-crc32c", "msgspec")
_COMMAND = command_text("bench-broker", "bench/broker/run.py")
_HEADS = ("work", "unit", Kind.DURABLE.value, Kind.KAFKA.value, "ratio", "target", "", Kind.RELAXED.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """The conditions of a run."""

    sizes: Sizes
    rounds: int
    folder: Path | None
    skipped: Mapping[str, str]


def sample_text(row: Row, numbers: Numbers) -> str:
    """Return the numbers of one measurement as text."""
    return ", ".join(f"{line.unit.text_of(numbers[line.number])} {line.unit.value[0]}" for line in row.lines)


def table_lines(rows: Sequence[Row], samples: Samples) -> list[str]:
    """Return the table for a terminal."""
    return terminal_lines(_table(rows, samples))


def markdown(rows: Sequence[Row], samples: Samples, run: Run) -> str:
    """Return the text of BROKER.md."""
    return "\n".join(
        [
            "# Results of the broker's benchmark",
            "",
            f"Written by {_COMMAND} on {date.today()}; do not edit.",
            "",
            *_conditions(run),
            "",
            *markdown_lines(_table(rows, samples)),
            "",
            *(f"* {name} was left out: {reason}" for name, reason in run.skipped.items()),
            *([""] if run.skipped else []),
        ]
    )


def _table(rows: Sequence[Row], samples: Samples) -> list[tuple[str, ...]]:
    table: list[tuple[str, ...]] = [_HEADS]
    for row in rows:
        if any(samples[row.name].values()):
            table += [_texts(line, samples[row.name]) for line in row.lines]
    return table


def _texts(line: Line, taken: Mapping[Kind, Sequence[Numbers]]) -> tuple[str, ...]:
    found = {kind: [numbers[line.number] for numbers in taken.get(kind, ())] for kind in Kind}
    ours, kafkas = found[Kind.DURABLE], found[Kind.KAFKA]
    ratios = [our / theirs for our, theirs in zip(ours, kafkas, strict=False) if theirs]
    if line.unit is Unit.PERCENT:  # it is a ratio itself, and may be below 0
        ratios = []
    judged = ratios if line.target is not None and line.target.is_factor else ours
    return (
        line.title,
        line.unit.value[0],
        _spread([line.unit.text_of(number) for number in _ordered(ours)]),
        _spread([line.unit.text_of(number) for number in _ordered(kafkas)]),
        _spread([f"{ratio:.2f}" for ratio in _ordered(ratios)]),
        _target_text(line.target),
        _verdict(line.target, judged),
        _spread([line.unit.text_of(number) for number in _ordered(found[Kind.RELAXED])]),
    )


def _ordered(numbers: Sequence[float]) -> list[float]:
    """Return median, minimum and maximum; nothing for no numbers."""
    return [statistics.median(numbers), min(numbers), max(numbers)] if numbers else []


def _spread(texts: Sequence[str]) -> str:
    if not texts:
        return ""
    median, least, greatest = texts
    return median if least == greatest else f"{median} ({least} - {greatest})"


def _target_text(target: Target | None) -> str:
    if target is None:
        return ""
    bound = f"{'≥' if target.is_minimum else '≤'} {target.bound:,g}"
    return f"{bound} x Kafka" if target.is_factor else bound


def _verdict(target: Target | None, numbers: Sequence[float]) -> str:
    if target is None or not numbers:
        return ""
    return "met" if target.is_met(statistics.median(numbers)) else "MISSED"


def _conditions(run: Run) -> list[str]:
    """Return the conditions under which the numbers were taken."""
    sizes = run.sizes
    libraries = ", ".join(f"{name} {version(name)}" for name in _LIBRARIES)
    single_node = ", ".join(f"`{name}={value}`" for name, value in kafka.SINGLE_NODE.items())
    return [
        f"* Machine: {machine_text(run.folder)}. Brokers and clients share it.",
        f"* Python {platform.python_version()}; {libraries}. Clients: {CONFLUENT.replace('==', ' ')}. "
        f"Apache Kafka {KAFKA}, {_java_version()}.",
        "* StreamCore: `streamcore serve` as it comes. *Durable* answers when the record is on disk, "
        "*relaxed* (`--durability relaxed`) when it is in the page cache.",
        "* Kafka: its defaults, so it answers when the record is in the page cache. For one node "
        f"{single_node}. The JVM with what Kafka's start script gives it: `{' '.join(kafka.JVM_OPTIONS)}`.",
        f"* {run.rounds} rounds. In each a new broker of every kind is started and "
        f"{'warmed up' if sizes.warm_up_s else 'not warmed up'}, and every row is measured on one broker "
        "right after the other, the order changing from round to round. Brokers that are not measured stay "
        "idle. What was written before is on disk before a measurement begins.",
        "* Numbers are medians with the least and the greatest of the rounds. *Ratio* is StreamCore, "
        "durable, to Kafka in the same round. Targets are for StreamCore, durable.",
        f"* Topics have {PARTITIONS} partitions, records no keys, clients their default settings (so "
        "`acks=all`), unless a row says otherwise. 1 KB is 1,000 bytes. "
        f"{sizes.records_100:,} records of 100 B, {sizes.records_1k:,} of 1 KB, all counted in the end.",
        "* *Broker CPU* is user and system time of the broker's process with all its threads, from before "
        "the client starts until it has ended.",
        "* *Pauses*: once librdkafka's consumer holds 100,000 records of a partition it asks for no more of "
        "them for a second, if nothing else is set. A broker that answers fast makes it wait more often; "
        "StreamCore paces what it answers to such clients (decision 0026). The row without pauses has "
        "`queued.min.messages=1000000` and `fetch.queue.backoff.ms=10`.",
        f"* One record at a time: {sizes.one_by_one:,} times `produce` and `flush`. {sizes.connections} "
        "connections: one process with epoll and requests that were encoded before, for "
        f"{sizes.connections_s:g} s.",
        f"* Producer to consumer: {sizes.paced:,} records, linger 0, two processes. The time is counted from "
        "when a record *should* have been sent, so a producer that is held up does not make it shorter.",
        f"* A reader of old data: {sizes.old_records_1k:,} records of 1 KB, dropped from the page cache "
        "before each pass over them, read by a client that looks at no record. The producer sends 100 B.",
        f"* {sizes.partitions:,} partitions: topics of 100. Started is a broker when it answers a Metadata "
        "request with all of them.",
    ]


def _java_version() -> str:
    try:
        said = subprocess.run(["java", "-version"], capture_output=True, text=True, timeout=30, check=False)
    except FileNotFoundError:
        return "no Java"
    return said.stderr.partition("\n")[0].replace('"', "")
