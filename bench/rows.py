"""The rows of the benchmark: each a measurement, its unit, and its target.

A row is measured in units of one event or record: CPU time per event, or records per second of wall
time. Rows of peers have no target; they are for comparison.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

MANY_KEYS = 100_000
FEW_EVENTS_SHARE = 0.1
"""The part of the events that rows get which cost ten times as much as others."""


class Unit(Enum):
    """The meaning of a row's number, and whether more or less is better."""

    CPU_US = "CPU µs/event"
    RATE = "records/s"
    SECONDS = "s"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table and its measurement.

    ``name`` selects it with ``--only``.
    """

    name: str
    title: str
    unit: Unit
    kind: str
    work: str = ""
    value_type: str = "dataclass"
    keys: int = 1_000
    prepared: str | None = None
    """The folder that is copied for it: the name of an entry of ``PREPARED``."""
    events_share: float = 1.0
    """The part of the events that a slow row gets: of its prepared folder, if it has one."""
    target: float | None = None
    reference: str = ""
    is_peer: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A folder that is made once: the jobs that fill it, in order."""

    name: str
    kinds: tuple[str, ...]
    keys: int = 1_000
    work: str = "count"
    events_share: float = 1.0
    """The part of the events that is loaded."""


PREPARED = (
    Prepared(name="events-1k", kinds=("load",)),
    Prepared(name="events-100k", kinds=("load",), keys=MANY_KEYS),
    Prepared(name="two-topics", kinds=("load-two",)),
    Prepared(name="few-events-1k", kinds=("load",), events_share=FEW_EVENTS_SHARE),
    Prepared(name="few-in-two-topics", kinds=("load-two",), events_share=FEW_EVENTS_SHARE),
    Prepared(name="few-orders", kinds=("load-orders",), events_share=FEW_EVENTS_SHARE),
    Prepared(name="records", kinds=("load-records",)),
    Prepared(name="changelog", kinds=("load", "process"), keys=MANY_KEYS, work="tumbling"),
)


def _processing(
    name: str, title: str, work: str, *, target: float | None, reference: str = "", keys: int = 1_000
) -> list[Row]:
    """Return the rows of one application: typed by a dataclass, and by a struct if keys are few."""
    types = ("dataclass", "msgspec") if keys == 1_000 else ("dataclass",)
    return [
        Row(
            name=name if value_type == "dataclass" else f"{name}-struct",
            title=title if value_type == "dataclass" else f"{title}; msgspec.Struct",
            unit=Unit.CPU_US,
            kind="process",
            work=work,
            value_type=value_type,
            keys=keys,
            prepared="events-1k" if keys == 1_000 else "events-100k",
            target=target,
            reference=reference if value_type == "dataclass" else "",
        )
        for value_type in types
    ]


