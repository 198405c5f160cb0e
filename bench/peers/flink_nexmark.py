"""Apache Flink processes a Nexmark query: JSON files in and out, one parallel instance, state in RocksDB.

Run by the interpreter of Flink's own environment, in the root of the repository::

    python -m bench.peers.flink_nexmark q5 --count N --events FOLDER --few FOLDER --work FOLDER

``--events`` and ``--few`` are folders with a file of JSON lines for each kind of event. A first run over all
events does not count: Java loads the classes and compiles the code that runs often. Two runs over few events
follow; the cheaper one costs what the start of a job costs, for the other one may still compile. The last
run, over all events, is measured, and the cost of the start is subtracted. Its result is in ``rows`` below
``--work``.

The program prints one line of JSON. CPU time is that of the Java process, in which the whole of Flink runs.
"""

from __future__ import annotations

import argparse
import atexit
import json
import logging
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.peers.flink_sql import INPUTS, QUERIES, input_table, result_table
from bench.usage import cpu_s_of, peak_bytes

SETTINGS: Final = {
    "parallelism.default": "1",
    "pipeline.object-reuse": "true",
    "state.backend.type": "rocksdb",
    "taskmanager.memory.managed.size": "512m",
    "execution.checkpointing.interval": "1 s",
    "table.local-time-zone": "UTC",
    "table.exec.mini-batch.enabled": "true",
    "table.exec.mini-batch.allow-latency": "1 s",
    "table.exec.mini-batch.size": "50000",
    "table.optimizer.distinct-agg.split.enabled": "true",
    "rest.port": "0",
}
"""Flink's settings; the others have their defaults."""

_RUNS: Final = ("first", "start-1", "start-2", "rows")
"""Each run has a folder of its own for its result."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one run of a query took."""

    cpu_s: float
    wall_s: float


def measure(query: str, events: Path, few: Path, work: Path) -> tuple[dict[str, Cost], int]:
    """Run the query three times; return the costs by the name of the run, and the highest memory of Java."""
    os.environ["FLINK_LOG_DIR"] = str(work)
    from pyflink.common import Configuration
    from pyflink.java_gateway import get_gateway
    from pyflink.table import EnvironmentSettings, TableEnvironment

    java: int = get_gateway().jvm.java.lang.ProcessHandle.current().pid()
    atexit.register(_end, java)  # after an error has been printed: its text is in Java
    configuration = Configuration()
    checkpoints = (work / "checkpoints").as_uri()
    for name, value in {**SETTINGS, "execution.checkpointing.dir": checkpoints}.items():
        configuration.set_string(name, value)
    settings = (
        EnvironmentSettings.new_instance().in_streaming_mode().with_configuration(configuration).build()
    )
    costs = {}
    for run in _RUNS:
        table_env = TableEnvironment.create(settings)
        costs[run] = _run(table_env, java, query, few if run.startswith("start") else events, work / run)
    return costs, peak_bytes(java)


def _end(java: int) -> None:
    logging.disable()  # the connection to Java complains that Java has ended
    os.kill(java, signal.SIGTERM)
    os.wait4(java, 0)


def _run(table_env: Any, java: int, query: str, events: Path, folder: Path) -> Cost:
    for name in INPUTS:
        table_env.execute_sql(input_table(name, events / f"{name}.jsonl"))
    table_env.execute_sql(result_table("results", QUERIES[query], folder))
    cpu_before_s, wall_before_s = cpu_s_of(java), time.perf_counter()
    table_env.execute_sql(f"INSERT INTO results {QUERIES[query].select}").wait()
    return Cost(cpu_s_of(java) - cpu_before_s, time.perf_counter() - wall_before_s)


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("query", choices=QUERIES)
    parser.add_argument("--events", type=Path, required=True)
    parser.add_argument("--few", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--count", type=int, required=True)
    options = parser.parse_args()
    costs, peak_bytes = measure(options.query, options.events, options.few, options.work)
    start = min(costs["start-1"], costs["start-2"], key=lambda cost: cost.cpu_s)
    whole = costs["rows"]
    for name, cost in costs.items():
        print(f"{name}: {cost.cpu_s:.2f} s CPU, {cost.wall_s:.2f} s", file=sys.stderr)
    if whole.cpu_s <= start.cpu_s:
        raise SystemExit("all events cost no more than the start of a job: measure more events")
    print(
        json.dumps(
            {
                "count": options.count,
                "cpu_s": whole.cpu_s - start.cpu_s,
                "wall_s": max(whole.wall_s - start.wall_s, 0.001),
                "peak_bytes": peak_bytes,
            }
        )
    )


if __name__ == "__main__":
    main()
