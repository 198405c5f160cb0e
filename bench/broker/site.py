"""What measurements use: their sizes, running brokers, topics, and the clients' command lines.

One site serves one round. Brokers that rows share are started when the first row needs them, in new folders,
and warmed up, because otherwise the just-in-time compiler would be measured. They stay until the round ends,
idle while another one is measured.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from bench.broker import brokers
from bench.broker.brokers import Broker, Kind
from bench.broker.children import Child, Children, Numbers
from bench.broker.topics import connect, create_topic, record_count

PARTITIONS: Final = 3
"""The partitions of every topic, unless a row sets another number."""
RATE: Final = 1_000
"""Records a second, for latency from end to end."""
BATCH_BYTES: Final = 960_000
"""Values in a batch that is encoded here; librdkafka's batches hold up to 1,000,000 bytes."""
RECORD_OVERHEAD_BYTES: Final = 8

_LOADS = "bench.broker.loads"
_LIMIT_S = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """The sizes of the measurements."""

    records_100: int = 2_000_000
    records_1k: int = 400_000
    one_by_one: int = 3_000
    connections: int = 64
    connections_s: float = 5.0
    paced: int = 10_000
    partitions: int = 10_000
    idle_connections: int = 1_000
    idle_s: float = 2.0
    """How long a broker is left idle before its memory counts, and how long it is observed then."""
    old_records_1k: int = 1_000_000
    warm_up_s: float = 5.0
    """How long a new broker gets small requests, and records at a rate, before anything is measured. With 0
    it is measured as it was started.
    """
    uncounted_s: float = 1.0
    """How long a load that is measured by time runs before it counts."""

    def records(self, value_bytes: int) -> int:
        """Return the number of records of a size."""
        return self.records_100 if value_bytes <= 100 else self.records_1k


QUICK: Final = Sizes(
    records_100=20_000,
    records_1k=4_000,
    one_by_one=50,
    connections=16,
    connections_s=0.3,
    paced=300,
    partitions=60,
    idle_connections=20,
    idle_s=0.2,
    old_records_1k=4_000,
    warm_up_s=0.1,
    uncounted_s=0.1,
)
"""Small sizes, to see that everything runs."""


@dataclass(frozen=True, slots=True)
class Tools:
    """The fetched tools; a text says why one could not be fetched."""

    confluent: Path | str
    jars: Path | str


