"""A log on a simulated disk with its group coordinator, and members of the newer protocol that talk to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from streamcore.clock import ManualClock
from streamcore.log.broker.groups.consumer_group import ConsumerGroup
from streamcore.log.broker.groups.coordinator import GroupCoordinator
from streamcore.log.broker.operations import Operation
from streamcore.log.broker.partition_id import PartitionId
from streamcore.log.broker.requests import ConsumerHeartbeat, ConsumerHeartbeatReply
from streamcore.log.broker.settings import BrokerSettings
from streamcore.testing.sim_disk import SimDisk
from tests.support.operated_log import OperatedLog

GROUP = "g"
HOST = "/10.0.0.1"


class GroupHouse:
    """The log; ``open`` again after a crash."""

    def __init__(self, seed: int = 1, settings: BrokerSettings | None = None) -> None:
        self.disk = SimDisk(seed)
        self.clock = ManualClock(1_700_000_000_000)
        self.settings = settings or BrokerSettings(unstable_wait_ms=0)
        self.log = self.open()

    def open(self) -> OperatedLog:
        self.log = OperatedLog.open(
            "/data", file_system=self.disk, clock=self.clock, settings=self.settings, maintenance=False
        )
        return self.log

    @property
    def groups(self) -> GroupCoordinator:
        return self.log.node.broker.groups

    def run(self, operation: Operation[object]) -> object:
        return self.log.node.driver.run(operation)

    def consumer_group(self) -> ConsumerGroup:
        group = self.groups.group(GROUP)
        assert isinstance(group, ConsumerGroup), group
        return group

    def topic_id(self, name: str) -> bytes:
        topic_id = self.groups.topics.id_of(name)
        assert topic_id is not None
        return topic_id

    def partitions(self, name: str, *partitions: int) -> set[PartitionId]:
        return {PartitionId(self.topic_id(name), number) for number in partitions}

    def pass_time(self, milliseconds: int) -> None:
        self.clock.advance(milliseconds)
        self.log.node.driver.expire_members()


@dataclass
class NewMember:
    """A member of the newer protocol, as a well-behaved client keeps its state."""

    house: GroupHouse
    name: str
    topics: Sequence[str] = ()
    pattern: str | None = None
    instance_id: str | None = None
    epoch: int = 0
    owned: set[PartitionId] = field(default_factory=set)

    def request(self, epoch: int, **changes: object) -> ConsumerHeartbeat:
        fields: dict[str, object] = {
            "group": GROUP,
            "member_id": self.name,
            "epoch": epoch,
            "instance_id": self.instance_id,
            "client_host": HOST,
        }
        return ConsumerHeartbeat(**(fields | changes))  # type: ignore[arg-type]

    def send(self, request: ConsumerHeartbeat) -> ConsumerHeartbeatReply:
        return self.house.log.node.driver.run(self.house.groups.consumer_heartbeat(request))

    def join(self, **changes: object) -> ConsumerHeartbeatReply:
        fields: dict[str, object] = {"rebalance_timeout_ms": 60_000, "topics": self.topics, "owned": set()}
        self.owned = set()
        return self._take(self.send(self.request(0, **(fields | {"pattern": self.pattern} | changes))))

    def beat(self, **changes: object) -> ConsumerHeartbeatReply:
        """Say what it owns, and follow what it is told at once."""
        return self._take(self.send(self.request(self.epoch, **({"owned": self.owned} | changes))))

    def leave(self, epoch: int = -1) -> ConsumerHeartbeatReply:
        reply = self.send(self.request(epoch))
        self.owned = set()
        return reply

    def _take(self, reply: ConsumerHeartbeatReply) -> ConsumerHeartbeatReply:
        self.epoch = reply.epoch
        if reply.assigned is not None:
            self.owned = set(reply.assigned)
        return reply
