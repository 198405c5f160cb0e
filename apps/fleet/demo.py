"""Run the application from an empty folder to results: load the year, process it, print tables, query a key.

``python -m apps.fleet.demo --data FOLDER``, or ``make demo``. Completed steps are not repeated.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

import streamcore as sc
from apps.fleet.app import app, by_maker, flights, hourly, planes
from apps.fleet.data import source_folder
from apps.fleet.progress import bars_on, load_if_needed
from apps.fleet.report import busiest_makers, worst_hours
from streamcore.durations import time_text
from streamcore.model import TopicPartition

REFRESH_S = 0.1


def main(words: Sequence[str] | None = None) -> None:
    """Run the demo."""
    parser = argparse.ArgumentParser(prog="python -m apps.fleet.demo", description=__doc__)
    parser.add_argument(
        "--data", type=Path, default=Path("fleet-data"), help="folder of the log and the tables"
    )
    data: Path = parser.parse_args(words).data
    console = Console(highlight=False)
    console.print(
        f"A year of New York's flights, in the folder [bold]{data}[/]: an embedded log, exactly once."
    )

    started_s = time.perf_counter()
    with sc.connect(data) as log:
        with bars_on(console) as bars:
            load_if_needed(log, source_folder, bars)
        with sc.run(app, data=data) as running:
            with bars_on(console) as bars:
                process(log, running, bars)
            elapsed_s = time.perf_counter() - started_s
            hours = [(answer.key, answer.value) for answer in running.table(hourly.name).all()]
            makers = [(answer.key, answer.value) for answer in running.table(by_maker.name).all()]
            console.print()
            console.print(worst_hours(hours))
            console.print(busiest_makers(makers))
            worst, _ = max(hours, key=lambda row: row[1].delay)
            ask(running, worst, data, console)
    console.print(f"\nFrom the start to the answers: [bold]{elapsed_s:.1f} s[/].")


def process(log: sc.Log, running: sc.Running, bars: Progress) -> None:
    """Wait until the application has processed all events, and show its progress."""
    partitions = [
        TopicPartition(topic.name, number)
        for topic in (planes, flights)
        for number in range(topic.spec.partition_count or 1)
    ]
    begun_at, end = _done_and_total(log, partitions)
    if begun_at == end:
        bars.console.print("All of them are processed already; the tables are as they were left.")
        running.wait_until_caught_up()
        return
    bar = bars.add_task("process", total=end - begun_at)
    with ThreadPoolExecutor(1) as waiting:
        caught_up = waiting.submit(running.wait_until_caught_up)
        while not wait([caught_up], timeout=REFRESH_S).done:
            done, total = _done_and_total(log, partitions)
            bars.update(bar, completed=done - begun_at, total=total - begun_at)
        caught_up.result()
    done, total = _done_and_total(log, partitions)
    bars.update(bar, completed=done - begun_at, total=total - begun_at)


def _done_and_total(log: sc.Log, partitions: Sequence[TopicPartition]) -> tuple[int, int]:
    """Return the sums of the application's committed offsets and of the partitions' ends."""
    committed = log.committed(app.app_id, partitions)
    done = sum(position.offset for position in committed.values())
    return done, sum(offsets.last_stable for offsets in log.offsets(partitions).values())


def ask(running: sc.Running, window: sc.Windowed[str], data: Path, console: Console) -> None:
    """Query one hour, and print the shell command of the same query."""
    begun_s = time.perf_counter()
    answer = running.table(hourly.name).get(window.key, at=window.start_ms)
    took_ms = (time.perf_counter() - begun_s) * 1000
    assert answer is not None
    command = Path(sys.executable).with_name("streamcore")
    shown = "streamcore" if shutil.which("streamcore") == str(command) else _relative(command)
    console.print(f"One hour, asked by its key, in {took_ms:.2f} ms: {answer.value}")
    console.print("The same from a shell:\n")
    console.print(
        f"  {shown} tables get {hourly.name} {window.key} --at {time_text(window.start_ms)} --data {data}",
        style="bold",
        soft_wrap=True,
    )


def _relative(path: Path) -> Path:
    try:
        return path.relative_to(Path.cwd())
    except ValueError:
        return path


if __name__ == "__main__":
    main()
