"""Measure rows of the benchmarks with an earlier commit and with this tree, in turns, and print ratios.

``python bench/against.py REV``. The commit is checked out as a git worktree in a temporary folder. Each row
is measured by the tree's own benchmark, once per tree and round, in an order that changes from round to
round; so a slow minute of the machine affects both, and ratios are taken within a round. A ratio above 1 is
worse, whatever the number counts. Both trees run with the same interpreter and the same packages.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.broker import rows as broker_rows
from bench.environments import ROOT
from bench.machine import machine_text
from bench.rows import ROWS
from bench.table import terminal_lines

_ROW_LIMIT_S = 1_800
_SHARED = (".venv-bytewax", ".venv-confluent-kafka", ".kafka")
"""Files that benchmarks fetch once; the commit's tree uses those of this tree."""
_WORSE = 1.05
_HEADS = ("row", "line", "unit", "before", "now", "ratio (above 1 is worse)", "")


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One of the two benchmarks: its command line and the form of its table."""

    script: str
    options: tuple[str, ...]
    rows: tuple[str, ...]

    def numbers_in(self, cells: Sequence[str]) -> Iterator[tuple[str, str, float]]:
        """Parse a line of the table: title, unit and number."""
        if self is BROKER:
            title, unit, durable = cells[:3]
            if durable:
                yield title, unit, _number(durable)
            return
        title, median, _, cpu_us = cells[:4]
        number, _, unit = median.partition(" ")
        yield title, unit, _number(number)
        if cpu_us and unit != "CPU µs/event":
            yield f"{title}: CPU", "CPU µs/event", _number(cpu_us)


LOG = Benchmark("bench/run.py", (), tuple(row.name for row in ROWS if not row.is_peer))
BROKER = Benchmark("bench/broker/run.py", ("--without-kafka",), tuple(row.name for row in broker_rows.ROWS))
BENCHMARKS = (LOG, BROKER)


@dataclass(slots=True)
class Taken:
    """The numbers of one line of a table, by tree: one per round."""

    unit: str
    before: list[float] = field(default_factory=list)
    now: list[float] = field(default_factory=list)

    def ratios(self) -> list[float]:
        """Return how much worse the present tree is, round by round."""
        pairs = [(old, new) for old, new in zip(self.before, self.now, strict=True) if old and new]
        return [old / new if self.unit.endswith("/s") else new / old for old, new in pairs]


def compare(
    revision: str, rows: Sequence[str], *, rounds: int, options: Sequence[str], folder: Path | None
) -> Mapping[tuple[str, str], Taken]:
    """Measure rows of a commit and of this tree in turns; return the numbers by row and title of the line."""
    taken: dict[tuple[str, str], Taken] = {}
    with _checked_out(revision) as theirs:
        for number in range(rounds):
            for benchmark in BENCHMARKS:
                for row in benchmark.rows:
                    if row not in rows:
                        continue
                    for tree in (theirs, ROOT) if number % 2 == 0 else (ROOT, theirs):
                        found = _measured(benchmark, tree, row, options, folder)
                        for title, unit, value in found:
                            line = taken.setdefault((row, title), Taken(unit))
                            (line.now if tree is ROOT else line.before).append(value)
                        said = ", ".join(f"{value:g} {unit}" for _, unit, value in found)
                        name = "now" if tree is ROOT else revision
                        _say(f"round {number + 1} of {rounds}: {row:<20} {name:<12} {said}")
    return taken


def table_of(taken: Mapping[tuple[str, str], Taken]) -> list[tuple[str, ...]]:
    """Return the table: medians, the ratio's median, minimum and maximum, and a mark where it is worse."""
    table: list[tuple[str, ...]] = [_HEADS]
    for (row, title), line in taken.items():
        ratios = sorted(line.ratios())
        if not ratios:
            continue
        ratio = statistics.median(ratios)
        spread = f"{ratio:.2f} ({ratios[0]:.2f} - {ratios[-1]:.2f})"
        before, now = (f"{statistics.median(numbers):,.6g}" for numbers in (line.before, line.now))
        table.append((row, title, line.unit, before, now, spread, "WORSE" if ratio > _WORSE else ""))
    return table


def numbers_of(benchmark: Benchmark, text: str) -> list[tuple[str, str, float]]:
    """Return the numbers in a benchmark's page of results: title, unit, number."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    found: list[tuple[str, str, float]] = []
    for line in lines[2:]:
        found += benchmark.numbers_in([cell.strip() for cell in line.strip().strip("|").split("|")])
    return found


def _measured(
    benchmark: Benchmark, tree: Path, row: str, options: Sequence[str], folder: Path | None
) -> list[tuple[str, str, float]]:
    """Run a tree's own benchmark for one row and read the page that it writes."""
    with tempfile.TemporaryDirectory(prefix="streamcore-against-") as results:
        page = Path(results) / "results.md"
        command = [sys.executable, benchmark.script, *benchmark.options, "--rounds", "1", *options]
        command += ["--only", row, "--output", str(page)]
        if folder is not None:
            command += ["--folder", str(folder)]
        done = subprocess.run(
            command,
            cwd=tree,
            env={**os.environ, "PYTHONPATH": str(tree)},
            capture_output=True,
            text=True,
            timeout=_ROW_LIMIT_S,
            check=False,
        )
        if done.returncode:
            raise SystemExit(f"{' '.join(command)} in {tree} has failed:\n{done.stderr[-2000:]}")
        return numbers_of(benchmark, page.read_text("utf-8"))


@contextmanager
def _checked_out(revision: str) -> Iterator[Path]:
    """Check out the tree of a commit, in a temporary folder that is removed with the block."""
    folder = Path(tempfile.mkdtemp(prefix="streamcore-before-"))
    tree = folder / "tree"
    git = ["git", "-C", str(ROOT), "worktree"]
    try:
        done = subprocess.run(
            [*git, "add", "--detach", str(tree), revision], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(f"there is no tree of {revision}: {done.stderr.strip()}")
        for name in _SHARED:
            if (ROOT / name).exists():
                (tree / name).symlink_to(ROOT / name)
        yield tree
    finally:
        subprocess.run([*git, "remove", "--force", str(tree)], capture_output=True, check=False)
        shutil.rmtree(folder, ignore_errors=True)


def _number(cell: str) -> float:
    """Return the number at the start of a cell; its spread follows."""
    return float(cell.split(" ")[0].replace(",", ""))


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> None:
    """Read the command line, measure, print the table."""
    names = [row for benchmark in BENCHMARKS for row in benchmark.rows]
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").splitlines()[0], epilog=f"rows: {', '.join(names)}"
    )
    parser.add_argument("revision", help="the commit to compare with, as git names it")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="+", default=names, metavar="ROW", help="measure these rows only")
    parser.add_argument("--quick", action="store_true", help="one round of little: does it run at all?")
    parser.add_argument("--folder", type=Path, help="where to work: on the disk that is to be measured")
    options = parser.parse_args()
    if unknown := set(options.only) - set(names):
        raise SystemExit(f"no such rows: {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    began_s = time.monotonic()
    table = table_of(
        compare(
            options.revision,
            options.only,
            rounds=1 if options.quick else options.rounds,
            options=["--quick"] if options.quick else [],
            folder=options.folder,
        )
    )
    _say(f"{time.monotonic() - began_s:.0f} s in all; {machine_text(options.folder)}")
    print("\n".join(terminal_lines(table)))


if __name__ == "__main__":
    main()
