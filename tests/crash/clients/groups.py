"""Membership in groups of the classic protocol, with a leader that hands out the partitions by turns."""

from __future__ import annotations

from time import monotonic
from typing import Final

from streamcore.log.api.error_codes import ErrorCode
from streamcore.log.protocol.consumer_protocol import (
    Subscription,
    decode_assignment,
    encode_assignment,
    encode_subscription,
)
from streamcore.log.protocol.messages.heartbeat import HeartbeatRequest
from streamcore.log.protocol.messages.join_group import JoinGroupRequest, JoinGroupRequestProtocol
from streamcore.log.protocol.messages.leave_group import LeaveGroupRequest, MemberIdentity
from streamcore.log.protocol.messages.sync_group import SyncGroupRequest, SyncGroupRequestAssignment
from streamcore.model import TopicPartition
from tests.crash.clients.client import Client
from tests.crash.clients.producing import RETRIABLE
from tests.crash.clients.world import now_us
from tests.histories.operations import Assigned, Place

_PROTOCOL: Final = "round-robin"
_BATCHED_LEAVING_FROM: Final = 3
_HEARTBEAT_S: Final = 0.1


class Membership:
    """A client's place in a group. See ``group_readers.GroupMembership``."""

    def __init__(self, client: Client, group: str, topics: tuple[str, ...], *, session_ms: int) -> None:
        self.group = group
        self.member_id = ""
        self.generation = -1
        self.places: list[Place] = []
        self.silence_ms = session_ms
        self.is_joined = False
        self._client = client
        self._topics = topics
        self._heartbeat_due_s = 0.0

    @property
    def epoch(self) -> int:
        """All members have that of the group."""
        return self.generation

    @property
    def round(self) -> int:
        """Places change with the generation."""
        return self.generation

    def join(self) -> None:
        """Take part in the next generation, if that is possible now. Raises ``NoAnswer``."""
        begun_us = now_us()
        answer = self._client.ask(self._join_request(), self._client.version_of("JoinGroup", 2, 9))
        code = ErrorCode(answer.error_code)
        if code is ErrorCode.MEMBER_ID_REQUIRED:
            self.member_id = answer.member_id
            return
        if code is not ErrorCode.NONE:
            self._refused(code)
            return
        self.member_id, self.generation = answer.member_id, answer.generation_id
        members = [each.member_id for each in answer.members] if answer.leader == self.member_id else []
        request = SyncGroupRequest(
            group_id=self.group,
            generation_id=self.generation,
            member_id=self.member_id,
            protocol_type="consumer",
            protocol_name=_PROTOCOL,
            assignments=self._assignments(members),
        )
        synced = self._client.ask(request, self._client.version_of("SyncGroup", 1, 5))
        if synced.error_code != ErrorCode.NONE:
            self._refused(ErrorCode(synced.error_code))
            return
        self.places = [Place(each.topic, each.partition) for each in decode_assignment(synced.assignment)]
        self.is_joined = True
        self._client.world.record(
            Assigned(
                client=self._client.name,
                begun_us=begun_us,
                ended_us=now_us(),
                group=self.group,
                member=self.member_id,
                generation=self.generation,
                places=tuple(map(str, self.places)),
            )
        )

    def _join_request(self) -> JoinGroupRequest:
        subscription = encode_subscription(Subscription(self._topics))
        return JoinGroupRequest(
            group_id=self.group,
            session_timeout_ms=self.silence_ms,
            rebalance_timeout_ms=1_500,
            member_id=self.member_id,
            protocol_type="consumer",
            protocols=[JoinGroupRequestProtocol(name=_PROTOCOL, metadata=subscription)],
        )

    def _assignments(self, members: list[str]) -> list[SyncGroupRequestAssignment]:
        places = self._client.world.places(*self._topics)
        return [
            SyncGroupRequestAssignment(
                member_id=member,
                assignment=encode_assignment(
                    [TopicPartition(*each) for each in places[index :: len(members)]]
                ),
            )
            for index, member in enumerate(members)
        ]

    def heartbeat(self) -> None:
        """Show that one is alive, now and then, and learn whether to join again. Raises ``NoAnswer``."""
        if monotonic() < self._heartbeat_due_s:
            return
        self._heartbeat_due_s = monotonic() + _HEARTBEAT_S
        request = HeartbeatRequest(
            group_id=self.group, generation_id=self.generation, member_id=self.member_id
        )
        answer = self._client.ask(request, self._client.version_of("Heartbeat", 0, 4))
        self.learn(ErrorCode(answer.error_code))

    def learn(self, code: ErrorCode) -> None:
        """Take an answer as news of one's membership."""
        if code is not ErrorCode.NONE and code not in RETRIABLE:
            self._refused(code)

    def _refused(self, code: ErrorCode) -> None:
        self.is_joined = False
        if code is ErrorCode.UNKNOWN_MEMBER_ID:
            self.member_id = ""
        expected = (
            *RETRIABLE,
            ErrorCode.UNKNOWN_MEMBER_ID,
            ErrorCode.ILLEGAL_GENERATION,
            ErrorCode.REBALANCE_IN_PROGRESS,
            ErrorCode.MEMBER_ID_REQUIRED,
        )
        assert code in expected, f"{code!r} in {self.group}"

    def leave(self) -> None:
        """Go, with a word. Raises ``NoAnswer``."""
        version = self._client.version_of("LeaveGroup", 0, 5)
        member_id, self.member_id, self.is_joined = self.member_id, "", False
        request = LeaveGroupRequest(group_id=self.group, member_id=member_id)
        if version >= _BATCHED_LEAVING_FROM:
            request = LeaveGroupRequest(
                group_id=self.group, members=[MemberIdentity(member_id=member_id, group_instance_id=None)]
            )
        self._client.ask(request, version)
