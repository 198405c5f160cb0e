"""How fast the embedded, durable log takes and gives records of 100 bytes, from one Python process.

    python bench/log_throughput.py [--records N] [--rounds N] [--data DIR] [--profile NAME]

Rounds are interleaved, so that a slow moment of the machine hits every row; the table shows the median and
the best, as records a second of wall time, and CPU time of the process per record.
"""

from __future__ import annotations

import argparse
import cProfile
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from streamcore.log.connect import ConnectedLog, connect
from streamcore.model import Record

VALUE = b"v" * 100
KEYS = [b"key-%d" % number for number in range(1_000)]


def send_one_by_one(log: ConnectedLog, count: int) -> None:
    with log.producer() as producer:
        send = producer.send
        for _ in range(count):
            send("one", value=VALUE)


def send_keyed(log: ConnectedLog, count: int) -> None:
    with log.producer() as producer:
        send = producer.send
        for number in range(count):
            send("four", key=KEYS[number % 1_000], value=VALUE)


def send_many(log: ConnectedLog, count: int) -> None:
    with log.producer() as producer:
        producer.send_many("many", ((None, VALUE) for _ in range(count))).result()


def send_many_keyed(log: ConnectedLog, count: int) -> None:
    with log.producer() as producer:
        producer.send_many("four", ((KEYS[number % 1_000], VALUE) for number in range(count))).result()


def send_and_wait(log: ConnectedLog, count: int) -> None:
    with log.producer() as producer:
        for _ in range(count):
            producer.send_and_wait("one", value=VALUE)


def consume(log: ConnectedLog, count: int) -> None:
    with log.consumer("read") as consumer:
        while count > 0:
            records = consumer.poll("5s")
            assert records, "the records loaded before are not all there"
            assert type(records[-1]) is Record
            count -= len(records)


WORK: dict[str, tuple[Callable[[ConnectedLog, int], None], float]] = {
    "send one by one": (send_one_by_one, 1),
    "send one by one, keyed, 4 partitions": (send_keyed, 1),
    "send_many": (send_many, 1),
    "send_many, keyed, 4 partitions": (send_many_keyed, 1),
    "send_and_wait (one fsync each)": (send_and_wait, 0.005),
    "poll to records": (consume, 1),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--data", type=Path, help="a folder on the disk to measure; removed afterwards")
    parser.add_argument("--profile", help="run the one row whose name starts with this under cProfile")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="streamcore-bench-", dir=arguments.data))
    try:
        measure(folder, arguments.records, arguments.rounds, arguments.profile)
    finally:
        shutil.rmtree(folder)


def measure(folder: Path, records: int, rounds: int, profile: str | None) -> None:
    rates: dict[str, list[float]] = {name: [] for name in WORK}
    cpu_us: dict[str, list[float]] = {name: [] for name in WORK}
    with connect(folder) as log:
        log.create_topic("read", partitions=1)
        with log.producer() as producer:
            producer.send_many("read", ((None, VALUE) for _ in range(records))).result()
        for _ in range(rounds):
            for name, (work, share) in WORK.items():
                if profile is not None and not name.startswith(profile):
                    continue
                for topic, partitions in (("one", 1), ("many", 1), ("four", 4)):
                    if topic in log.topics():
                        log.delete_topic(topic)
                    log.create_topic(topic, partitions=partitions)
                count = max(1, int(records * share))
                profiler = cProfile.Profile() if profile is not None else None
                cpu_s, wall_s = time.process_time(), time.perf_counter()
                if profiler is not None:
                    profiler.enable()
                work(log, count)
                if profiler is not None:
                    profiler.disable()
                    profiler.print_stats("tottime")
                rates[name].append(count / (time.perf_counter() - wall_s))
                cpu_us[name].append((time.process_time() - cpu_s) / count * 1e6)
    print(f"{'100 B values, durable, one process':<40} {'median/s':>12} {'best/s':>12} {'CPU us':>8}")
    for name, seen in rates.items():
        if seen:
            median_cpu = statistics.median(cpu_us[name])
            print(f"{name:<40} {statistics.median(seen):>12,.0f} {max(seen):>12,.0f} {median_cpu:>8.2f}")


if __name__ == "__main__":
    main()
