"""Joining a group of the classic protocol: the checks, and the reply.

A new member waits for the next generation, and so does one whose protocols have changed, or that leads. A
member that only missed a reply gets the present generation again. A restarted static member gets its state
back; if no other member is affected, the generation continues.
"""

from __future__ import annotations

from msgspec.structs import replace

from streamcore.log.broker.api_errors import ApiError, ErrorName
from streamcore.log.broker.groups.classic_group import ClassicGroup
from streamcore.log.broker.groups.classic_member import Member, chosen_protocol, ensure_protocols_fit
from streamcore.log.broker.groups.classic_states import GroupState
from streamcore.log.broker.operations import OperationFuture
from streamcore.log.broker.requests import JoinReply, JoinRequest

_S = GroupState


def join(
    group: ClassicGroup, request: JoinRequest, new_id: str, now_s: float
) -> OperationFuture[JoinReply | ErrorName]:
    """Add a member to the next generation, or return the present one to it.

    Raises:
        Refused: ``MEMBER_ID_REQUIRED`` with the id to join again under, or the reason why the member may not
        join.
    """
    _ensure_room(group, request.member_id)
    _ensure_bytes_fit(group, request)
    ensure_protocols_fit(group.name, group.protocol_type, group.members.values(), request)
    if not request.member_id:
        if request.instance_id in group.instances:
            return _come_back(group, request, new_id, now_s)
        if request.is_member_id_required and request.instance_id is None:
            group.promise_id(new_id, now_s + request.session_timeout_ms / 1000)
            raise ApiError(ErrorName.MEMBER_ID_REQUIRED, group=group.name, member_id=new_id)
        return _join_generation(group, group.add(request, new_id), request, now_s)
    if request.member_id in group.promised_ids:
        if request.instance_id is not None:
            raise ApiError(ErrorName.UNKNOWN_MEMBER_ID, group=group.name, instance_id=request.instance_id)
        return _join_generation(group, group.add(request, request.member_id), request, now_s)
    member = group.known(request.member_id, request.instance_id)
    if _has_missed_an_answer(group, member, request):
        return _kept(group.reply_to(member))
    return _join_generation(group, member, request, now_s)


def _ensure_room(group: ClassicGroup, member_id: str) -> None:
    member = group.members.get(member_id)
    match group.state:
        case _S.EMPTY:
            is_in, taken = False, 0
        case _S.PREPARING_REBALANCE:
            # Only waiting members count, not all members: a group that was too large then loses
            # its last ones in the rebalance.
            is_in = member is not None and member.joining is not None
            taken = sum(each.joining is not None for each in group.members.values())
        case _:
            is_in, taken = member is not None, len(group.members)
    size_max = group.rules.size_max
    has_too_many_promised = not member_id and len(group.promised_ids) >= size_max
    if not is_in and (taken >= size_max or has_too_many_promised):
        raise ApiError(ErrorName.GROUP_MAX_SIZE_REACHED, group=group.name, size_max=size_max)


def _ensure_bytes_fit(group: ClassicGroup, request: JoinRequest) -> None:
    others = (each.protocols for name, each in group.members.items() if name != request.member_id)
    size_bytes = sum(len(data) for protocols in (request.protocols, *others) for _, data in protocols)
    if size_bytes > group.rules.bytes_max:
        raise ApiError(ErrorName.GROUP_MAX_SIZE_REACHED, group=group.name, bytes_max=group.rules.bytes_max)


def _has_missed_an_answer(group: ClassicGroup, member: Member, request: JoinRequest) -> bool:
    if member.protocols != request.protocols:
        return False
    if group.state is _S.STABLE:
        return member.member_id != group.leader_id  # a leader that joins again wants to assign again
    return group.state is _S.COMPLETING_REBALANCE


def _join_generation(
    group: ClassicGroup, member: Member, request: JoinRequest, now_s: float
) -> OperationFuture[JoinReply | ErrorName]:
    """Register the member's wait, and begin the next generation if it is complete."""
    promise: OperationFuture[JoinReply | ErrorName] = OperationFuture()
    _update(member, request)
    member.answer_join(ErrorName.REBALANCE_IN_PROGRESS)
    member.joining = promise
    if member.is_new:
        member.session_deadline_s = now_s + group.rules.new_member_timeout_ms / 1000
        group.wake_by(member.session_deadline_s)
        group.has_newcomers = group.state is _S.PREPARING_REBALANCE
    group.rebalance(now_s)
    return promise


def _come_back(
    group: ClassicGroup, request: JoinRequest, new_id: str, now_s: float
) -> OperationFuture[JoinReply | ErrorName]:
    """Give a restarted static member its former state."""
    assert request.instance_id is not None
    former_leader_id = group.leader_id
    member = group.rename(group.instances[request.instance_id], new_id)
    member.client_id, member.client_host = request.client_id, request.client_host
    _update(member, request)
    group.refresh(member, now_s)
    if group.state is not _S.STABLE or chosen_protocol(group.members.values()) != group.protocol:
        return _join_generation(group, member, request, now_s)
    group.is_unsaved = True
    reply = group.reply_to(member)
    if not reply.is_leader:
        return _kept(reply)
    # The generation continues, so the leader must not assign again. A client that cannot skip the
    # assignment must not learn that it leads.
    skipping = replace(reply, skip_assignment=True)
    unaware = replace(reply, leader_id=former_leader_id, members=())
    return _kept(skipping if request.can_skip_assignment else unaware)


def _update(member: Member, request: JoinRequest) -> None:
    member.protocols = request.protocols
    member.session_timeout_ms = request.session_timeout_ms
    member.rebalance_timeout_ms = request.rebalance_timeout_ms


def _kept(reply: JoinReply) -> OperationFuture[JoinReply | ErrorName]:
    promise: OperationFuture[JoinReply | ErrorName] = OperationFuture()
    promise.keep(reply)
    return promise
