"""One round: a broker, its clients, what disturbs it, a last reading of everything, and the verdict."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final

from streamcore.log.storage.files import PosixFileSystem
from streamcore.log.tools.verification import verify
from tests.crash.broker_process import BrokerProcess
from tests.crash.clients.administrators import FleetingTopicUser, RecordDeleter, create_topic
from tests.crash.clients.client import Client, NoAnswer
from tests.crash.clients.group_readers import GroupReader
from tests.crash.clients.positions import read_positions
from tests.crash.clients.processors import Processor
from tests.crash.clients.producers import IdempotentProducer, PlainProducer
from tests.crash.clients.readers import PartitionReader, Reader, earliest
from tests.crash.clients.transactional_producers import TransactionalProducer
from tests.crash.clients.transactions import TransactionSession
from tests.crash.clients.world import Topic, World, now_us
from tests.crash.disturbances import Disturber
from tests.histories.anomalies import Anomaly
from tests.histories.checker import anomalies_of
from tests.histories.operations import Isolation, Place, TopicMade, written

_SETTLING_S: Final = 30.0
_END_S: Final = 30.0
_LAST_S: Final = 0.3

_SMALL_SEGMENTS: Final = {"segment.bytes": "7000", "index.interval.bytes": "500"}

TOPICS: Final = (
    Topic("orders", 3, _SMALL_SEGMENTS),
    Topic("payments", 2, {**_SMALL_SEGMENTS, "compression.type": "zstd"}),
    Topic("inputs", 2, {"segment.bytes": "20000"}),
    Topic("outputs", 2, {}),
    Topic(
        "prices",
        2,
        {
            **_SMALL_SEGMENTS,
            "cleanup.policy": "compact",
            "min.cleanable.dirty.ratio": "0.1",
            "delete.retention.ms": "200",
        },
        has_keys=True,
    ),
    Topic("fading", 1, {**_SMALL_SEGMENTS, "retention.bytes": "20000"}, may_expire=True),
    Topic("trimmed", 2, _SMALL_SEGMENTS),
)


@dataclass
class Verdict:
    """What a round came to."""

    seed: int
    anomalies: list[Anomaly]
    failures: list[str]
    counts: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        counted = " ".join(f"{name}={count}" for name, count in sorted(self.counts.items()))
        return f"seed={self.seed} {counted} anomalies={len(self.anomalies)} failures={len(self.failures)}"


class LastReader(Client):
    """Sets the topics up, and reads everything at the end. Nobody disturbs it."""

    def __init__(self, world: World) -> None:
        super().__init__(world, "last")
        self.cut_share = 0.0
        self.answer_s = _END_S

    def set_up(self) -> None:
        for topic in self.world.topics:
            begun_us = now_us()
            while not create_topic(self, topic):
                self.pause()
            self.world.record(
                TopicMade(
                    client=self.name,
                    begun_us=begun_us,
                    ended_us=now_us(),
                    topic=topic.name,
                    is_compacted=topic.config.get("cleanup.policy") == "compact",
                    may_expire=topic.may_expire,
                )
            )

    def settle(self, transactional_ids: Sequence[str]) -> None:
        """Take every transactional id over, which ends what is still open."""
        for transactional_id in transactional_ids:
            TransactionSession(self, transactional_id, timeout_ms=1_000).identify()

    def read_everything(self) -> None:
        """From the start of each partition to its visible end, in both ways."""
        for isolation in Isolation:
            reader = PartitionReader(self, isolation)
            for topic in self.world.topics:
                for place in topic.places:
                    self._read(reader, place)

    def _read(self, reader: PartitionReader, place: Place) -> None:
        deadline_s = time.monotonic() + _END_S
        position = {place: earliest(self, place)}
        while time.monotonic() < deadline_s:
            polls = reader.poll(position, max_wait_ms=0, is_final=True)
            if polls and polls[0].end == polls[0].start:
                return

    def read_positions(self, group: str, topics: Sequence[str]) -> None:
        places = self.world.places(*topics)
        deadline_s = time.monotonic() + _END_S
        while time.monotonic() < deadline_s:
            if read_positions(self, group, places, stable=True, is_final=True) is not None:
                return
            self.pause()
        raise AssertionError(f"the positions of {group} stay undecided")


class Round:
    """Everything that one seed decides."""

    def __init__(self, seed: int, folder: Path, *, working_s: float) -> None:
        self._random = Random(f"{seed} round")
        self._folder = folder
        self._working_s = working_s
        self._broker = BrokerProcess(
            folder / "data",
            folder / "broker.log",
            durability=self._random.choice(("durable", "durable", "durable", "relaxed")),
            is_eager=self._random.random() < 0.8,
        )
        self._world = World(seed, self._broker.port, TOPICS)
        self._transactional_ids: list[str] = []

    def run(self) -> Verdict:
        """Run it, and leave the history and the broker's log in the folder."""
        world = self._world
        disturber = Disturber(self._broker, world)
        with self._broker:
            self._broker.start()
            last = LastReader(world)
            last.set_up()
            clients = self._clients()
            for client in clients:
                client.start()
            disturber.disturb(self._working_s)
            time.sleep(_LAST_S)
            world.is_over.set()
            for client in clients:
                if not client.has_ended(_SETTLING_S):
                    world.failures.append(f"{client.name} does not come to an end")
            self._end(last)
        (self._folder / "history.jsonl").write_bytes(written(world.history))
        return self._verdict(disturber)

    def _end(self, last: LastReader) -> None:
        """Perhaps crash once more, then read all there is; stop, and check the files."""
        world = self._world
        try:
            last.settle(self._transactional_ids)
            if self._random.random() < 0.5:
                self._random.choice((self._broker.kill, self._broker.stop))()
                self._broker.start()
                last.drop()
            last.read_everything()
            last.read_positions("processing", ["inputs"])
            last.read_positions("reading", ["orders", "payments"])
            last.read_positions("newer", ["orders"])
        except NoAnswer:
            world.failures.append(f"no answer at the end from a broker that nobody disturbs: {last.name}")
        last.drop()
        world.failures += self._broker.faults()
        self._broker.stop()
        world.failures += [
            f"the files are damaged: {problem}"
            for problem in verify(self._folder / "data" / "log", file_system=PosixFileSystem())
        ]

    def _clients(self) -> list[Client]:
        world = self._world
        anywhere = ("orders", "payments", "prices", "fading", "trimmed")
        clients: list[Client] = [
            PlainProducer(world, "plain", anywhere),
            IdempotentProducer(world, "idempotent-1", (*anywhere, "inputs")),
            IdempotentProducer(world, "idempotent-2", ("orders", "inputs")),
            Reader(world, "reader-all", (*anywhere, "inputs"), Isolation.UNCOMMITTED),
            Reader(world, "reader-committed", (*anywhere, "inputs", "outputs"), Isolation.COMMITTED),
            GroupReader(world, "member-1", "reading", ("orders", "payments"), Isolation.COMMITTED),
            GroupReader(world, "member-2", "reading", ("orders", "payments"), Isolation.UNCOMMITTED),
            GroupReader(world, "member-3", "newer", ("orders",), Isolation.COMMITTED, is_newer=True),
            GroupReader(world, "member-4", "newer", ("orders",), Isolation.UNCOMMITTED, is_newer=True),
            FleetingTopicUser(world, "fleeting", "fleeting"),
            RecordDeleter(world, "deleter", "trimmed"),
        ]
        # Clients of both versions of transactions, as it is while people upgrade.
        for index, newer_share in ((1, 0.0), (2, 0.8)):
            clients.append(
                TransactionalProducer(
                    world, f"transactional-{index}", (*anywhere, "inputs"), newer_share=newer_share
                )
            )
            clients.append(
                Processor(
                    world,
                    f"processor-{index}",
                    "processing",
                    "inputs",
                    "outputs",
                    newer_share=self._random.choice((0.0, 0.5, 1.0)),
                )
            )
        self._transactional_ids = [
            client.name for client in clients if isinstance(client, TransactionalProducer | Processor)
        ]
        return clients

    def _verdict(self, disturber: Disturber) -> Verdict:
        world = self._world
        counts = Counter(type(operation).__name__ for operation in world.history)
        counts.update(disturber.kinds)
        return Verdict(world.seed, anomalies_of(world.history), world.failures, counts)
