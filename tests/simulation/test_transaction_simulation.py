"""Transactions on a disk that crashes: each is there whole, or not at all, and stays what it was.

A worker copies records from one topic to random partitions of another, several at a time in one
transaction with its positions, while the power goes off at random moments (also while the log is
being opened), the process is killed, producers are taken over, transactions time out, and the
coordinators' topics are compacted. After every opening:

* a transaction is visible in all of its partitions or in none; if its commit was acknowledged, in all;
  if it was aborted or fenced, in none; what it was once seen to be, it stays;
* the committed position says exactly how many records were copied;
* nothing stays undecided: readers of committed data get to the end.
"""

from __future__ import annotations

import os
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random

import pytest

from streamcore.clock import ManualClock
from streamcore.errors import ProducerFencedError, RetriableError, StorageError
from streamcore.log.broker.settings import BrokerSettings
from streamcore.log.client.embedded.log import EmbeddedLog
from streamcore.log.client.embedded.producer import EmbeddedProducer
from streamcore.model import CommittedOffset, RecordColumns, TopicPartition
from streamcore.testing.sim_disk import PowerCut, SimDisk

SEEDS = int(os.environ.get("SIMULATION_SEEDS", "4"))
INPUT = TopicPartition("input", 0)
OUTPUTS = [TopicPartition("output", index) for index in range(3)]
IDS = ("worker", "standby")
TIMEOUT_MS = 60_000

SETTINGS = BrokerSettings(
    unstable_wait_ms=0,
    producer_id_block_count=2,
    transaction_timeout_ms=TIMEOUT_MS,
    internal_topic_config={
        "cleanup.policy": "compact",
        "segment.bytes": "600",
        "delete.retention.ms": "0",
        "min.cleanable.dirty.ratio": "0",
        "retention.ms": "-1",
    },
)


@dataclass
class Copy:
    """One transaction: it copies input ``[start, end)``, and shows it in ``targets``."""

    number: int
    start: int
    end: int
    targets: tuple[TopicPartition, ...]
    outcome: bool | None = None
    """Committed, aborted, or not known because the answer was lost."""


