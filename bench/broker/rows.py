"""The rows of the broker's benchmark: measurements, and the lines that each fills.

A target is either a limit of StreamCore's own number or a factor of Kafka's. It is for the durable StreamCore
only, whose acknowledgement means that a record is on disk; Kafka's means that it is in the page cache.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import partial

from bench.broker import throughput
from bench.broker.brokers import Kind
from bench.broker.catch_up import catch_up
from bench.broker.children import Numbers
from bench.broker.holding import many_partitions, start_empty
from bench.broker.latency import end_to_end, many_connections, one_by_one
from bench.broker.site import Site


class Unit(Enum):
    """The unit of a number, and how many of its decimals are shown."""

    RECORDS = ("records/s", 0)
    REQUESTS = ("requests/s", 0)
    MEGABYTES_PER_SECOND = ("MB/s", 0)
    CPU = ("CPU µs", 2)
    MILLISECONDS = ("ms", 2)
    SECONDS = ("s", 2)
    MEGABYTES = ("MB", 0)
    PERCENT = ("%", 1)

    def text_of(self, number: float) -> str:
        """Return a number in this unit, without the unit."""
        return f"{number:,.{self.value[1]}f}"


class Need(Enum):
    """What a row requires."""

    CONFLUENT = "confluent-kafka"
    JARS = "Apache Kafka's tools"


@dataclass(frozen=True, slots=True)
class Target:
    """The target: a minimum or maximum of a number, or a factor of Kafka's number."""

    bound: float
    is_minimum: bool = False
    is_factor: bool = False

    def is_met(self, number: float) -> bool:
        """Whether a number, or the ratio of two if the target is a factor, meets the target."""
        return number >= self.bound if self.is_minimum else number <= self.bound


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table."""

    title: str
    number: str
    """The name of the number in the measurement."""
    unit: Unit
    target: Target | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A measurement; ``name`` selects it with ``--only``."""

    name: str
    measure: Callable[[Site, Kind], Numbers]
    lines: tuple[Line, ...]
    kinds: tuple[Kind, ...] = (Kind.DURABLE, Kind.KAFKA)
    needs: frozenset[Need] = frozenset()


_ALL = tuple(Kind)
_CONFLUENT = frozenset({Need.CONFLUENT})


def _at_least(bound: float) -> Target:
    return Target(bound, is_minimum=True)


def _at_most(bound: float) -> Target:
    return Target(bound)


def _times_kafka(factor: float) -> Target:
    return Target(factor, is_minimum=True, is_factor=True)


_NO_MORE_THAN_KAFKA = Target(1, is_factor=True)


def _cpu(target: Target | None = None) -> Line:
    return Line("- broker CPU per record", "broker_cpu_us", Unit.CPU, target)


def _records(title: str, target: Target | None = None) -> Line:
    return Line(title, "records_per_s", Unit.RECORDS, target)


def _megabytes(title: str, target: Target | None = None) -> Line:
    return Line(title, "mb_per_s", Unit.MEGABYTES_PER_SECOND, target)


def _latencies(p50: Target | None = None, p99: Target | None = None) -> tuple[Line, ...]:
    return (
        Line("- p50", "p50_ms", Unit.MILLISECONDS, p50),
        Line("- p99", "p99_ms", Unit.MILLISECONDS, p99),
    )


_PRODUCE = (
    Row(
        name="produce-100",
        measure=partial(throughput.produce, value_bytes=100, load=throughput.confluent_producer),
        lines=(
            _records("produce 100 B, one confluent-kafka client, linger 20 ms", _times_kafka(1.3)),
            _cpu(_NO_MORE_THAN_KAFKA),
        ),
        kinds=_ALL,
        needs=_CONFLUENT,
    ),
    Row(
        name="produce-1k",
        measure=partial(throughput.produce, value_bytes=1_000, load=throughput.confluent_producer),
        lines=(
            _megabytes("produce 1 KB, one confluent-kafka client, linger 20 ms", _times_kafka(1)),
            _cpu(),
        ),
        kinds=_ALL,
        needs=_CONFLUENT,
    ),
    Row(
        name="produce-100-java",
        measure=partial(throughput.produce, value_bytes=100, load=throughput.java_producer),
        lines=(_records("produce 100 B, Kafka's ProducerPerformance (batches of 16 KB)"), _cpu()),
        needs=frozenset({Need.JARS}),
    ),
    Row(
        name="produce-100-raw",
        measure=partial(throughput.produce, value_bytes=100, load=throughput.raw_producer),
        lines=(_records("produce 100 B, a client that does nothing (batches of 960 KB)"), _cpu()),
    ),
)

