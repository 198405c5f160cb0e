"""The latency of single records through confluent-kafka: ``one-by-one|send|read ADDRESS TOPIC ...``.

``one-by-one`` produces a record and waits for its acknowledgement before the next. ``send`` and ``read`` are
two ends: records leave at intended times, and the latency is the time from the intended time until the reader
has the record. A delay of the sender therefore counts as latency. Both processes use the same monotonic
clock. The first records are not counted.
"""

from __future__ import annotations

import argparse
import struct
import time
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition

from bench.broker.loads.report import latency_numbers, print_numbers

_INTENDED = struct.Struct(">q")
_VALUE_BYTES = 100
_PATIENCE_S = 30.0
_DEFAULTS = {"linger.ms": 0}


def one_by_one(address: str, topic: str, count: int, uncounted: int) -> dict[str, float]:
    """Produce and flush, record by record."""
    producer = Producer({"bootstrap.servers": address, **_DEFAULTS})
    failures: list[Any] = []

    def acknowledged(error: Any, record: Any) -> None:
        if error is not None:
            failures.append(error)

    latencies_s = []
    value = b"v" * _VALUE_BYTES
    for _ in range(uncounted + count):
        begun_s = time.perf_counter()
        producer.produce(topic, value, on_delivery=acknowledged)
        left = producer.flush(_PATIENCE_S)
        latencies_s.append(time.perf_counter() - begun_s)
        assert left == 0, "a record is not acknowledged"
    assert not failures, failures[0]
    return latency_numbers(latencies_s[uncounted:])


def send(address: str, topic: str, count: int, uncounted: int, rate: int) -> dict[str, float]:
    """Send ``rate`` records per second."""
    producer = Producer({"bootstrap.servers": address, **_DEFAULTS})
    producer.list_topics(topic, timeout=_PATIENCE_S)
    step_ns = 1_000_000_000 // rate
    intended_ns = time.monotonic_ns() + step_ns
    padding = b"v" * (_VALUE_BYTES - _INTENDED.size)
    for _ in range(uncounted + count):
        early_ns = intended_ns - time.monotonic_ns()
        if early_ns > 0:
            time.sleep(early_ns / 1e9)
        producer.produce(topic, _INTENDED.pack(intended_ns) + padding)
        producer.poll(0)
        intended_ns += step_ns
    left = producer.flush(_PATIENCE_S)
    assert left == 0, f"{left} records are not acknowledged"
    return {"count": count}


def read(address: str, topic: str, count: int, uncounted: int, partition_count: int) -> dict[str, float]:
    """Print ``ready``, then read the records of ``send``."""
    consumer = Consumer({"bootstrap.servers": address, "group.id": topic, "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, number, 0) for number in range(partition_count)])
    consumer.poll(1.0)
    print("ready", flush=True)
    arrivals: dict[int, int] = {}
    for number in range(uncounted + count):
        record = consumer.poll(_PATIENCE_S)
        now_ns = time.monotonic_ns()
        assert record is not None, f"{number} records came, and then no more"
        assert record.error() is None, record.error()
        (intended_ns,) = _INTENDED.unpack_from(record.value())
        arrivals[intended_ns] = now_ns
    consumer.close()
    assert len(arrivals) == uncounted + count, "records came twice"
    latencies_ns = [arrivals[intended_ns] - intended_ns for intended_ns in sorted(arrivals)]
    return latency_numbers([each / 1e9 for each in latencies_ns[uncounted:]])


def main() -> None:
    """Read the command line, run the load, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("work", choices=("one-by-one", "send", "read"))
    parser.add_argument("address")
    parser.add_argument("topic")
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--uncounted", type=int, required=True, help="so many more, at the beginning")
    parser.add_argument("--rate", type=int, default=1_000, help="records a second")
    parser.add_argument("--partitions", type=int, default=1)
    options = parser.parse_args()
    asked = (options.address, options.topic, options.count, options.uncounted)
    match options.work:
        case "one-by-one":
            print_numbers(one_by_one(*asked))
        case "send":
            print_numbers(send(*asked, options.rate))
        case _:
            print_numbers(read(*asked, options.partitions))


if __name__ == "__main__":
    main()