ROWS: tuple[Row, ...] = (
    *_processing(
        "filter-map",
        "filter and map",
        "filter-map",
        target=3,
        reference="Kafka Streams 5.9, Quix 8-17, Faust 65+",
    ),
    *_processing("filter-map-to", "filter, map, write to a topic", "filter-map-to", target=3),
    *_processing(
        "count",
        "keyed count, RocksDB, changelog",
        "count",
        target=5,
        reference="Kafka Streams 12, Quix 17-39, Faust 258+",
    ),
    *_processing(
        "tumbling",
        "tumbling 10 s count, changelog",
        "tumbling",
        target=6,
        reference="Kafka Streams 17, Quix 28-62, Bytewax 83+",
    ),
    *_processing("count-100k", "keyed count, 100,000 keys", "count", target=None, keys=MANY_KEYS),
    *_processing(
        "tumbling-100k", "tumbling 10 s count, 100,000 keys", "tumbling", target=None, keys=MANY_KEYS
    ),
    *_processing("session", "sessions, gap 2 s, count", "session", target=5, reference="Flink 9-11"),
    *_processing(
        "session-100k",
        "sessions, gap 200 s, count, 100,000 live keys",
        "session-long",
        target=10,
        reference="Flink 9-11",
        keys=MANY_KEYS,
    ),
    *_processing("hopping", "hopping 10 s by 2 s, count", "hopping", target=5),
    *_processing("agent", "agent, table[k] += 1", "agent", target=8, reference="Faust 178-386"),
    *_processing("group-by", "group_by, repartition topic, 3 aggregations", "group-by", target=None),
    *_processing("dedupe", "dedupe by a function: repartition topic, store", "dedupe", target=None),
    *_processing("timers", "processor: a timer for each record", "timers", target=None),
    *(
        Row(
            name=work,
            title=title,
            unit=Unit.CPU_US,
            kind="process",
            work=work,
            prepared="two-topics",
            target=target,
            reference=reference,
        )
        for work, title, target, reference in (
            ("merge", "two inputs in turns: merge, keyed count", 3, "Kafka Streams 12-18"),
            (
                "join-table",
                "two inputs in turns: stream joined with a table that changes",
                3,
                "Kafka Streams 12-18",
            ),
            ("join-streams", "two inputs in turns: joined with one another, one match an event", 8, ""),
        )
    ),
    *(
        Row(
            name=work,
            title=title,
            unit=Unit.CPU_US,
            kind="process",
            work=work,
            prepared=prepared,
            events_share=FEW_EVENTS_SHARE,
        )
        for work, title, prepared in (
            ("join-foreign-key", "tables joined by a foreign key, a left row an event", "few-orders"),
            ("join-tables", "two inputs in turns: tables joined with one another", "few-in-two-topics"),
            ("join-as-of", "two inputs in turns: stream joined as of its times", "few-in-two-topics"),
            ("join-windows", "two inputs in turns: tumbling 10 s counts joined", "few-in-two-topics"),
            ("sliding", "sliding 10 s count: 10 records a window", "few-events-1k"),
            ("tumbling-final", "tumbling 10 s count, final results", "few-events-1k"),
            ("suppress", "keyed count, its changes once in 10 s (suppress)", "few-events-1k"),
        )
    ),
    Row(
        name="send",
        title="produce 100 B, durable: send, one by one",
        unit=Unit.RATE,
        kind="send",
        target=400_000,
        reference="Kafka 4.3 with confluent-kafka 0.3 M/s, not durable",
    ),
    Row(
        name="send-many",
        title="produce 100 B, durable: send_many",
        unit=Unit.RATE,
        kind="send-many",
        target=1_000_000,
    ),
    Row(
        name="consume",
        title="consume 100 B as records",
        unit=Unit.RATE,
        kind="consume",
        prepared="records",
        target=1_000_000,
        reference="Kafka 4.3 with confluent-kafka 0.2 M/s",
    ),
    Row(
        name="restore",
        title="restore from changelog",
        unit=Unit.RATE,
        kind="restore",
        work="tumbling",
        prepared="changelog",
        target=500_000,
    ),
    Row(
        name="start",
        title="streamcore worker: start to first result, modules compiled as by pip",
        unit=Unit.SECONDS,
        kind="start",
        target=1,
        reference="Kafka 10 s",
    ),
    Row(
        name="bare-loop",
        title="bare Python loop: json.loads, count in a dict; nothing durable",
        unit=Unit.CPU_US,
        kind="bare-loop",
        is_peer=True,
    ),
    Row(
        name="bytewax-filter-map",
        title="Bytewax: filter and map, from memory; nothing durable",
        unit=Unit.CPU_US,
        kind="bytewax",
        work="filter-map",
        events_share=0.25,
        is_peer=True,
    ),
    Row(
        name="bytewax-count",
        title="Bytewax: running count by key, from memory; nothing durable",
        unit=Unit.CPU_US,
        kind="bytewax",
        work="count",
        events_share=0.25,
        is_peer=True,
    ),
    Row(
        name="bytewax-tumbling",
        title="Bytewax: tumbling 10 s count, from memory; nothing durable",
        unit=Unit.CPU_US,
        kind="bytewax",
        work="tumbling",
        events_share=0.25,
        is_peer=True,
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """A line of the table that divides one row by another."""

    title: str
    above: str
    below: str
    target: float | None = None
    reference: str = ""


RATIOS = (
    Ratio(
        title="tumbling count: 100,000 keys against 1,000",
        above="tumbling-100k",
        below="tumbling",
        target=3,
        reference="Bytewax 100 x",
    ),
    Ratio(title="keyed count: 100,000 keys against 1,000", above="count-100k", below="count", target=3),
)