_CONSUME = (
    Row(
        name="consume-100",
        measure=partial(throughput.consume, value_bytes=100, load=throughput.confluent_consumer),
        lines=(
            _records("consume 100 B, one confluent-kafka client", _times_kafka(1.5)),
            _cpu(_NO_MORE_THAN_KAFKA),
        ),
        needs=_CONFLUENT,
    ),
    Row(
        name="consume-1k",
        measure=partial(throughput.consume, value_bytes=1_000, load=throughput.confluent_consumer),
        lines=(_megabytes("consume 1 KB, one confluent-kafka client", _times_kafka(1)), _cpu()),
        needs=_CONFLUENT,
    ),
    Row(
        name="consume-100-unpaused",
        measure=partial(throughput.consume, value_bytes=100, load=throughput.unpausing_consumer),
        lines=(_records("consume 100 B, the same client without its pauses"), _cpu()),
        needs=_CONFLUENT,
    ),
    Row(
        name="consume-100-java",
        measure=partial(throughput.consume, value_bytes=100, load=throughput.java_consumer),
        lines=(_records("consume 100 B, Kafka's ConsumerPerformance"), _cpu()),
        needs=frozenset({Need.JARS}),
    ),
    Row(
        name="consume-100-raw",
        measure=partial(throughput.consume, value_bytes=100, load=throughput.raw_fetcher),
        lines=(_records("fetch 100 B, a client that looks at no record"), _cpu()),
    ),
)

_LATENCY = (
    Row(
        name="one-by-one",
        measure=one_by_one,
        lines=(
            Line("produce one record at a time and wait: p50", "p50_ms", Unit.MILLISECONDS, _at_most(1.5)),
            Line("- p99", "p99_ms", Unit.MILLISECONDS, _at_most(10)),
        ),
        kinds=_ALL,
        needs=_CONFLUENT,
    ),
    Row(
        name="connections",
        measure=partial(many_connections, partition_count=1),
        lines=(
            Line(
                "64 connections, a record a request, 1 partition",
                "requests_per_s",
                Unit.REQUESTS,
                _at_least(5_000),
            ),
            *_latencies(),
            Line("- broker CPU per request", "broker_cpu_us", Unit.CPU),
        ),
        kinds=_ALL,
    ),
    Row(
        name="connections-spread",
        measure=partial(many_connections, partition_count=16),
        lines=(
            Line("64 connections, a record a request, 16 partitions", "requests_per_s", Unit.REQUESTS),
            *_latencies(),
            Line("- broker CPU per request", "broker_cpu_us", Unit.CPU),
        ),
        kinds=_ALL,
    ),
    Row(
        name="end-to-end",
        measure=end_to_end,
        lines=(
            Line(
                "producer to consumer, 1,000 records a second: p50", "p50_ms", Unit.MILLISECONDS, _at_most(3)
            ),
            Line("- p99", "p99_ms", Unit.MILLISECONDS, _at_most(15)),
            Line("- longest", "max_ms", Unit.MILLISECONDS),
            Line("- broker CPU", "broker_cpu_percent", Unit.PERCENT),
        ),
        kinds=_ALL,
        needs=_CONFLUENT,
    ),
)

_HOLDING = (
    Row(
        name="catch-up",
        measure=catch_up,
        lines=(
            Line(
                "a reader of old data beside a producer: what the producer loses",
                "loss_percent",
                Unit.PERCENT,
                _at_most(30),
            ),
            Line("- the producer alone", "alone_per_s", Unit.RECORDS),
            Line("- the producer beside the reader", "beside_per_s", Unit.RECORDS),
            Line("- the reader, from the disk", "read_mb_per_s", Unit.MEGABYTES_PER_SECOND),
        ),
        needs=_CONFLUENT,
    ),
    Row(
        name="start",
        measure=start_empty,
        lines=(
            Line("start in an empty folder", "start_s", Unit.SECONDS, _at_most(1)),
            Line("- memory then", "resident_mb", Unit.MEGABYTES),
        ),
    ),
    Row(
        name="partitions",
        measure=many_partitions,
        lines=(
            Line("10,000 partitions: start after a clean stop", "start_s", Unit.SECONDS, _at_most(5)),
            Line("- memory with 1,000 idle connections", "resident_mb", Unit.MEGABYTES, _at_most(150)),
            Line("- broker CPU then", "idle_cpu_percent", Unit.PERCENT),
            Line("- making them before, a tenth with data", "made_in_s", Unit.SECONDS),
        ),
    ),
)

ROWS: tuple[Row, ...] = (*_PRODUCE, *_CONSUME, *_LATENCY, *_HOLDING)