@dataclass
class World:
    """A log, who writes to it, and what they did."""

    random: Random
    disk: SimDisk
    clock: ManualClock = field(default_factory=lambda: ManualClock(1_700_000_000_000))
    copies: list[Copy] = field(default_factory=list)
    producers: dict[str, EmbeddedProducer] = field(default_factory=dict)

    def open(self) -> EmbeddedLog:
        """Open the log, however often the power goes off meanwhile, and check everything."""
        self.producers.clear()
        while True:
            self.disk.crash_at(self.random.choice([None, None, self.random.randrange(1, 60)]))
            try:
                log = EmbeddedLog.open(
                    "/data",
                    file_system=self.disk,
                    clock=self.clock,
                    settings=SETTINGS,
                    maintenance=False,
                )
                if "output" not in log.topics():
                    log.create_topic("output", partitions=len(OUTPUTS), config={"retention.ms": "-1"})
                for transactional_id in IDS:
                    self.producers[transactional_id] = log.producer_port(transactional_id=transactional_id)
                self.disk.crash_at(None)
            except PowerCut:
                self.disk.crash()
                continue
            self.check(log)
            return log

    def copy_some(self, log: EmbeddedLog) -> None:
        """One transaction, from wherever the group is; it may be cut short in any of its steps."""
        start = self.position(log)
        copy = Copy(
            len(self.copies),
            start,
            start + self.random.randrange(1, 4),
            tuple(self.random.sample(OUTPUTS, self.random.randrange(1, 4))),
        )
        self.copies.append(copy)
        producer = self.producers[self.random.choice(IDS)]
        is_abort = self.random.random() < 0.2
        try:
            with producer.transaction() as transaction:
                steps = [*copy.targets, None]
                self.random.shuffle(steps)
                for target in steps:
                    if target is None:
                        transaction.commit_offsets("copier", {INPUT: CommittedOffset(copy.end)})
                        continue
                    values = [b"%d" % copy.number] * (copy.end - copy.start)
                    transaction.append_columns(
                        target, RecordColumns([None] * len(values), [*values], [0] * len(values))
                    )
                if is_abort:
                    raise _AbortedOnPurpose
            copy.outcome = True
        except (_AbortedOnPurpose, ProducerFencedError):
            copy.outcome = False

    def take_over(self, log: EmbeddedLog) -> None:
        """Leave a transaction open, and have a newer producer of the same id, or time, end it."""
        name = self.random.choice(IDS)
        copy = Copy(len(self.copies), 0, 1, (self.random.choice(OUTPUTS),), outcome=False)
        self.copies.append(copy)
        zombie = self.producers[name]
        context = zombie.transaction()
        transaction = context.__enter__()
        try:
            transaction.append_columns(copy.targets[0], RecordColumns([None], [b"%d" % copy.number], [0]))
            if self.random.random() < 0.5:
                transaction.commit_offsets("copier", {INPUT: CommittedOffset(1_000_000)})
            if self.random.random() < 0.3:
                self.clock.advance(TIMEOUT_MS + 1)
                log.maintain()
            self.producers[name] = log.producer_port(transactional_id=name)
            with pytest.raises(ProducerFencedError):
                context.__exit__(None, None, None)
        except BaseException as error:
            # The disk crashed. End the block now: the collector would end it in the middle of another test.
            with suppress(BaseException):
                context.__exit__(type(error), error, error.__traceback__)
            raise

    def position(self, log: EmbeddedLog) -> int:
        committed = log.committed("copier").get(INPUT)
        return 0 if committed is None else committed.offset

    def visible(self, log: EmbeddedLog) -> dict[TopicPartition, list[int]]:
        """The transactions that readers of committed data see, by partition, a number a record."""
        reader = log.reader()
        reader.assign(dict.fromkeys(OUTPUTS, 0))
        seen: dict[TopicPartition, list[int]] = defaultdict(list)
        for output in OUTPUTS:
            while (run := reader.fetch(output, bytes_max=1000)) is not None:
                seen[output] += [int(value or b"-1") for value in run.values]
            assert reader.position(output) == log.offsets([output])[output].high_watermark, "undecided"
        return seen

    def check(self, log: EmbeddedLog) -> None:
        """Everything that the module promises."""
        visible = self.visible(log)
        position = 0
        for copy in self.copies:
            places = {output for output in OUTPUTS if copy.number in visible[output]}
            assert places in (set(), set(copy.targets)), f"torn transaction {copy}: {places}"
            is_visible = bool(places)
            assert copy.outcome in (None, is_visible), f"changed its outcome: {copy}"
            copy.outcome = is_visible
            if is_visible:
                for output in places:
                    assert visible[output].count(copy.number) == copy.end - copy.start, copy
                assert copy.start == position, f"positions and records disagree: {copy}"
                position = copy.end
        assert self.position(log) == position


class _AbortedOnPurpose(Exception):
    """A transaction's block fails by itself."""


def fail_the_disk(world: World) -> None:
    """The disk refuses: full, or a sync fails. The program gives up and starts again."""
    if world.random.random() < 0.5:
        world.disk.fill_after(world.random.randrange(2000))
    else:
        world.disk.fail_sync(world.random.randrange(1, 20))


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_transaction_is_there_whole_or_not_at_all_whatever_crashes(seed: int) -> None:
    world = World(Random(seed), SimDisk(seed))
    log = world.open()
    for _ in range(6):
        world.disk.crash_at(world.random.randrange(1, 120))
        is_disk_failing = world.random.random() < 0.3
        if is_disk_failing:
            fail_the_disk(world)
        try:
            for _ in range(20):
                step = world.random.random()
                if step < 0.7:
                    world.copy_some(log)
                elif step < 0.85:
                    world.take_over(log)
                else:
                    log.maintain()
            is_killed = world.random.random() < 0.5
            if is_killed:
                world.disk.kill()
            else:
                log.close()
        except PowerCut:
            world.disk.crash()
        except (StorageError, RetriableError):
            # What a disk refused stays undecided; the program ends here, without closing anything. The
            # machine may go on, and with it an operating system that shows what the disk does not have.
            assert is_disk_failing
            if world.random.random() < 0.5:
                world.disk.crash()
            else:
                world.disk.kill()
        world.disk.fill_after(None)
        world.disk.fail_sync(None)
        log = world.open()
    log.close()
