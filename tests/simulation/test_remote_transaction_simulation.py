"""Producers that outlive the log: whatever crashes, each transaction is what its producer was told.

Three transactional ids, of both versions of transactions, are used by producers that ask until they are
answered. The power goes off at random file operations, disks refuse, time aborts, newer producers take over
while older ones go on, and batches arrive after their transaction has ended. Now and then, and at the end:

* a transaction whose commit was answered is visible, each of its records once; one whose abort was answered,
  or that was refused, is not; what was once seen to be, stays;
* so is the position that was committed in it;
* no batch that came late is ever visible;
* nothing stays undecided.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import TypeVar

import pytest

from streamcore.clock import ManualClock
from streamcore.errors import StorageError, StreamCoreError
from streamcore.log.broker.api_errors import ApiError, ErrorName
from streamcore.log.broker.broker import Broker
from streamcore.log.broker.operations import Operation, Wait
from streamcore.log.broker.settings import BrokerSettings
from streamcore.log.client.embedded.log import EmbeddedLog
from streamcore.model import TopicPartition
from streamcore.testing.sim_disk import PowerCut, SimDisk
from tests.simulation.remote_producer import RemoteProducer, Transaction, produced

R = TypeVar("R")

SEEDS = int(os.environ.get("SIMULATION_SEEDS", "4"))
INPUT = TopicPartition("input", 0)
OUTPUTS = [TopicPartition("output", index) for index in range(2)]
VERSIONS = {"older": 0, "newer": 2, "newest": 2}
ATTEMPTS_MAX = 30
LATE = b"late"

SETTINGS = BrokerSettings(
    unstable_wait_ms=0,
    producer_id_block_count=2,
    internal_topic_config={
        "cleanup.policy": "compact",
        "segment.bytes": "900",
        "delete.retention.ms": "0",
        "min.cleanable.dirty.ratio": "0",
        "retention.ms": "-1",
    },
)


class World:
    """The log, its disk, its clock, the producers, and what they were told."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.clock = ManualClock(1_700_000_000_000)
        self.disk = SimDisk(seed, clock=self.clock)
        self.transactions: list[Transaction] = []
        self.late: list[tuple[str, int, TopicPartition, bytes]] = []
        self.restart_count = 0
        self.is_calm = True
        self.log: EmbeddedLog = self.opened()
        self.producers = {
            name: RemoteProducer(self, name, version=version) for name, version in VERSIONS.items()
        }

    # --- the log ----------------------------------------------------------------------------------

    def opened(self) -> EmbeddedLog:
        """Open the log, however often the power goes off meanwhile."""
        self.disk.fill_after(None)
        self.disk.fail_sync(None)
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
                for topic in ("input", "output"):
                    if topic not in log.topics():
                        log.create_topic(topic, partitions=2, config={"retention.ms": "-1"})
                self.disk.crash_at(None)
            except PowerCut:
                self.disk.crash()
                continue
            return log

    def restart(self) -> None:
        """End the log as it stands, and open it again."""
        self.restart_count += 1
        if self.random.random() < 0.7:
            self.disk.crash()
        else:
            self.disk.kill()
        self.log = self.opened()
        self.threaten()

    def threaten(self) -> None:
        """Let something go wrong soon."""
        if self.is_calm:
            return
        chance = self.random.random()
        if chance < 0.6:
            self.disk.crash_at(self.random.randrange(1, 80))
        elif chance < 0.7:
            self.disk.fill_after(self.random.randrange(3000))
        elif chance < 0.8:
            self.disk.fail_sync(self.random.randrange(1, 20))

    def ask(self, asked: Callable[[Broker], Operation[R]]) -> R:
        """Have a request answered, asking again after each crash. Raises ``ApiError``."""
        for _ in range(ATTEMPTS_MAX):
            try:
                return driven(self.log, asked(self.log.node.broker))
            except (PowerCut, StorageError):
                self.restart()
            except ApiError as refused:
                if refused.refusal is not ErrorName.CONCURRENT_TRANSACTIONS:
                    raise
                self.attempt(self.log.maintain)
        raise AssertionError("a request is never answered")

    def attempt(self, work: Callable[[], object]) -> None:
        """Do something that may be cut short."""
        try:
            work()
        except (PowerCut, StorageError):
            self.restart()

    # --- steps ------------------------------------------------------------------------------------

    def transact(self) -> None:
        """One transaction, from its first batch to the answer to its ending."""
        producer = self.producers[self.random.choice(list(self.producers))]
        transaction = Transaction(len(self.transactions), producer.name)
        self.transactions.append(transaction)
        is_commit = self.random.random() < 0.7
        try:
            self.fill(producer, transaction)
            if self.random.random() < 0.15:
                self.leave_behind(producer)
                is_commit = False
        except StreamCoreError as error:
            raise AssertionError(f"{transaction} was not taken") from error
        except ApiError:
            transaction.outcome = False
            self.replace_or_recover(producer)
            return
        restart_count = self.restart_count
        try:
            producer.end(commit=is_commit)
            transaction.outcome = is_commit
        except ApiError:
            # A commit that was carried out before a crash may be refused once somebody newer is there.
            if self.restart_count == restart_count or not is_commit:
                transaction.outcome = False
            self.replace_or_recover(producer)
            return
        if not is_commit and producer.version < 2 and self.late:
            self.replace_or_recover(producer)

    def fill(self, producer: RemoteProducer, transaction: Transaction) -> None:
        """Records for some partitions, and perhaps a position."""
        for target in self.random.sample(OUTPUTS, self.random.randrange(1, 3)):
            for part in range(self.random.randrange(1, 3)):
                values = [b"%d-%d-%d" % (transaction.number, part, index) for index in range(2)]
                transaction.records.setdefault(target, []).extend(values)
                batch = bytes(producer.encoded(target, values))
                producer.send(target, batch)
                if self.random.random() < 0.2:
                    producer.send(target, batch)
        if self.random.random() < 0.5:
            transaction.has_offsets = True
            producer.commit_position(INPUT, transaction.number + 1)
        if self.random.random() < 0.1:
            self.clock.advance(61_000)
            self.attempt(self.log.maintain)

    def leave_behind(self, producer: RemoteProducer) -> None:
        """A batch goes out and does not arrive yet; its producer gives up on it and aborts."""
        target = self.random.choice(OUTPUTS)
        self.late.append((producer.name, producer.version, target, bytes(producer.encoded(target, [LATE]))))

    def deliver_late(self) -> None:
        """A batch arrives whose transaction has long ended."""
        if not self.late:
            return
        name, version, target, batch = self.late.pop(self.random.randrange(len(self.late)))
        with pytest.raises((ApiError, StreamCoreError)):
            self.ask(lambda broker: produced(broker, name, version, target, batch))

    def replace_or_recover(self, producer: RemoteProducer) -> None:
        """Go on with the next epoch, or, where that is not given, as a new instance."""
        try:
            producer.recover()
        except ApiError:
            self.producers[producer.name] = RemoteProducer(self, producer.name, version=producer.version)

    def take_over(self) -> None:
        """A newer instance comes, perhaps of another version, while the older one has a transaction open."""
        name = self.random.choice(list(self.producers))
        older = self.producers[name]
        transaction = Transaction(len(self.transactions), name, outcome=False)
        self.transactions.append(transaction)
        try:
            self.fill(older, transaction)
        except ApiError:
            self.replace_or_recover(older)
            return
        newer = RemoteProducer(self, name, version=self.random.choice([0, 2]))
        self.producers[name] = newer
        with pytest.raises(ApiError):
            older.end(commit=True)
        with pytest.raises(ApiError):
            older.recover()
        with pytest.raises((ApiError, StreamCoreError)):
            older.send(OUTPUTS[0], bytes(older.encoded(OUTPUTS[0], [LATE])))

    def maintain(self) -> None:
        """Upkeep, compaction of the coordinators' topics among it."""
        self.attempt(self.log.maintain)

    # --- what must hold ---------------------------------------------------------------------------

    def settle(self) -> None:
        """Stop all disturbance; no producer has a transaction open."""
        self.is_calm = True
        self.restart()
        self.clock.advance(61_000)
        self.log.maintain()

    def check(self) -> None:
        """Everything that the module promises."""
        self.settle()
        visible = {output: visible_values(self.log, output) for output in OUTPUTS}
        for transaction in self.transactions:
            seen = {
                output: [visible[output][value] for value in values]
                for output, values in transaction.records.items()
            }
            counts = {count for each in seen.values() for count in each}
            assert counts in (set(), {0}, {1}), f"torn or repeated: {transaction} {seen}"
            if counts:
                is_visible = counts == {1}
                assert transaction.outcome in (None, is_visible), f"{transaction} is visible: {is_visible}"
                transaction.outcome = is_visible
        assert not any(counts[LATE] for counts in visible.values()), "a late batch is visible"
        for name in VERSIONS:
            self.check_position(name)

    def check_position(self, name: str) -> None:
        """A group's position is that of the last committed transaction that had one."""
        committed = self.log.committed(f"group-of-{name}").get(INPUT)
        numbers = [
            each.number
            for each in self.transactions
            if each.producer == name and each.has_offsets and each.outcome
        ]
        assert (0 if committed is None else committed.offset) == max(numbers, default=-1) + 1


