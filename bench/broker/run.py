"""Measure the broker beside Apache Kafka and write bench/BROKER.md: ``python bench/broker/run.py``.

A round measures each row once on every broker, one directly after the other, so that a slow minute of the
machine affects all of them, and ratios are taken within a round. Each measurement checks that every record
arrived.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from bench.broker.brokers import Kind
from bench.broker.children import Children, Numbers
from bench.broker.results import Run, markdown, sample_text, table_lines
from bench.broker.rows import ROWS, Need, Row
from bench.broker.site import QUICK, Site, Sizes, Tools
from bench.environments import ROOT, confluent_python, kafka_jars


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of the command line."""

    sizes: Sizes
    rounds: int
    only: tuple[str, ...]
    with_kafka: bool
    folder: Path | None


def run(options: Options) -> str:
    """Measure, print the table, and return the text of BROKER.md."""
    chosen = _chosen(options.only)
    tools = _tools(chosen, with_kafka=options.with_kafka)
    skipped = {row.name: reason for row in chosen if (reason := _missing(row, tools)) is not None}
    for name, reason in skipped.items():
        _say(f"leaving out {name}: {reason}")
    rows = [row for row in chosen if row.name not in skipped]
    if isinstance(tools.jars, str):
        skipped[Kind.KAFKA.value] = tools.jars
    samples: dict[str, dict[Kind, list[Numbers]]] = {row.name: {kind: [] for kind in Kind} for row in rows}
    folder = Path(tempfile.mkdtemp(prefix="streamcore-broker-", dir=options.folder))
    began_s = time.monotonic()
    try:
        with Children() as children:
            for number in range(options.rounds):
                round_folder = folder / f"round-{number}"
                round_folder.mkdir()
                with Site(children, round_folder, options.sizes, tools) as site:
                    for row in rows:
                        for kind in _order(row, number, tools):
                            numbers = row.measure(site, kind)
                            samples[row.name][kind].append(numbers)
                            _say(
                                f"round {number + 1} of {options.rounds}: {row.name:<20} {kind.value:<20} "
                                f"{sample_text(row, numbers)}"
                            )
                shutil.rmtree(round_folder)
    finally:
        shutil.rmtree(folder)
    _say(f"{time.monotonic() - began_s:.0f} s in all")
    print("\n".join(table_lines(rows, samples)))
    return markdown(
        rows,
        samples,
        Run(sizes=options.sizes, rounds=options.rounds, folder=options.folder, skipped=skipped),
    )


def _chosen(only: Sequence[str]) -> list[Row]:
    unknown = set(only) - {row.name for row in ROWS}
    if unknown:
        raise SystemExit(
            f"no such rows: {', '.join(sorted(unknown))}; there are {', '.join(row.name for row in ROWS)}"
        )
    return [row for row in ROWS if not only or row.name in only]


def _tools(rows: Sequence[Row], *, with_kafka: bool) -> Tools:
    """Fetch the tools that these rows need."""
    needs = frozenset[Need]().union(*(row.needs for row in rows))
    return Tools(
        confluent=confluent_python() if Need.CONFLUENT in needs else "no row needs it",
        jars=kafka_jars() if with_kafka else "it was not asked for",
    )


def _missing(row: Row, tools: Tools) -> str | None:
    """Return why a row cannot be measured here at all."""
    if Need.CONFLUENT in row.needs and isinstance(tools.confluent, str):
        return tools.confluent
    if Need.JARS in row.needs and isinstance(tools.jars, str):
        return f"{Need.JARS.value}: {tools.jars}"
    return None


def _order(row: Row, number: int, tools: Tools) -> list[Kind]:
    """Return the brokers of a row; the first one changes from round to round."""
    kinds = [kind for kind in row.kinds if kind is not Kind.KAFKA or isinstance(tools.jars, Path)]
    return kinds[::-1] if number % 2 else kinds


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> None:
    """Read the command line, run, write the results."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").splitlines()[0], epilog=f"rows: {', '.join(row.name for row in ROWS)}"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", default=(), metavar="ROW", help="measure these rows only")
    parser.add_argument("--without-kafka", action="store_true", help="measure StreamCore only; needs no Java")
    parser.add_argument("--quick", action="store_true", help="one round of little: does it run at all?")
    parser.add_argument("--cold", action="store_true", help="do not warm brokers up before they are measured")
    parser.add_argument("--folder", type=Path, help="where to work: on the disk that is to be measured")
    parser.add_argument(
        "--output", type=Path, help="the file of the results; bench/BROKER.md for a whole run"
    )
    options = parser.parse_args()
    whole = not (options.only or options.quick or options.without_kafka or options.cold)
    output = options.output or (ROOT / "bench" / "BROKER.md" if whole else None)
    sizes = QUICK if options.quick else Sizes()
    text = run(
        Options(
            sizes=replace(sizes, warm_up_s=0) if options.cold else sizes,
            rounds=1 if options.quick else options.rounds,
            only=tuple(options.only),
            with_kafka=not options.without_kafka,
            folder=options.folder,
        )
    )
    if output is not None:
        output.write_text(text, "utf-8")
        _say(f"written to {os.path.relpath(output)}")


if __name__ == "__main__":
    main()
