"""The classic protocol's requests to groups of that protocol: JoinGroup, SyncGroup, Heartbeat, LeaveGroup."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Final

from streamcore.errors import StreamCoreError
from streamcore.log.broker.api_errors import ApiError, ErrorName
from streamcore.log.broker.groups.classic_generation import stored_generation
from streamcore.log.broker.groups.classic_group import ClassicGroup
from streamcore.log.broker.groups.classic_joining import join
from streamcore.log.broker.groups.store import GroupStore, kept
from streamcore.log.broker.operations import Operation
from streamcore.log.broker.requests import (
    IN_PROCESS_HOST,
    JoinReply,
    JoinRequest,
    Leaving,
    SyncReply,
    SyncRequest,
)
from streamcore.log.broker.settings import BrokerSettings
from streamcore.model import Membership

_NO_NAME: Final = "member"


class ClassicMemberships:
    """Members of classic groups."""

    def __init__(self, store: GroupStore, settings: BrokerSettings) -> None:
        self._store = store
        self._settings = settings

    def join(self, request: JoinRequest, group: ClassicGroup | None) -> Operation[JoinReply]:
        """Join the group's next generation; wait for the other members."""
        self._ensure_small(request)
        if group is None:
            if request.member_id:
                raise ApiError(ErrorName.UNKNOWN_MEMBER_ID, group=request.group, member_id=request.member_id)
            self._store.ensure_room(request.group)
            group = self._store.new_classic(request.group)
        name = request.client_id or _NO_NAME if request.instance_id is None else request.instance_id
        new_id = f"{name}-{uuid.uuid4()}"
        try:
            promise = join(group, request, new_id, self._store.clock.monotonic_s())
        finally:
            if not group.is_empty:
                self._store.groups[group.name] = group
            self._settle(group)
        if promise.is_done:
            yield self._store.topic.written(group.name)  # a static member may have a new id
        return (yield from kept(promise, request.group))

    def sync(self, request: SyncRequest, group: ClassicGroup) -> Operation[SyncReply]:
        """Return the member's assignment; the leader's call stores the assignments of all first."""
        clock = self._store.clock
        promise = group.sync(request, clock.monotonic_s())
        if group.awaits_assignment_by(request.membership.member_id):
            stored = stored_generation(group, clock.now_ms(), request.assignments)
            try:
                self._store.save(group, stored)
                yield self._store.topic.written(group.name)
            except StreamCoreError:
                group.take_back_assignment(stored, clock.monotonic_s())
                raise
            group.take_assignment(stored, clock.monotonic_s())
        self._settle(group)
        return (yield from kept(promise, request.group))

    def heartbeat(self, membership: Membership, group: ClassicGroup) -> None:
        """Renew the member's session."""
        group.heartbeat(membership, self._store.clock.monotonic_s())

    def leave(self, leaving: Sequence[Leaving], group: ClassicGroup) -> list[ErrorName | None]:
        """Remove members at once; return the refusal for each that could not be removed."""
        outcomes = group.leave(leaving, self._store.clock.monotonic_s())
        self._settle(group)
        return outcomes

    def expire(self, group: ClassicGroup) -> None:
        """Remove members whose session has ended; complete a rebalance whose time is over."""
        group.expire(self._store.clock.monotonic_s())
        self._settle(group)

    def end_with_process(self, group: ClassicGroup) -> None:
        """After a restart, remove the members that lived in the process that ended."""
        gone = [each for each in group.members.values() if each.client_host == IN_PROCESS_HOST]
        group.remove(gone, self._store.clock.monotonic_s())
        self._settle(group)

    def _settle(self, group: ClassicGroup) -> None:
        """Store the group's own changes, and schedule its next ``expire``."""
        if group.is_unsaved:
            self._store.save(group, stored_generation(group, self._store.clock.now_ms()))
        if group.is_empty and group.since_ms < 0 and self._store.groups.get(group.name) is group:
            del self._store.groups[group.name]  # no member joined
        self._store.watch(group)

    def _ensure_small(self, request: JoinRequest) -> None:
        size_bytes = sum(len(name) + len(metadata) for name, metadata in request.protocols)
        if size_bytes > self._settings.group_member_bytes_max:
            raise ApiError(ErrorName.INVALID_REQUEST, group=request.group, subscription_bytes=size_bytes)