def driven(log: EmbeddedLog, operation: Operation[R]) -> R:
    """Drive an operation as the server does: what is refused keeps Kafka's name."""
    try:
        while True:
            log.node.driver.run(_once(next(operation)))
    except StopIteration as stop:
        reply: R = stop.value
        return reply


def _once(wait: Wait) -> Operation[None]:
    yield wait


def visible_values(log: EmbeddedLog, output: TopicPartition) -> Counter[bytes]:
    """What readers of committed data see, to the end."""
    reader = log.reader()
    reader.assign({output: 0})
    seen: Counter[bytes] = Counter()
    while (run := reader.fetch(output, bytes_max=500)) is not None:
        seen.update(value or b"" for value in run.values)
    assert reader.position(output) == log.offsets([output])[output].high_watermark, "undecided"
    return seen


STEPS: dict[Callable[[World], None], int] = {
    World.transact: 12,
    World.deliver_late: 3,
    World.take_over: 2,
    World.maintain: 2,
    World.check: 1,
}


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_transaction_is_what_its_producer_was_told_whatever_crashes(seed: int) -> None:
    world = World(seed)
    for _ in range(25):
        world.is_calm = False
        world.threaten()
        world.random.choices(list(STEPS), list(STEPS.values()))[0](world)

    world.check()
    world.log.close()
    world.log = world.opened()
    world.check()
