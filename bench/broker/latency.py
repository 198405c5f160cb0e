"""The latency of single records: alone, beside those of other connections, and from end to end."""

from __future__ import annotations

from bench.broker.brokers import Kind
from bench.broker.children import Numbers
from bench.broker.site import RATE, Site


def one_by_one(site: Site, kind: Kind) -> Numbers:
    """Produce each record after the acknowledgement of the one before."""
    broker = site.broker(kind)
    topic = site.new_topic(broker)
    count, uncounted = site.sizes.one_by_one, site.sizes.one_by_one // 10
    site.settle()
    words = ("confluent_latency", "one-by-one", broker, topic)
    numbers = site.numbers(site.confluent(*words, count=count, uncounted=uncounted))
    site.ensure_count(broker, topic, uncounted + count)
    return numbers


def many_connections(site: Site, kind: Kind, partition_count: int) -> Numbers:
    """On each of many connections, produce a record after the acknowledgement of the one before."""
    broker = site.broker(kind)
    topic = site.new_topic(broker, partition_count=partition_count)
    site.settle()
    before_s = broker.cpu_s
    seen = site.numbers(
        site.raw(
            "small_requests",
            *(broker.address, topic),
            connections=site.sizes.connections,
            seconds=site.sizes.connections_s,
            uncounted_s=site.sizes.uncounted_s,
            partitions=partition_count,
        )
    )
    cpu_s = broker.cpu_s - before_s
    site.ensure_count(broker, topic, int(seen["asked"]), partitions=partition_count)
    return {
        "requests_per_s": seen["count"] / seen["wall_s"],
        "p50_ms": seen["p50_ms"],
        "p99_ms": seen["p99_ms"],
        "broker_cpu_us": cpu_s / seen["asked"] * 1e6,
        "client_cpu_us": seen["client_cpu_us"],
    }


def end_to_end(site: Site, kind: Kind) -> Numbers:
    """Measure from the intended time of sending until a waiting consumer has the record."""
    broker = site.broker(kind)
    count = site.sizes.paced
    uncounted = int(site.sizes.uncounted_s * RATE)
    site.settle()
    before_s = broker.cpu_s
    seen = site.paced(broker, count, uncounted)
    seconds = (uncounted + count) / RATE
    return {**seen, "broker_cpu_percent": 100 * (broker.cpu_s - before_s) / seconds}
