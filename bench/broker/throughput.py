"""Records per second in and out, and the broker's processor time for each.

The rate is the client's: until the last acknowledgement, or until the last record. The processor time is that
of the broker's process from before the client starts until after it has ended.
"""

from __future__ import annotations

from collections.abc import Callable

from bench.broker import kafka
from bench.broker.brokers import Broker, Kind
from bench.broker.children import Numbers
from bench.broker.site import PARTITIONS, Site

_Load = Callable[[Site, Broker, str, int, int], float]
"""Runs a client on a topic, with this many records of this many bytes; returns the seconds that it took."""


def produce(site: Site, kind: Kind, value_bytes: int, load: _Load) -> Numbers:
    """Produce to an empty topic."""
    broker = site.broker(kind)
    topic = site.new_topic(broker)
    numbers = _measured(site, broker, topic, value_bytes, load)
    site.ensure_count(broker, topic, site.sizes.records(value_bytes))
    return numbers


def consume(site: Site, kind: Kind, value_bytes: int, load: _Load) -> Numbers:
    """Consume a topic that was filled before, and is still in the page cache."""
    broker = site.broker(kind)
    return _measured(site, broker, site.loaded_topic(broker, value_bytes), value_bytes, load)


def _measured(site: Site, broker: Broker, topic: str, value_bytes: int, load: _Load) -> Numbers:
    count = site.sizes.records(value_bytes)
    site.settle()
    before_s = broker.cpu_s
    seconds = load(site, broker, topic, count, value_bytes)
    cpu_s = broker.cpu_s - before_s
    return {
        "records_per_s": count / seconds,
        "mb_per_s": count * value_bytes / seconds / 1e6,
        "broker_cpu_us": cpu_s / count * 1e6,
    }


# --- loads ----------------------------------------------------------------------------------------


def confluent_producer(site: Site, broker: Broker, topic: str, count: int, value_bytes: int) -> float:
    """One confluent-kafka producer, linger 20 ms."""
    return _confluent(site, "produce", broker, topic, count, value_bytes)


def confluent_consumer(site: Site, broker: Broker, topic: str, count: int, value_bytes: int) -> float:
    """One confluent-kafka consumer with its defaults."""
    return _confluent(site, "consume", broker, topic, count, value_bytes)


def unpausing_consumer(site: Site, broker: Broker, topic: str, count: int, value_bytes: int) -> float:
    """One confluent-kafka consumer that fetches again soon after its queue was full."""
    return _confluent(site, "consume-unpaused", broker, topic, count, value_bytes)


def raw_producer(site: Site, broker: Broker, topic: str, count: int, value_bytes: int) -> float:
    """Encoded batches, five unanswered requests."""
    return site.numbers(site.raw_produce(broker, topic, count, value_bytes))["wall_s"]


def raw_fetcher(site: Site, broker: Broker, topic: str, count: int, value_bytes: int) -> float:
    """Batches as bytes, of which only the headers are read."""
    words = ("fetch", broker.address, topic)
    return site.numbers(site.raw("raw_throughput", *words, count=count, partitions=PARTITIONS))["wall_s"]


def java_producer(site: Site, broker: Broker, topic: str, count: int, value_bytes: int) -> float:
    """Kafka's ``ProducerPerformance``: batches of 16 KB, the Java client's default."""
    command = kafka.producer_performance_command(site.jars, broker.address, topic, count, value_bytes)
    with site.child(command) as child:
        total = child.lines()[-1]
    sent, _, rest = total.partition(" records sent, ")
    assert int(sent) == count, total
    return count / float(rest.partition(" ")[0])


def java_consumer(site: Site, broker: Broker, topic: str, count: int, value_bytes: int) -> float:
    """Kafka's ``ConsumerPerformance``; the time to join the group is not counted."""
    command = kafka.consumer_performance_command(site.jars, broker.address, topic, count)
    with site.child(command) as child:
        fields = child.lines()[-1].split(", ")
    assert int(fields[4]) == count, fields
    return float(fields[7]) / 1e3


def _confluent(site: Site, work: str, broker: Broker, topic: str, count: int, value_bytes: int) -> float:
    command = site.confluent(
        "confluent_throughput",
        *(work, broker, topic),
        count=count,
        value_bytes=value_bytes,
        partitions=PARTITIONS,
    )
    return site.numbers(command)["wall_s"]
