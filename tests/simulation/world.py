"""A log on a simulated disk, its model, and the random things that happen to both.

One thread, one seed: everything random comes from ``Random(seed)``, time from a ``ManualClock``.
Whatever is asked of the log is told to the model as well; when the power goes off in the middle of
a step, the model knows which outcomes are allowed and learns at the next opening which one it was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import NamedTuple, TypeAlias
from uuid import UUID

from streamcore.clock import ManualClock
from streamcore.log.records.builder import encode_batch
from streamcore.log.storage.partition.partition_log import PartitionLog
from streamcore.log.storage.partition.sync_ticket import SyncTicket
from streamcore.log.storage.settings import Flush, LogSettings
from streamcore.log.tools.verification import verify
from streamcore.model import Isolation, TopicPartition
from streamcore.testing.sim_disk import PowerCut, SimDisk
from tests.simulation.checks import check_partition, rows_read
from tests.simulation.epoch_reader import EpochReader
from tests.simulation.partition_model import ModelBatch, PartitionModel, Row
from tests.support.managed_log import ManagedLog

ROOT = Path("/data/log")
PLAIN_PRODUCERS = (1, 2)
TRANSACTIONAL_PRODUCERS = (11, 12, 13)


@dataclass
class TopicModel:
    """One incarnation of a topic."""

    name: str
    config: dict[str, str]
    topic_id: UUID
    partitions: list[PartitionModel] = field(default_factory=list)


_COMPRESSIONS = ("none", "none", "none", "gzip", "snappy", "lz4", "zstd")
Target: TypeAlias = tuple[TopicPartition, PartitionLog, PartitionModel]


class PendingSync(NamedTuple):
    """A ticket that was taken, and the log end at that time."""

    target: TopicPartition
    log: PartitionLog
    model: PartitionModel
    ticket: SyncTicket
    end: int


Step: TypeAlias = "Callable[[World], None]"


class World:
    """The log, its disk, its clock and its model."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.clock = ManualClock(1_700_000_000_000)
        self.disk = SimDisk(seed, clock=self.clock)
        self.topics: dict[str, TopicModel] = {}
        self.uncertain: Callable[[], None] | None = None
        """Settles what an interrupted change of topics has come to, once the log is open again."""
        self.unsure: set[TopicPartition] = set()
        """Partitions that met a full disk or a failed sync and may refuse all work until reopened."""
        self.tickets: list[PendingSync] = []
        self.readers: dict[tuple[UUID, int], EpochReader] = {}
        """The readers that go by leader epochs, by topic and partition."""
        self.value_count = 0
        self.topic_count = 0
        self.flush: Flush = "relaxed" if self.random.random() < 0.15 else "durable"
        """With relaxed flushing a crash may take what was visible, but must leave no less sound a log."""
        self.log = self.open()

    def run(self, steps: Sequence[Step], weights: Sequence[int], step_count: int) -> None:
        """Take random steps; now and then cut the power, and check everything."""
        for _ in range(step_count):
            if self.random.random() < 0.05:
                self.disk.crash_at(self.random.choice((1, 2, 3, 5, 8, 13, 21, 40, 80)))
            try:
                self.random.choices(steps, weights)[0](self)
                if self.random.random() < 0.1:
                    self.check()
            except PowerCut:
                self.crash()
        self.disk.crash_at(None)
        self.check()
        self.crash()

    def open(self) -> ManagedLog:
        return ManagedLog.open(
            ROOT, file_system=self.disk, clock=self.clock, settings=LogSettings(flush=self.flush)
        )

    def crash(self) -> None:
        """Lose power, perhaps again while the log is being opened, then see what is left."""
        self.disk.crash()
        self._open_again()

    def kill(self) -> None:
        """End the process, and only the process: what the disk has refused can still be read."""
        self.disk.kill()
        self._open_again()

    def _open_again(self) -> None:
        self.tickets.clear()
        self.unsure.clear()
        while True:
            if self.random.random() < 0.2:
                self.disk.crash_at(self.random.randrange(1, 60))
            try:
                self.log = self.open()
                self.disk.crash_at(None)
                break
            except PowerCut:
                self.disk.crash()
        self.settle()
        self.check()

    def close_and_open(self) -> None:
        """Stop in good order: nothing at all may be lost, synced before or not."""
        if self.unsure:
            self.kill()
            return
        self.tickets.clear()
        self.log.close()
        for _, _, model in self.partitions():
            model.synced_end = model.log_end
        self.log = self.open()
        self.settle()
        self.check()

    def settle(self) -> None:
        """Learn which of the allowed outcomes an interruption had."""
        if self.uncertain is not None:
            self.uncertain()
            self.uncertain = None
        assert sorted(self.log.topics) == sorted(self.topics), "topics came or went"
        for topic in self.topics.values():
            state = self.log.topics[topic.name]
            assert state.topic_id == topic.topic_id
            assert state.partition_count == len(topic.partitions)
        for tp, log, model in self.partitions():
            end = log.offsets.log_end
            assert end >= model.synced_end, f"{tp}: acknowledged records are lost"
            uncommitted = rows_read(log, Isolation.READ_UNCOMMITTED, self.random)
            model.settle(end, uncommitted)

    def check(self) -> None:
        """Compare everything that can be read with the model, and the files with each other."""
        for tp, log, model in self.partitions():
            if tp in self.unsure:
                continue
            try:
                check_partition(log, model, self.random, self.clock.now_ms())
            except AssertionError as error:
                error.add_note(f"partition {tp}")
                raise
            if self.flush == "durable":
                # What could be seen may never be lost again, acknowledged or not.
                model.synced_end = max(model.synced_end, log.offsets.high_watermark)

    def close_and_verify(self) -> None:
        """Stop in good order; the offline check finds nothing wrong then."""
        self.close_and_open()
        self.log.close()
        if not any(model.batches for _, _, model in self.partitions()):
            return
        problems = list(verify(ROOT, file_system=self.disk))
        assert not problems, problems

    def some_config(self) -> dict[str, str]:
        config = {
            "segment.bytes": str(self.random.choice((3_000, 4_000, 12_000))),
            "index.interval.bytes": str(self.random.choice((0, 100, 1_000))),
            "segment.ms": str(self.random.choice((60_000, 10**9))),
            "retention.ms": "-1",
            "compression.type": self.random.choice(("producer", "producer", "zstd", "uncompressed")),
        }
        policy = self.random.choice(("delete", "delete", "compact", "compact", "compact,delete"))
        config["cleanup.policy"] = policy
        if "delete" in policy and self.random.random() < 0.5:
            config["retention.ms"] = "500000"
        if "delete" in policy and self.random.random() < 0.3:
            config["retention.bytes"] = "4000"
        if "compact" in policy:
            config["min.cleanable.dirty.ratio"] = self.random.choice(("0", "0.3"))
            config["delete.retention.ms"] = self.random.choice(("0", "100000"))
            config["min.compaction.lag.ms"] = self.random.choice(("0", "0", "30000"))
        return config

    def partitions(self) -> list[Target]:
        targets: list[Target] = []
        for topic in self.topics.values():
            for number, model in enumerate(topic.partitions):
                tp = TopicPartition(topic.name, number)
                targets.append((tp, self.log.partition(tp), model))
        return targets

    def any_partition(self) -> Target | None:
        targets = self.partitions()
        return self.random.choice(targets) if targets else None

    def some_rows(self, model: PartitionModel) -> tuple[Row, ...]:
        count = self.random.choice((1, 1, 2, 3, 8))
        rows: list[Row] = []
        # Sometimes a history is loaded: its records are much older than any retention.ms.
        loaded_at_ms = self.clock.now_ms() - self.random.choice((0, 0, 0, 10**10))
        for _ in range(count):
            key: bytes | None = b"key%d" % self.random.randrange(8)
            self.value_count += 1
            value: bytes | None = b"value%d" % self.value_count + b"x" * self.random.choice((0, 0, 50, 300))
            if model.is_compacted and self.random.random() < 0.2:
                value = None
            if not model.is_compacted and self.random.random() < 0.2:
                key = None
            rows.append((key, value, loaded_at_ms - self.random.choice((0, 0, 3, 10_000))))
        return tuple(rows)

    def next_of(self, model: PartitionModel, producer_id: int) -> tuple[int, int]:
        """Epoch and sequence with which a producer goes on."""
        if producer_id < 0:
            return -1, -1
        state = model.producers().get(producer_id)
        if state is None:
            return 0, 0
        if state.last_data is None or state.last_data.producer_epoch != state.epoch:
            return state.epoch, 0
        if state.open_since is None and self.random.random() < 0.05:
            return state.epoch + 1, 0
        return state.epoch, state.last_data.next_sequence

    def plain_batch(self, model: PartitionModel) -> ModelBatch:
        rows = self.some_rows(model)
        return ModelBatch(model.log_end, model.log_end + len(rows), rows)

    def encoded(self, batch: ModelBatch) -> bytearray:
        keys, values, timestamps_ms = zip(*batch.rows, strict=True)
        # The same for a batch that is sent again.
        compression = _COMPRESSIONS[batch.base_sequence % len(_COMPRESSIONS)]
        return encode_batch(
            keys,
            values,
            timestamps_ms,
            compression=compression,
            producer_id=batch.producer_id,
            producer_epoch=batch.producer_epoch,
            base_sequence=batch.base_sequence,
            transactional=batch.is_transactional,
        )

    def add_topic(self, name: str, config: dict[str, str], count: int) -> None:
        state = self.log.topics[name]
        assert state.partition_count == count
        self.topics[name] = TopicModel(
            name, config, state.topic_id, [PartitionModel(config) for _ in range(count)]
        )
