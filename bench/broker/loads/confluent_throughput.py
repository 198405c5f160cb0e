"""One confluent-kafka client at full speed: ``produce|consume|consume-unpaused ADDRESS TOPIC ...``.

Settings are librdkafka's defaults, except the linger of the producer. Producing ends with the last
acknowledgement, consuming when Python has the last record.

With its defaults the consumer pauses: when it holds 100,000 records of a partition it does not fetch more of
them for a whole second (``fetch.queue.backoff.ms``), in which Python takes these records and then waits. A
broker that answers fast makes that more likely. ``consume-unpaused`` holds more and pauses for 10 ms.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from confluent_kafka import Consumer, Producer, TopicPartition

from bench.broker.loads.report import print_numbers, throughput_numbers, value_of
from bench.usage import measured

_LINGER_MS = 20
_POLL_RECORDS = 1_000
"""The number of records that are sent between two polls for acknowledgements."""
_CONSUME_RECORDS = 10_000
_PATIENCE_S = 30.0
_UNPAUSED = {"queued.min.messages": 1_000_000, "fetch.queue.backoff.ms": 10}


def produce(address: str, topic: str, count: int, value_bytes: int) -> dict[str, float]:
    """Produce equal records without keys."""
    value = value_of(value_bytes)
    producer = Producer({"bootstrap.servers": address, "linger.ms": _LINGER_MS})
    producer.list_topics(topic, timeout=_PATIENCE_S)
    send, poll = producer.produce, producer.poll
    with measured() as cost:
        for number in range(count):
            while True:
                try:
                    send(topic, value)
                    break
                except BufferError:  # the client's queue is full
                    poll(0.01)
            if not number % _POLL_RECORDS:
                poll(0)
        left = producer.flush(_PATIENCE_S)
    assert left == 0, f"{left} records of {count} are not acknowledged"
    return throughput_numbers(count, cost)


def consume(
    address: str,
    topic: str,
    count: int,
    value_bytes: int,
    partition_count: int,
    settings: Mapping[str, int],
) -> dict[str, float]:
    """Consume all records of a topic."""
    value = value_of(value_bytes)
    consumer = Consumer(
        {"bootstrap.servers": address, "group.id": topic, "enable.auto.commit": False, **settings}
    )
    consumer.list_topics(topic, timeout=_PATIENCE_S)
    partitions = [TopicPartition(topic, number, 0) for number in range(partition_count)]
    seen = 0
    with measured() as cost:
        consumer.assign(partitions)
        while seen < count:
            records = consumer.consume(min(_CONSUME_RECORDS, count - seen), _PATIENCE_S)
            assert records, f"{seen} records of {count}"
            for record in (records[0], records[-1]):
                assert record.error() is None, record.error()
                assert record.value() == value
            seen += len(records)
    positions = sum(each.offset for each in consumer.position(partitions))
    assert seen == positions == count, f"{seen} records, positions {positions}, not {count}"
    consumer.close()
    return throughput_numbers(count, cost)


def main() -> None:
    """Read the command line, run the load, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("work", choices=("produce", "consume", "consume-unpaused"))
    parser.add_argument("address")
    parser.add_argument("topic")
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--value-bytes", type=int, required=True)
    parser.add_argument("--partitions", type=int, required=True)
    options = parser.parse_args()
    asked = (options.address, options.topic, options.count, options.value_bytes)
    if options.work == "produce":
        print_numbers(produce(*asked))
    else:
        settings = _UNPAUSED if options.work == "consume-unpaused" else {}
        print_numbers(consume(*asked, options.partitions, settings))


if __name__ == "__main__":
    main()
