"""The throughput that a producer loses while another client reads old data as fast as possible.

The old data is not in the page cache: the reader drops it before each pass, so everything is read from disk
and needs memory and processor time of the broker. The reader decodes no record, because on a machine with two
cores a reader in Python would take processor time from the producer.
"""

from __future__ import annotations

from bench.broker.brokers import Broker, Kind
from bench.broker.children import Numbers
from bench.broker.site import PARTITIONS, Site
from bench.broker.throughput import confluent_producer

_OLD_VALUE_BYTES = 1_000
_NEW_VALUE_BYTES = 100


def catch_up(site: Site, kind: Kind) -> Numbers:
    """Produce alone, beside the reader, and alone again, so that a change of the machine counts half."""
    broker = site.broker(kind)
    count = site.sizes.old_records_1k
    old = site.new_topic(broker)
    site.numbers(site.raw_produce(broker, old, count, _OLD_VALUE_BYTES))
    site.settle()
    before = _producer_rate(site, broker)
    words = ("refetch", broker.address, old)
    files = [word for file in broker.segment_files(old) for word in ("--drop", file)]
    site.settle()
    with site.child(site.raw("raw_throughput", *words, *files, count=count, partitions=PARTITIONS)) as reader:
        assert reader.line() == "ready"
        beside = _producer_rate(site, broker)
        reader.ask_to_end()
        read = reader.numbers()
    alone = (before + _producer_rate(site, broker)) / 2
    return {
        "alone_per_s": alone,
        "beside_per_s": beside,
        "loss_percent": 100 * (1 - beside / alone),
        "read_mb_per_s": read["read_mb_per_s"],
    }


def _producer_rate(site: Site, broker: Broker) -> float:
    count = site.sizes.records(_NEW_VALUE_BYTES)
    topic = site.new_topic(broker)
    seconds = confluent_producer(site, broker, topic, count, _NEW_VALUE_BYTES)
    site.ensure_count(broker, topic, count)
    return count / seconds
