"""Groups of the newer protocol, whoever joins, leaves, falls silent or changes its mind, in whatever order.

Members do what clients do: they keep what they are told, give up what is taken, and say so in the next
heartbeat; answers get lost, members die without a word, the broker loses everything but its records. After
every step:

* no partition is in use at two members at once, whoever of them has heard of it;
* no epoch goes back, neither the group's nor a member's;
* what the records say is what the group is.

And when things calm down, everybody comes to the target, which gives each partition to somebody.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from random import Random
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamcore.log.broker.groups.changes import advance, refresh, remove, retarget, subscribe
from streamcore.log.broker.groups.consumer_group import ConsumerGroup, ConsumerGroupState
from streamcore.log.broker.groups.consumer_group_member import ConsumerMember, MemberProfile
from streamcore.log.broker.groups.consumer_group_records import (
    decode_consumer_group_key,
    decode_consumer_group_value,
    encode_consumer_group_record,
)
from streamcore.log.broker.groups.draft import GroupDraft
from streamcore.log.broker.groups.records import GroupKey
from streamcore.log.broker.groups.topics import GroupTopics
from streamcore.log.broker.partition_id import PartitionId
from streamcore.log.broker.requests import all_topics
from streamcore.log.storage.topics.topic_registry import TopicState

NAMES = ("a", "b", "ab")


class Topics:
    """Topics that come, grow and go."""

    def __init__(self) -> None:
        self.topics: dict[str, TopicState] = {}
        self.names: dict[bytes, str] = {}
        self.change_count = 0
        self._next_id = 1

    def change(self, name: str, partition_count: int) -> None:
        old = self.topics.pop(name, None)
        if partition_count:
            topic_id = UUID(int=self._next_id) if old is None else old.topic_id
            self._next_id += 1
            count = max(partition_count, 0 if old is None else old.partition_count)
            self.topics[name] = TopicState(name, topic_id, count)
        self.change_count += 1
        self.names = {topic.topic_id.bytes: topic.name for topic in self.topics.values()}


@dataclass
class Client:
    """What a member knows of itself."""

    epoch: int = 0
    owned: set[PartitionId] = field(default_factory=set)
    topics: tuple[str, ...] = ()
    pattern: str = ""
    assignor: str | None = None


class World:
    def __init__(self, random: Random) -> None:
        self.random = random
        self.source = Topics()
        self.topics = GroupTopics(self.source)
        self.group = ConsumerGroup("g")
        self.records: list[tuple[bytes, bytes | None]] = []
        self.clients: dict[str, Client] = {}
        self.highest_epoch = 0
        self.member_epochs: dict[str, int] = {}

    # --- the broker -----------------------------------------------------------------------------

    def commit(self, draft: GroupDraft) -> None:
        for record in draft.records:
            key, value = record
            assert not isinstance(key, GroupKey)
            self.records.append(encode_consumer_group_record((key, value)))  # type: ignore[arg-type]
            self.group.replay(key, value)  # type: ignore[arg-type]
        self.group.topics_version = draft.group.topics_version

    def replayed(self) -> ConsumerGroup:
        group = ConsumerGroup("g")
        for key, value in self.records:
            decoded = decode_consumer_group_key(key)
            assert decoded is not None
            group.replay(decoded, None if value is None else decode_consumer_group_value(decoded.kind, value))
        return group

    # --- what happens ---------------------------------------------------------------------------

    def heartbeat(self, name: str, *, is_answer_lost: bool = False) -> None:
        client = self.clients[name]
        draft = GroupDraft(self.group)
        member = self.group.members.get(name, ConsumerMember(name))
        holding = member.holding
        has_lost_answer = client.epoch == holding.previous_epoch and client.owned <= holding.assigned.keys()
        if client.epoch not in (0, holding.epoch) and not has_lost_answer:
            self.rejoin(name)  # fenced
            return
        profile = MemberProfile(topics=client.topics, pattern=client.pattern, assignor=client.assignor)
        has_new_subscription = subscribe(draft, member, profile, self.topics, 0, all_topics)
        retarget(draft, self.topics, 0)
        holding = advance(
            draft, name, self.topics, client.owned.copy(), has_new_subscription=has_new_subscription
        )
        self.commit(draft)
        if not is_answer_lost:
            client.epoch, client.owned = holding.epoch, set(holding.assigned)

    def rejoin(self, name: str) -> None:
        client = self.clients[name]
        client.epoch, client.owned = 0, set()
        self.heartbeat(name)

    def step(self) -> None:
        random = self.random
        match random.randrange(12):
            case 0:
                self.source.change(random.choice(NAMES), random.randrange(5))
            case 1 | 2:
                name = f"m{random.randrange(6)}"
                if name not in self.clients:
                    self.clients[name] = Client()
                    self.resubscribe(name)
                    self.heartbeat(name, is_answer_lost=random.random() < 0.1)
            case 3 if self.clients:
                self.take_out([random.choice(list(self.clients))])
            case 4 if self.clients:
                self.resubscribe(random.choice(list(self.clients)))
            case 5 if self.clients:
                self.rejoin(random.choice(list(self.clients)))
            case 6:
                self.restart()
            case _ if self.clients:
                name = random.choice(list(self.clients))
                self.heartbeat(name, is_answer_lost=random.random() < 0.1)
            case _:
                pass

    def resubscribe(self, name: str) -> None:
        client = self.clients[name]
        client.topics = tuple(sorted(self.random.sample(NAMES, self.random.randrange(3))))
        client.pattern = self.random.choice(("", "", "a.*", ".*b"))
        client.assignor = self.random.choice((None, "uniform", "range"))

    def take_out(self, names: list[str]) -> None:
        draft = GroupDraft(self.group)
        members = [self.group.members[name] for name in names if name in self.group.members]
        remove(draft, members, self.topics)
        self.commit(draft)
        for name in names:
            del self.clients[name]
            self.member_epochs.pop(name, None)

    def restart(self) -> None:
        self.group = self.replayed()

    # --- what must hold -------------------------------------------------------------------------

    def check(self) -> None:
        users: dict[PartitionId, str] = {}
        for name, client in self.clients.items():
            for place in client.owned:
                assert users.setdefault(place, name) == name, f"{place} is used by {users[place]} and {name}"
        held: dict[PartitionId, str] = {}
        for member in self.group.members.values():
            for place in member.holding.partitions:
                assert held.setdefault(place, member.member_id) == member.member_id, place
            before = self.member_epochs.get(member.member_id, 0)
            assert member.holding.epoch >= before, "a member's epoch went back"
            self.member_epochs[member.member_id] = member.holding.epoch
        assert held == self.group.owners
        assert self.group.epoch >= self.highest_epoch, "the group's epoch went back"
        assert self.group.target_epoch <= self.group.epoch
        self.highest_epoch = self.group.epoch

    def settle(self) -> None:
        for _ in range(6):
            for name in list(self.clients):
                self.heartbeat(name)
                self.check()

    def check_settled(self) -> None:
        expected = ConsumerGroupState.STABLE if self.clients else ConsumerGroupState.EMPTY
        assert self.group.state is expected
        for name, client in self.clients.items():
            assert client.owned == self.group.target_of(name)
            assert client.epoch == self.group.target_epoch
        wanted = {
            PartitionId(topic_id, number)
            for topic_id, count in self.topics.counts(self.group.subscribed_topics()).items()
            for number in range(count)
        }
        assert set().union(*(client.owned for client in self.clients.values())) == wanted


@given(seed=st.integers(0, 2**32), steps=st.integers(1, 60))
def test_no_partition_has_two_users_and_everybody_comes_to_the_target(seed: int, steps: int) -> None:
    world = World(Random(seed))

    for _ in range(steps):
        world.step()
        world.check()
    world.settle()

    world.check_settled()


@given(seed=st.integers(0, 2**32))
def test_the_records_say_what_the_group_is(seed: int) -> None:
    world = World(Random(seed))
    for _ in range(40):
        world.step()

    again = world.replayed()

    assert again == replace(world.group, topics_version=again.topics_version)


def test_a_draft_that_is_thrown_away_has_changed_nothing() -> None:
    world = World(Random(1))
    world.source.change("a", 3)
    world.clients["m"] = Client(topics=("a",))
    world.heartbeat("m")
    before = world.replayed()

    draft = GroupDraft(world.group)
    remove(draft, list(world.group.members.values()), world.topics)

    assert world.group.members == before.members
    assert world.group.owners == before.owners
    assert draft.group.members == {}


@pytest.mark.parametrize("seed", range(3))
def test_a_topic_that_nobody_subscribes_to_changes_no_epoch(seed: int) -> None:
    world = World(Random(seed))
    world.source.change("a", 3)
    world.clients["m"] = Client(topics=("a",))
    world.heartbeat("m")
    epoch = world.group.epoch

    world.source.change("unrelated", 5)
    world.heartbeat("m")
    draft = GroupDraft(world.group)
    refresh(draft, world.topics, 0, all_topics)

    assert world.group.epoch == epoch
    assert draft.records == []
