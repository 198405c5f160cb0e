"""Membership in groups of the newer protocol (KIP-848): the broker says with heartbeats what is whose."""

from __future__ import annotations

import uuid
from time import monotonic
from typing import Final

from streamcore.log.api.error_codes import ErrorCode
from streamcore.log.protocol.messages.consumer_group_heartbeat import (
    Assignment,
    ConsumerGroupHeartbeatRequest,
    TopicPartitions,
)
from streamcore.log.protocol.messages.metadata import MetadataRequest, MetadataRequestTopic
from tests.crash.clients.client import Client
from tests.crash.clients.producing import RETRIABLE
from tests.histories.operations import Place

_HEARTBEAT_S: Final = 0.05
_LEAVING: Final = -1
_REBALANCE_MS: Final = 2_000
_VERSION: Final = 1


class NewerMembership:
    """A client's place in a group. See ``group_readers.GroupMembership``."""

    def __init__(self, client: Client, group: str, topics: tuple[str, ...]) -> None:
        self.group = group
        self.member_id = uuid.UUID(int=client.random.getrandbits(128)).hex
        self.generation = -1
        self.epoch = 0
        self.round = 0
        self.places: list[Place] = []
        self.silence_ms = _REBALANCE_MS
        self._client = client
        self._topics = topics
        self._ids: dict[bytes, str] = {}
        self._heartbeat_due_s = 0.0
        self._has_changed = False

    @property
    def is_joined(self) -> bool:
        """Whether the broker knows it as a member."""
        return self.epoch > 0

    def join(self) -> None:
        """Ask to become a member; places come with later heartbeats. Raises ``NoAnswer``."""
        if not self._ids:
            self._learn_ids()
        self.places = []
        self.round += 1
        self._beat(epoch=0, is_full=True)

    def heartbeat(self) -> None:
        """Show that one is alive, take what is given, give up what is taken. Raises ``NoAnswer``."""
        if self._has_changed or monotonic() >= self._heartbeat_due_s:
            self._beat(epoch=self.epoch, is_full=self._has_changed)

    def _beat(self, *, epoch: int, is_full: bool) -> None:
        request = ConsumerGroupHeartbeatRequest(
            group_id=self.group,
            member_id=self.member_id,
            member_epoch=epoch,
            rebalance_timeout_ms=_REBALANCE_MS if is_full else -1,
            subscribed_topic_names=list(self._topics) if is_full else None,
            topic_partitions=self._owned() if is_full else None,
        )
        answer = self._client.ask(request, _VERSION)
        self._heartbeat_due_s = monotonic() + _HEARTBEAT_S
        if answer.error_code != ErrorCode.NONE:
            self.learn(ErrorCode(answer.error_code))
            return
        self.epoch = answer.member_epoch
        self._has_changed = False
        if answer.assignment is not None:
            self._take(answer.assignment)

    def _take(self, assignment: Assignment) -> None:
        places = [
            Place(self._ids[bytes(topic.topic_id)], partition)
            for topic in assignment.topic_partitions
            for partition in topic.partitions
        ]
        if places != self.places:
            self.places = places
            self.round += 1
            self._has_changed = True

    def _owned(self) -> list[TopicPartitions]:
        return [
            TopicPartitions(
                topic_id=topic_id,
                partitions=[place.partition for place in self.places if place.topic == name],
            )
            for topic_id, name in self._ids.items()
            if any(place.topic == name for place in self.places)
        ]

    def learn(self, code: ErrorCode) -> None:
        """Take an answer as news of one's membership."""
        if code in (*RETRIABLE, ErrorCode.NONE, ErrorCode.STALE_MEMBER_EPOCH):
            return
        assert code in (ErrorCode.UNKNOWN_MEMBER_ID, ErrorCode.FENCED_MEMBER_EPOCH), (
            f"{code!r} in {self.group}"
        )
        self.epoch = 0

    def leave(self) -> None:
        """Go, with a word. Raises ``NoAnswer``."""
        self.epoch = 0
        request = ConsumerGroupHeartbeatRequest(
            group_id=self.group, member_id=self.member_id, member_epoch=_LEAVING
        )
        self._client.ask(request, _VERSION)

    def _learn_ids(self) -> None:
        wanted = [MetadataRequestTopic(name=name) for name in self._topics]
        answer = self._client.ask(MetadataRequest(topics=wanted, allow_auto_topic_creation=False), 12)
        self._ids = {bytes(topic.topic_id): topic.name for topic in answer.topics}
