"""Groups of both protocols on a disk that crashes: one owner a partition, and nothing forgotten.

Members of the newer protocol, of the classic one, and of both in one group join, follow and leave, commit
positions, fall silent, and see topics come, grow and go, while the coordinator's topic is compacted, the
power goes off at any operation and the process is killed. After every step:

* no partition is used by two members of a group that the group still counts on;
* no member of the newer protocol is at an epoch before one that it was told;
* a position that was acknowledged is there, or a later one.

And after a stop or a kill, which lose nothing, what is read back is what was there before.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from random import Random

import pytest

from streamcore.clock import ManualClock
from streamcore.log.broker.groups.classic_group import ClassicGroup
from streamcore.log.broker.groups.consumer_group import ConsumerGroup
from streamcore.log.broker.settings import BrokerSettings
from streamcore.log.client.embedded.log import EmbeddedLog
from streamcore.model import CommittedOffset, Membership, TopicPartition
from streamcore.testing.sim_disk import PowerCut, SimDisk
from tests.simulation.group_clients import SESSION_MS, ClassicClient, Client, NewClient, Waiting

SEEDS = int(os.environ.get("SIMULATION_SEEDS", "4"))
NEW, CLASSIC, MIXED = "new", "classic", "mixed"
SETTINGS = BrokerSettings(
    unstable_wait_ms=0,
    consumer_session_timeout_ms=SESSION_MS,
    internal_topic_config={
        "cleanup.policy": "compact",
        "segment.bytes": "6000",
        "delete.retention.ms": "0",
        "min.cleanable.dirty.ratio": "0",
        "retention.ms": "-1",
    },
)


@dataclass
class World:
    """A log, the members of its groups, and what they were promised."""

    random: Random
    disk: SimDisk
    clock: ManualClock = field(default_factory=lambda: ManualClock(1_700_000_000_000))
    clients: dict[str, Client] = field(default_factory=dict)
    positions: dict[tuple[str, TopicPartition], int] = field(default_factory=dict)
    next_number: int = 0

    def open(self) -> EmbeddedLog:
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
                if "a" not in log.topics():
                    log.create_topic("a", partitions=3)
                self.disk.crash_at(None)
                return log
            except PowerCut:
                self.disk.crash()

    # --- what happens ---------------------------------------------------------------------------

    def step(self, log: EmbeddedLog) -> None:
        random = self.random
        match random.randrange(20):
            case 0 if len(self.clients) < 7:
                self.come()
            case 1 if self.clients:
                self.leave(log, random.choice(list(self.clients)))
            case 2:
                self.clock.advance(random.choice((1_000, SESSION_MS // 3, SESSION_MS)))
                log.node.driver.expire_members()
            case 3:
                self.change_topics(log)
            case 4:
                log.maintain()
            case 5 | 6 if self.clients:
                self.commit(log, random.choice(list(self.clients.values())))
            case 7 if self.clients:
                random.choice(list(self.clients.values())).forget()
            case _ if self.clients:
                random.choice(list(self.clients.values())).act(log)
            case _:
                self.come()
        self.notice_who_is_out(log)

    def come(self) -> None:
        group = self.random.choice((NEW, CLASSIC, MIXED))
        is_new = group == NEW or (group == MIXED and self.random.random() < 0.5)
        name = f"m{self.next_number}"
        self.next_number += 1
        topics = self.random.choice((("a",), ("a", "b")))
        kind = NewClient if is_new else ClassicClient
        self.clients[name] = kind(name, group, topics)

    def leave(self, log: EmbeddedLog, name: str) -> None:
        client = self.clients.pop(name)
        if client.member_id() and self.random.random() < 0.7:
            Waiting(log, log.node.broker.groups.leave(client.group, client.member_id()))

    def change_topics(self, log: EmbeddedLog) -> None:
        topics = log.topics()
        if "b" not in topics:
            log.create_topic("b", partitions=self.random.randrange(1, 4))
        elif self.random.random() < 0.3:
            # From here on nothing is promised of it any more, whatever becomes of the deletion.
            self.positions = {key: at for key, at in self.positions.items() if key[1].topic != "b"}
            for client in self.clients.values():
                client.used = {place for place in client.used if place.topic != "b"}
            log.delete_topic("b")
        else:
            log.alter_topic("b", partitions=topics["b"].partition_count + 1)

    def commit(self, log: EmbeddedLog, client: Client) -> None:
        if not client.used:
            return
        place = self.random.choice(sorted(client.used))
        self.next_number += 1
        membership = Membership(client.member_id(), client.epoch_told())
        committing = Waiting(
            log,
            log.node.broker.groups.commit_offsets(
                client.group, {place: CommittedOffset(self.next_number)}, membership, knows_epochs=True
            ),
        )
        if committing.refused is None:
            self.positions[client.group, place] = self.next_number

    def notice_who_is_out(self, log: EmbeddedLog) -> None:
        """Who was taken out, or is of another generation, has lost its partitions without knowing it."""
        for client in self.clients.values():
            group = log.node.broker.groups.group(client.group)
            is_in = group is not None and client.member_id() in group.members
            is_old = isinstance(group, ClassicGroup) and client.epoch_told() != group.generation
            if not is_in or is_old:
                client.used = set()

    # --- what must hold -------------------------------------------------------------------------

    def check(self, log: EmbeddedLog) -> None:
        for name in (NEW, CLASSIC, MIXED):
            members = [client for client in self.clients.values() if client.group == name]
            users: dict[TopicPartition, str] = {}
            for client in members:
                for place in client.used:
                    other = users.setdefault(place, client.name)
                    assert other == client.name, f"{place} of {name} is used by {other} and {client.name}"
            group = log.node.broker.groups.group(name)
            if isinstance(group, ConsumerGroup):
                for client in members:
                    member = group.members.get(client.member_id())
                    if member is not None and isinstance(client, NewClient):
                        assert member.holding.epoch >= client.epoch, f"{client.name} went back"
        for (name, place), at in self.positions.items():
            committed = log.committed(name).get(place)
            assert committed is not None, f"the position of {name} in {place} is gone"
            assert committed.offset >= at

    def snapshot(self, log: EmbeddedLog) -> dict[str, object]:
        """What of the groups is stored."""
        stored: dict[str, object] = {}
        for name in (NEW, CLASSIC, MIXED):
            group = log.node.broker.groups.group(name)
            stored[f"{name} positions"] = log.committed(name)
            if isinstance(group, ConsumerGroup):
                stored[name] = (
                    group.epoch,
                    group.topics_hash,
                    group.target_epoch,
                    group.members,
                    group.targets,
                    group.patterns,
                    group.owners,
                )
            elif group is not None and group.since_ms >= 0 and group.state.value in ("Stable", "Empty"):
                parts = {each.member_id: each.assignment for each in group.members.values()}
                stored[name] = (group.generation, group.protocol, parts)
        return stored


def expect_the_same(before: dict[str, object], after: dict[str, object]) -> None:
    for name, stored in before.items():
        assert after.get(name) == stored, name


@pytest.mark.parametrize("seed", range(SEEDS))
def test_nobody_gets_what_another_one_uses_and_nothing_is_forgotten(seed: int) -> None:
    world = World(Random(seed), SimDisk(seed))
    log = world.open()
    for _ in range(5):
        world.disk.crash_at(world.random.choice((None, world.random.randrange(1, 250))))
        before: dict[str, object] | None = None
        try:
            for _ in range(80):
                world.step(log)
                world.check(log)
            if world.random.random() < 0.5:
                before = world.snapshot(log)
                world.disk.kill()
            else:
                log.close()
        except PowerCut:
            world.disk.crash()
        log = world.open()
        if before is not None:
            expect_the_same(before, world.snapshot(log))
        for client in world.clients.values():
            if isinstance(client, ClassicClient):
                client.joining = client.syncing = None
        world.notice_who_is_out(log)
        world.check(log)
    log.close()
