"""Members of groups as programs keep them, for simulations: what they were told, and what they use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from streamcore.log.broker.api_errors import ApiError
from streamcore.log.broker.operations import Completed, DurableUntil, Operation
from streamcore.log.broker.partition_id import PartitionId
from streamcore.log.broker.requests import ConsumerHeartbeat, JoinReply, JoinRequest, SyncRequest
from streamcore.log.client.embedded.log import EmbeddedLog
from streamcore.log.node.operation_driver import Ended
from streamcore.log.protocol.consumer_protocol import (
    Subscription,
    decode_assignment,
    encode_assignment,
    encode_subscription,
)
from streamcore.model import Membership, TopicPartition

HOST = "/10.0.0.1"
SESSION_MS = 30_000


class Waiting:
    """An operation that waits for other members; asked again and again, until it has come to its reply."""

    def __init__(self, log: EmbeddedLog, operation: Operation[Any]) -> None:
        self._log = log
        self._operation = operation
        self.reply: object = None
        self.refused: ApiError | None = None
        self.is_over = False
        self._waits_for: Completed | None = None
        self.go_on()

    def go_on(self) -> None:
        if self.is_over or (self._waits_for is not None and not self._waits_for.promise.is_done):
            return
        try:
            while True:
                step = self._log.node.driver.step(self._operation)
                if isinstance(step, Ended):
                    self.reply, self.is_over = step.reply, True
                    return
                if isinstance(step, DurableUntil):
                    self._log.node.driver.sync_all()
                elif isinstance(step, Completed) and not step.promise.is_done:
                    self._waits_for = step
                    return
        except ApiError as refused:
            self.refused, self.is_over = refused, True


@dataclass
class Client:
    """What all members have."""

    name: str
    group: str
    topics: tuple[str, ...]
    used: set[TopicPartition] = field(default_factory=set)
    """The partitions that it works on."""

    def member_id(self) -> str:
        return self.name

    def epoch_told(self) -> int:
        """The epoch or generation that it knows; 0 or less if none."""
        raise NotImplementedError

    def act(self, log: EmbeddedLog) -> None:
        """One request, as a program would send it next."""
        raise NotImplementedError

    def forget(self) -> None:
        """Its connection, its session or the broker is gone: begin anew."""
        raise NotImplementedError


@dataclass
class NewClient(Client):
    """A member of the newer protocol."""

    epoch: int = 0

    def epoch_told(self) -> int:
        return self.epoch

    def act(self, log: EmbeddedLog) -> None:
        topics = log.node.broker.groups.topics
        owned = {
            PartitionId(topic_id, place.partition)
            for place in self.used
            if (topic_id := topics.id_of(place.topic)) is not None
        }
        request = ConsumerHeartbeat(
            group=self.group,
            member_id=self.name,
            epoch=self.epoch,
            topics=self.topics,
            owned=owned,
            rebalance_timeout_ms=SESSION_MS,
            client_host=HOST,
        )
        waiting = Waiting(log, log.node.broker.groups.consumer_heartbeat(request))
        assert waiting.is_over
        if waiting.refused is not None:
            self.forget()
            return
        reply: Any = waiting.reply
        self.epoch = reply.epoch
        if reply.assigned is not None:
            self.used = {
                TopicPartition(name, place.partition)
                for place in reply.assigned
                if (name := topics.name_of(place.topic_id)) is not None
            }

    def forget(self) -> None:
        self.epoch = 0
        self.used = set()


@dataclass
class ClassicClient(Client):
    """A member of the classic protocol that gives everything up before it joins."""

    id: str = ""
    generation: int = -1
    joining: Waiting | None = None
    syncing: Waiting | None = None

    def member_id(self) -> str:
        return self.id

    def epoch_told(self) -> int:
        return self.generation

    def act(self, log: EmbeddedLog) -> None:
        if self.joining is not None:
            self._go_on_joining(log)
        elif self.syncing is not None:
            self._go_on_syncing()
        elif self.generation < 0:
            self._join(log)
        else:
            membership = Membership(self.id, self.generation)
            beat = Waiting(log, log.node.broker.groups.heartbeat(self.group, membership))
            if beat.refused is not None:
                self._rejoin(beat.refused)

    def _join(self, log: EmbeddedLog) -> None:
        self.used = set()
        request = JoinRequest(
            group=self.group,
            protocols=(("range", encode_subscription(Subscription(self.topics))),),
            member_id=self.id,
            session_timeout_ms=SESSION_MS,
            rebalance_timeout_ms=SESSION_MS,
            client_id=self.name,
            client_host=HOST,
        )
        self.joining = Waiting(log, log.node.broker.groups.join(request))
        self._go_on_joining(log)

    def _go_on_joining(self, log: EmbeddedLog) -> None:
        assert self.joining is not None
        self.joining.go_on()
        if not self.joining.is_over:
            return
        joined, self.joining = self.joining, None
        if joined.refused is not None:
            self._rejoin(joined.refused)
            return
        assert isinstance(joined.reply, JoinReply)
        reply = joined.reply
        self.id, self.generation = reply.member_id, reply.generation
        assignments = _divided(log, reply) if reply.is_leader else {}
        membership = Membership(self.id, self.generation)
        self.syncing = Waiting(
            log, log.node.broker.groups.sync(SyncRequest(self.group, membership, assignments))
        )
        self._go_on_syncing()

    def _go_on_syncing(self) -> None:
        assert self.syncing is not None
        self.syncing.go_on()
        if not self.syncing.is_over:
            return
        synced, self.syncing = self.syncing, None
        if synced.refused is not None:
            self._rejoin(synced.refused)
            return
        reply: Any = synced.reply
        self.used = set(decode_assignment(reply.assignment))

    def _rejoin(self, refused: ApiError) -> None:
        if refused.refusal.name == "UNKNOWN_MEMBER_ID":
            self.id = ""
        self.generation, self.used = -1, set()

    def forget(self) -> None:
        self.id, self.generation = "", -1
        self.joining = self.syncing = None
        self.used = set()


def _divided(log: EmbeddedLog, reply: JoinReply) -> dict[str, bytes]:
    """Every partition of the members' topics to one of them, in turn."""
    counts = {name: topic.partition_count for name, topic in log.node.broker.topics.items()}
    places = [TopicPartition(name, n) for name in ("a", "b") for n in range(counts.get(name, 0))]
    members = sorted(member.member_id for member in reply.members)
    parts: dict[str, Sequence[TopicPartition]] = {
        member: places[index :: len(members)] for index, member in enumerate(members)
    }
    return {member: encode_assignment(part) for member, part in parts.items()}
