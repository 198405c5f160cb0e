"""One measurement, in this process: ``python -m bench.measure KIND --events N --folder DIR ...``.

Prints one line of JSON. ``run`` starts one process for each; by hand this is the way to profile::

    python -m bench.measure load --events 2000000 --folder /tmp/events
    python -m bench.measure process --work count --events 2000000 --folder /tmp/events --profile tottime

``process`` changes its folder: copy it first.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import pstats
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.usage import Cost, peak_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What to measure."""

    kind: str
    events: int
    keys: int = 1_000
    work: str = "count"
    value_type: str = "dataclass"
    folder: Path = Path()


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The result of a measurement."""

    count: int
    """The number of events or records of the cost."""
    cpu_s: float
    wall_s: float
    peak_bytes: int
    """The highest memory of the process."""
    start_s: float = 0.0
    """The time from the start of a worker to its first result."""
    idle_bytes: int = 0
    """The memory of an idle worker."""
    idle_cpu_percent: float = 0.0


def measure(job: Job) -> Measured:
    """Do the work of a job and return its cost; modules that it does not need are not imported."""
    match job.kind:
        case "load" | "load-two" | "load-orders":
            from bench import loading

            load = {
                "load": loading.load_events,
                "load-two": loading.load_events_in_turns,
                "load-orders": loading.load_orders,
            }[job.kind]
            load(job.folder, job.events, job.keys)
            return _measured(job.events, Cost())
        case "process":
            from bench.processing import process_events

            return _measured(job.events, process_events(job.folder, job.work, job.value_type, job.events))
        case "restore":
            from bench.processing import restore_state

            cost, count = restore_state(job.folder, job.work, job.value_type)
            return _measured(count, cost)
        case "load-records" | "send" | "send-many" | "consume":
            from bench import log_work

            work = {
                "load-records": log_work.send_many,
                "send": log_work.send_one_by_one,
                "send-many": log_work.send_many,
                "consume": log_work.consume,
            }[job.kind]
            return _measured(job.events, work(job.folder, job.events))
        case "start":
            from bench.starting import start_worker

            started = start_worker(job.folder)
            return Measured(
                count=1,
                cpu_s=started.cpu_s,
                wall_s=started.first_result_s,
                peak_bytes=started.idle_bytes,
                start_s=started.first_result_s,
                idle_bytes=started.idle_bytes,
                idle_cpu_percent=started.idle_cpu_percent,
            )
        case "bare-loop":
            from bench.peers.bare_loop import count_by_key

            return _measured(job.events, count_by_key(job.events, job.keys))
        case _:
            raise SystemExit(f"there is no such measurement: {job.kind}")


def _measured(count: int, cost: Cost) -> Measured:
    return Measured(count=count, cpu_s=cost.cpu_s, wall_s=cost.wall_s, peak_bytes=peak_bytes())


def main() -> None:
    """Read the job from the command line, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("kind")
    parser.add_argument("--events", type=int, required=True)
    parser.add_argument("--keys", type=int, default=1_000)
    parser.add_argument("--work", default="count")
    parser.add_argument("--value-type", default="dataclass")
    parser.add_argument("--folder", type=Path, default=Path())
    parser.add_argument("--profile", metavar="SORT", help="show where the time goes, sorted by this")
    options = vars(parser.parse_args())
    sort = options.pop("profile")
    profiler = cProfile.Profile()
    if sort is not None:
        profiler.enable()
    seen = measure(Job(**options))
    if sort is not None:
        profiler.disable()
        pstats.Stats(profiler).sort_stats(sort).print_stats(35)
    print(json.dumps(asdict(seen)))


if __name__ == "__main__":
    main()
