"""Measure everything, in interleaved rounds, and write bench/RESULTS.md: ``python bench/run.py``.

A round measures each row once, in the order of the table, so that a slow minute of the machine affects all
rows. Each measurement is a new process on a new copy of its folder, and asserts that its answers are right.
The table shows medians and spread over the rounds.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.environments import ROOT, bytewax_python
from bench.measure import Job
from bench.processes import Sample, measure_in_process, sample_of
from bench.results import markdown, sample_text, table_lines
from bench.rows import PREPARED, ROWS, Prepared, Row

_QUICK_EVENTS = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of the command line."""

    events: int
    rounds: int
    only: tuple[str, ...]
    folder: Path | None
    output: Path | None


class Bench:
    """Runs rows in new processes, in a folder that is removed afterwards."""

    def __init__(self, options: Options, folder: Path) -> None:
        self._options = options
        self._folder = folder
        self._bytewax: Path | str | None = None
        self.skipped: dict[str, str] = {}

    def prepare(self, rows: Sequence[Row]) -> None:
        """Make the folders that the rows copy."""
        needed = {row.prepared for row in rows}
        for prepared in PREPARED:
            if prepared.name in needed:
                _say(f"preparing {prepared.name}")
                for kind in prepared.kinds:
                    measure_in_process(self._job_to_prepare(prepared, kind))

    def measure(self, row: Row) -> Sample | None:
        """Measure a row once; ``None`` if it cannot be measured here."""
        count = self._event_count(row.events_share)
        if row.kind == "bytewax":
            return self._bytewax_sample(row, count)
        folder = self._folder / "measured"
        if row.prepared is not None:
            shutil.copytree(self._folder / row.prepared, folder)
        try:
            return measure_in_process(
                Job(
                    kind=row.kind,
                    events=count,
                    keys=row.keys,
                    work=row.work,
                    value_type=row.value_type,
                    folder=folder,
                )
            )
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _event_count(self, share: float) -> int:
        return max(1, int(self._options.events * share))

    def _job_to_prepare(self, prepared: Prepared, kind: str) -> Job:
        return Job(
            kind=kind,
            events=self._event_count(prepared.events_share),
            keys=prepared.keys,
            work=prepared.work,
            folder=self._folder / prepared.name,
        )

    def _bytewax_sample(self, row: Row, count: int) -> Sample | None:
        if self._bytewax is None:
            self._bytewax = bytewax_python()
        if isinstance(self._bytewax, str):
            if row.name not in self.skipped:
                _say(f"skipping {row.name}: {self._bytewax}")
            self.skipped[row.name] = self._bytewax
            return None
        command = [str(self._bytewax), "-m", "bench.peers.bytewax_flow", row.work, str(count), str(row.keys)]
        return sample_of(command)


def run(options: Options) -> str:
    """Measure, print the table, and return it as the text of RESULTS.md."""
    rows = [row for row in ROWS if not options.only or row.name in options.only]
    unknown = set(options.only) - {row.name for row in ROWS}
    if unknown:
        raise SystemExit(
            f"no such rows: {', '.join(sorted(unknown))}; there are {', '.join(r.name for r in ROWS)}"
        )
    samples: dict[str, list[Sample]] = {row.name: [] for row in rows}
    folder = Path(tempfile.mkdtemp(prefix="streamcore-bench-", dir=options.folder))
    started_s = time.monotonic()
    try:
        bench = Bench(options, folder)
        bench.prepare(rows)
        for number in range(options.rounds):
            for row in rows:
                sample = bench.measure(row)
                if sample is not None:
                    samples[row.name].append(sample)
                    _say(f"round {number + 1} of {options.rounds}: {row.name:<20} {sample_text(sample, row)}")
    finally:
        shutil.rmtree(folder)
    _say(f"{time.monotonic() - started_s:.0f} s in all")
    print("\n".join(table_lines(rows, samples)))
    return markdown(
        rows,
        samples,
        bench.skipped,
        events=options.events,
        rounds=options.rounds,
        folder=options.folder,
    )


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> None:
    """Read the command line, run, write the results."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").splitlines()[0], epilog=f"rows: {', '.join(row.name for row in ROWS)}"
    )
    parser.add_argument("--events", type=int, default=2_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", default=(), metavar="ROW", help="measure these rows only")
    parser.add_argument("--quick", action="store_true", help="one round of few events: does it run at all?")
    parser.add_argument("--folder", type=Path, help="where to work: on the disk that is to be measured")
    parser.add_argument(
        "--output", type=Path, help="the file of the results; bench/RESULTS.md for a whole run"
    )
    options = parser.parse_args()
    whole = not options.only and not options.quick
    output = options.output or (ROOT / "bench" / "RESULTS.md" if whole else None)
    if options.quick:
        options.rounds = 1
        options.events = min(options.events, _QUICK_EVENTS)
    text = run(
        Options(
            events=options.events,
            rounds=options.rounds,
            only=tuple(options.only),
            folder=options.folder,
            output=output,
        )
    )
    if output is not None:
        output.write_text(text, "utf-8")
        _say(f"written to {os.path.relpath(output)}")


if __name__ == "__main__":
    main()