class Site:
    """One round's brokers and topics."""

    def __init__(self, children: Children, folder: Path, sizes: Sizes, tools: Tools) -> None:
        self.sizes = sizes
        self._children = children
        self._folder = folder
        self._tools = tools
        self._brokers: dict[Kind, Broker] = {}
        self._loaded: dict[tuple[Kind, int], str] = {}
        self._topic_count = 0
        self._log_count = 0

    # --- brokers ----------------------------------------------------------------------------------

    def broker(self, kind: Kind) -> Broker:
        """Return the broker of a kind that rows share."""
        if kind not in self._brokers:
            self._brokers[kind] = broker = self.start(kind, self._folder / kind.name)
            if self.sizes.warm_up_s:
                self._warm_up(broker)
        return self._brokers[kind]

    def start(self, kind: Kind, folder: Path, *, partition_count: int = 0) -> Broker:
        """Start a broker that the caller stops."""
        return brokers.start(self._children, kind, folder, self._jars, partition_count=partition_count)

    @contextmanager
    def own_broker(self, kind: Kind, folder: Path, *, partition_count: int = 0) -> Iterator[Broker]:
        """Start a broker that ends with the block, in order if the block ends without an error."""
        broker = self.start(kind, folder, partition_count=partition_count)
        with broker.child:
            yield broker
            broker.stop()

    def new_folder(self, name: str) -> Path:
        """Return a folder that does not exist yet."""
        folder = self._folder / name
        assert not folder.exists(), folder
        return folder

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the brokers in order; after an error ``Children`` ends them."""
        running, self._brokers = list(self._brokers.values()), {}
        if error is None:
            for broker in running:
                broker.stop()

    # --- topics -----------------------------------------------------------------------------------

    def new_topic(self, broker: Broker, *, partition_count: int = PARTITIONS) -> str:
        """Create an empty topic."""
        self._topic_count += 1
        name = f"bench-{self._topic_count}"
        with connect(broker.address) as client:
            create_topic(client, name, partition_count)
        return name

    def loaded_topic(self, broker: Broker, value_bytes: int) -> str:
        """Return a topic with records of a size, the same for all rows that read it."""
        known = (broker.kind, value_bytes)
        if known not in self._loaded:
            topic = self.new_topic(broker)
            self.numbers(self.raw_produce(broker, topic, self.sizes.records(value_bytes), value_bytes))
            self._loaded[known] = topic
        return self._loaded[known]

    def ensure_count(self, broker: Broker, topic: str, count: int, *, partitions: int = PARTITIONS) -> None:
        """Check that a topic holds the acknowledged records: none lost, none twice."""
        with connect(broker.address) as client:
            found = record_count(client, topic, partitions)
        assert found == count, f"{broker.kind.value} has {found} records, not {count}"

    # --- clients ----------------------------------------------------------------------------------

    def confluent(self, program: str, work: str, broker: Broker, topic: str, **options: object) -> list[str]:
        """Return the command of a load by confluent-kafka."""
        assert isinstance(self._tools.confluent, Path)
        return [str(self._tools.confluent), "-m", f"{_LOADS}.{program}", work, broker.address, topic] + [
            f"--{name.replace('_', '-')}={value}" for name, value in options.items()
        ]

    def raw(self, program: str, *words: object, **options: object) -> list[str]:
        """Return the command of a load by the raw client."""
        return [sys.executable, "-m", f"{_LOADS}.{program}", *map(str, words)] + [
            f"--{name.replace('_', '-')}={value}" for name, value in options.items()
        ]

    def raw_produce(self, broker: Broker, topic: str, count: int, value_bytes: int) -> list[str]:
        """Return the command that produces batches as large as librdkafka's."""
        batch_records = min(BATCH_BYTES // (value_bytes + RECORD_OVERHEAD_BYTES), count // PARTITIONS)
        return self.raw(
            "raw_throughput",
            *("produce", broker.address, topic),
            count=count,
            partitions=PARTITIONS,
            value_bytes=value_bytes,
            batch_records=batch_records,
        )

    @property
    def jars(self) -> Path:
        """Return the folder of Apache Kafka's jars, with its tools."""
        assert self._jars is not None
        return self._jars

    def child(self, command: list[str]) -> Child:
        """Start a load that runs beside others."""
        self._log_count += 1
        return self._children.start(
            command, log=self._folder / f"load-{self._log_count}.txt", limit_s=_LIMIT_S
        )

    def numbers(self, command: list[str]) -> Numbers:
        """Run a load to its end; return its numbers."""
        with self.child(command) as child:
            return child.numbers()

    def settle(self) -> None:
        """Sync earlier writes to disk, so that no measurement includes them."""
        os.sync()

    @property
    def _jars(self) -> Path | None:
        return self._tools.jars if isinstance(self._tools.jars, Path) else None

    def _warm_up(self, broker: Broker) -> None:
        """Use all parts of the broker that are measured."""
        topic = self.new_topic(broker)
        self.numbers(
            self.raw(
                "small_requests",
                *(broker.address, topic),
                connections=self.sizes.connections,
                seconds=self.sizes.warm_up_s,
                uncounted_s=0,
                partitions=PARTITIONS,
            )
        )
        topic = self.loaded_topic(broker, 100)
        count = self.sizes.records(100)
        self.numbers(
            self.raw("raw_throughput", "fetch", broker.address, topic, count=count, partitions=PARTITIONS)
        )
        if isinstance(self._tools.confluent, Path):
            self.paced(broker, int(self.sizes.warm_up_s * RATE), 0)

    def paced(self, broker: Broker, count: int, uncounted: int) -> Numbers:
        """Send and read records at the rate; return the latencies of the reader."""
        topic = self.new_topic(broker)
        options = {"count": count, "uncounted": uncounted, "rate": RATE, "partitions": PARTITIONS}
        with self.child(self.confluent("confluent_latency", "read", broker, topic, **options)) as reader:
            assert reader.line() == "ready"
            self.numbers(self.confluent("confluent_latency", "send", broker, topic, **options))
            return reader.numbers()
