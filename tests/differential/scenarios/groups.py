"""Groups of the classic protocol, and what is told of groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from streamcore.log.protocol.consumer_protocol import Subscription, encode_subscription
from streamcore.log.protocol.messages.delete_groups import DeleteGroupsRequest
from streamcore.log.protocol.messages.describe_groups import DescribeGroupsRequest
from streamcore.log.protocol.messages.find_coordinator import FindCoordinatorRequest
from streamcore.log.protocol.messages.heartbeat import HeartbeatRequest
from streamcore.log.protocol.messages.join_group import JoinGroupRequest, JoinGroupRequestProtocol
from streamcore.log.protocol.messages.leave_group import LeaveGroupRequest, MemberIdentity
from streamcore.log.protocol.messages.list_groups import ListGroupsRequest
from streamcore.log.protocol.messages.sync_group import SyncGroupRequest, SyncGroupRequestAssignment
from tests.differential.conversation import Conversation
from tests.differential.registry import invalid, valid

_NAMED_FIRST_FROM: Final = 4
"""From here on who joins without a member id is only given one."""


def join_request(
    group: str, member: str = "", *, protocols: Mapping[str, bytes] | None = None, **fields: Any
) -> JoinGroupRequest:
    """A request to join."""
    metadata = encode_subscription(Subscription(tuple(fields.pop("topics", ("t",)))))
    named = {"range": metadata} if protocols is None else protocols
    given: dict[str, Any] = {
        "group_id": group,
        "session_timeout_ms": 30_000,
        "rebalance_timeout_ms": 30_000,
        "member_id": member,
        "protocol_type": "consumer",
        "protocols": [JoinGroupRequestProtocol(name=name, metadata=data) for name, data in named.items()],
    }
    return JoinGroupRequest(**(given | fields))


def sync_request(
    group: str, member: str, generation: int, assignments: Mapping[str, bytes] | None = None, **fields: Any
) -> SyncGroupRequest:
    """A request for an assignment; the leader's makes them."""
    given: dict[str, Any] = {
        "group_id": group,
        "generation_id": generation,
        "member_id": member,
        "protocol_type": "consumer",
        "protocol_name": "range",
        "assignments": [
            SyncGroupRequestAssignment(member_id=name, assignment=data)
            for name, data in (assignments or {}).items()
        ],
    }
    return SyncGroupRequest(**(given | fields))


def heartbeat_request(
    group: str, member: str, generation: int, instance: str | None = None
) -> HeartbeatRequest:
    """A sign of life."""
    return HeartbeatRequest(
        group_id=group, generation_id=generation, member_id=member, group_instance_id=instance
    )


def leave_request(group: str, *members: tuple[str, str | None]) -> LeaveGroupRequest:
    """A request of members to leave, each with its instance id."""
    first = members[0][0] if members else ""
    return LeaveGroupRequest(
        group_id=group,
        member_id=first,
        members=[MemberIdentity(member_id=name, group_instance_id=instance) for name, instance in members],
    )


def joined(talk: Conversation, group: str, **fields: Any) -> tuple[str, int]:
    """The only member of a group, with its assignment; its id and the generation."""
    first = talk.prepare(join_request(group, **fields))
    answer = first if not first.error_code else talk.prepare(join_request(group, first.member_id, **fields))
    assert not answer.error_code, answer
    synced = talk.prepare(
        sync_request(group, answer.member_id, answer.generation_id, {answer.member_id: b"a"})
    )
    assert not synced.error_code, synced
    return answer.member_id, answer.generation_id


def joining(talk: Conversation, group: str, *, on: str = "first", **fields: Any) -> Any:
    """The answer to a join in the version of the scenario, which may take two requests."""
    answer = talk.ask(join_request(group, **fields), on=on)
    if talk.version_of("JoinGroup") >= _NAMED_FIRST_FROM and not fields.get("group_instance_id"):
        answer = talk.ask(join_request(group, answer.member_id, **fields), on=on)
    return answer


@valid("JoinGroup")
def a_member_joins_and_joins_again(talk: Conversation) -> None:
    group = talk.name("group")

    member = joining(talk, group)
    talk.ask(sync_request(group, member.member_id, member.generation_id, {member.member_id: b"x"}))
    talk.ask(join_request(group, member.member_id))
    talk.ask(describe_request(group))


@valid("JoinGroup")
def two_members_share_a_group(talk: Conversation) -> None:
    group = talk.name("group")
    first = joining(talk, group, protocols={"range": b"1", "roundrobin": b"2"})
    talk.ask(sync_request(group, first.member_id, first.generation_id, {first.member_id: b"x"}))

    second = talk.name("second")
    if talk.version >= _NAMED_FIRST_FROM:
        second = talk.ask(join_request(group, protocols={"roundrobin": b"3"}), on="second").member_id
    waiting = talk.begin(
        join_request(
            group, second if talk.version >= _NAMED_FIRST_FROM else "", protocols={"roundrobin": b"3"}
        ),
        on="second",
    )
    talk.wait_until_rebalancing(heartbeat_request(group, first.member_id, first.generation_id))
    again = talk.ask(join_request(group, first.member_id, protocols={"range": b"1", "roundrobin": b"2"}))
    other = waiting()
    assignments = {again.member_id: b"p", other.member_id: b"q"}
    waiting = talk.begin(sync_request(group, other.member_id, other.generation_id), on="second")
    talk.ask(sync_request(group, again.member_id, again.generation_id, assignments))
    waiting()
    talk.ask(describe_request(group))
    talk.ask(leave_request(group, (other.member_id, None)))
    talk.ask(heartbeat_request(group, again.member_id, again.generation_id))


@valid("JoinGroup")
def protocols_of_any_kind_may_be_agreed_on(talk: Conversation) -> None:
    group = talk.name("group")

    joining(talk, group, protocol_type="connect", protocols={"sessioned": b"1", "compatible": b""})
    talk.ask(describe_request(group))


@valid("JoinGroup", since=5)
def a_static_member_comes_back_under_another_id(talk: Conversation) -> None:
    group = talk.name("group")

    first = joining(talk, group, group_instance_id="instance")
    talk.ask(sync_request(group, first.member_id, first.generation_id, {first.member_id: b"x"}))
    second = joining(talk, group, group_instance_id="instance")
    talk.ask(heartbeat_request(group, first.member_id, first.generation_id, "instance"))
    talk.ask(heartbeat_request(group, second.member_id, second.generation_id, "instance"))
    talk.ask(join_request(group, first.member_id, group_instance_id="instance"))
    talk.ask(describe_request(group))


@invalid("JoinGroup")
def who_joins_must_fit_the_group(talk: Conversation) -> None:
    group = talk.name("group")
    joined(talk, group)

    talk.ask(join_request(group, "nobody"))
    talk.ask(join_request(group, protocols={"other": b""}))
    talk.ask(join_request(group, protocol_type="other"))
    talk.ask(join_request(group, protocols={}))


@invalid("JoinGroup")
def a_first_member_must_say_what_it_can(talk: Conversation) -> None:
    talk.ask(join_request(talk.name("a"), protocols={}))
    talk.ask(join_request(talk.name("b"), protocol_type=""))
    talk.ask(join_request(talk.name("c"), "somebody"))
    talk.ask(join_request(""))


@invalid("JoinGroup")
def times_of_sessions_are_bounded(talk: Conversation) -> None:
    for session_ms in (0, -1, 5_999, 1_800_001, 2**31 - 1):
        talk.ask(join_request(talk.name(str(session_ms)), session_timeout_ms=session_ms))


@invalid("JoinGroup", since=9)
def a_consumer_that_subscribes_to_what_is_no_subscription(talk: Conversation) -> None:
    group = talk.name("group")

    talk.ask(join_request(group, group_instance_id="instance", protocols={"range": b"x" * 100}))


@invalid("JoinGroup", since=5)
def an_instance_that_is_not_there_does_not_join_under_an_id(talk: Conversation) -> None:
    group = talk.name("group")
    joined(talk, group)

    talk.ask(join_request(group, "nobody", group_instance_id="instance"))
    talk.ask(join_request(group, "nobody", group_instance_id=""))
    talk.ask(join_request(talk.name("nameless"), group_instance_id=""))


@valid("SyncGroup")
def the_leader_assigns(talk: Conversation) -> None:
    group = talk.name("group")
    member = joining(talk, group)

    for assignments in ({member.member_id: b"x"}, {member.member_id: b"y"}, None):
        talk.ask(sync_request(group, member.member_id, member.generation_id, assignments))


@invalid("SyncGroup")
def assignments_are_for_members_of_the_generation(talk: Conversation) -> None:
    group = talk.name("group")
    member, generation = joined(talk, group)

    for who, when in ((member, generation + 1), (member, -1), ("nobody", generation), ("", generation)):
        talk.ask(sync_request(group, who, when))
    talk.ask(sync_request(talk.name("unknown"), member, generation))
    talk.ask(sync_request("", member, generation))


@invalid("SyncGroup", since=5)
def assignments_are_of_the_agreed_protocol(talk: Conversation) -> None:
    group = talk.name("group")
    member, generation = joined(talk, group)

    for kind, name in (
        ("consumer", "other"),
        ("other", "range"),
        (None, "range"),
        ("consumer", None),
        (None, None),
    ):
        talk.ask(sync_request(group, member, generation, protocol_type=kind, protocol_name=name))


@invalid("SyncGroup")
def an_assignment_for_somebody_else_is_ignored(talk: Conversation) -> None:
    group = talk.name("group")
    member = joining(talk, group)

    talk.ask(sync_request(group, member.member_id, member.generation_id, {"nobody": b"x"}))


@valid("Heartbeat")
def a_member_shows_that_it_lives(talk: Conversation) -> None:
    group = talk.name("group")
    member, generation = joined(talk, group)

    talk.ask(heartbeat_request(group, member, generation))


@invalid("Heartbeat")
def who_is_no_member_does_not_live(talk: Conversation) -> None:
    group = talk.name("group")
    member, generation = joined(talk, group)

    for who, when in (
        (member, generation + 1),
        (member, -1),
        ("nobody", generation),
        ("", generation),
        ("", -1),
    ):
        talk.ask(heartbeat_request(group, who, when))
    talk.ask(heartbeat_request(talk.name("unknown"), member, generation))
    talk.ask(heartbeat_request("", member, generation))


@invalid("Heartbeat", since=3)
def an_instance_that_is_not_there_does_not_live(talk: Conversation) -> None:
    group = talk.name("group")
    member, generation = joined(talk, group, group_instance_id="instance")

    for who, instance in ((member, "other"), ("nobody", "instance"), (member, None), ("", "instance")):
        talk.ask(heartbeat_request(group, who, generation, instance))


@valid("LeaveGroup")
def a_member_leaves(talk: Conversation) -> None:
    group = talk.name("group")
    member, generation = joined(talk, group)

    talk.ask(leave_request(group, (member, None)))
    talk.ask(heartbeat_request(group, member, generation))
    talk.ask(describe_request(group))


@valid("LeaveGroup", since=3)
def a_static_member_is_removed(talk: Conversation) -> None:
    group = talk.name("group")
    joined(talk, group, group_instance_id="instance")

    talk.ask(leave_request(group, ("", "instance")))
    talk.ask(describe_request(group))


@invalid("LeaveGroup")
def who_is_no_member_does_not_leave(talk: Conversation) -> None:
    group = talk.name("group")
    member, _ = joined(talk, group)

    talk.ask(leave_request(group, ("nobody", None)))
    talk.ask(leave_request(group, ("", None)))
    talk.ask(leave_request(talk.name("unknown"), (member, None)))
    talk.ask(leave_request("", (member, None)))
    talk.ask(leave_request(group))


@invalid("LeaveGroup", since=3)
def members_that_leave_are_told_apart(talk: Conversation) -> None:
    group = talk.name("group")
    member, _ = joined(talk, group, group_instance_id="instance")

    talk.ask(leave_request(group, ("nobody", None), ("nobody", "instance"), ("", "other"), (member, "other")))
    talk.ask(leave_request(group, (member, "instance"), (member, "instance")))


# --- looking at groups --------------------------------------------------------------------------------


def describe_request(*groups: str, **fields: Any) -> DescribeGroupsRequest:
    """A request about groups."""
    return DescribeGroupsRequest(groups=list(groups), **fields)


@valid("DescribeGroups")
def groups_are_described(talk: Conversation) -> None:
    group, empty = talk.name("group"), talk.name("empty")
    joined(talk, group)
    member, _ = joined(talk, empty)
    talk.prepare(leave_request(empty, (member, None)))

    talk.ask(describe_request(group, empty))
    if talk.version >= 3:
        talk.ask(describe_request(group, include_authorized_operations=True))


@invalid("DescribeGroups")
def groups_that_are_not_there_are_dead(talk: Conversation) -> None:
    talk.ask(describe_request(talk.name("unknown")))
    talk.ask(describe_request(""))
    talk.ask(describe_request())
    group = talk.name("group")
    joined(talk, group)
    talk.ask(describe_request(group, group, talk.name("unknown")))


@valid("ListGroups")
def groups_are_listed(talk: Conversation) -> None:
    joined(talk, talk.name("group"))

    talk.ask(ListGroupsRequest(), own=True)
    if talk.version >= 4:
        for states in (["Stable"], ["Empty", "Stable"], ["stable"], ["Dead"]):
            talk.ask(ListGroupsRequest(states_filter=states), own=True)
    if talk.version >= 5:
        for types in (["classic"], ["consumer"], ["Classic"], ["consumer", "classic"]):
            talk.ask(ListGroupsRequest(types_filter=types), own=True)


@invalid("ListGroups")
def groups_of_unknown_states_are_not_listed(talk: Conversation) -> None:
    joined(talk, talk.name("group"))

    talk.ask(ListGroupsRequest(states_filter=["Unheard"], types_filter=[]), own=True)
    talk.ask(ListGroupsRequest(states_filter=[""], types_filter=[]), own=True)
    talk.ask(ListGroupsRequest(states_filter=[], types_filter=["Unheard"]), own=True)
    talk.ask(ListGroupsRequest(states_filter=[], types_filter=[""]), own=True)


@valid("DeleteGroups")
def a_group_without_members_is_deleted(talk: Conversation) -> None:
    group = talk.name("group")
    member, _ = joined(talk, group)
    talk.prepare(leave_request(group, (member, None)))

    talk.ask(DeleteGroupsRequest(groups_names=[group]))
    talk.ask(DeleteGroupsRequest(groups_names=[group]))


@invalid("DeleteGroups")
def a_group_with_members_is_not_deleted(talk: Conversation) -> None:
    group = talk.name("group")
    joined(talk, group)

    talk.ask(DeleteGroupsRequest(groups_names=[group, talk.name("unknown"), ""]))
    talk.ask(DeleteGroupsRequest(groups_names=[group, group]))
    talk.ask(DeleteGroupsRequest(groups_names=[]))


def coordinator_request(kind: int, *keys: str) -> FindCoordinatorRequest:
    """A request for the coordinators of groups or transactions."""
    return FindCoordinatorRequest(key=keys[0] if keys else "", key_type=kind, coordinator_keys=list(keys))


@valid("FindCoordinator")
def coordinators_are_found(talk: Conversation) -> None:
    talk.ask(coordinator_request(0, talk.name("group")))
    if talk.version >= 1:
        talk.ask(coordinator_request(1, talk.name("producer")))
    if talk.version >= 4:
        talk.ask(coordinator_request(0, talk.name("one"), talk.name("other"), talk.name("one")))


@invalid("FindCoordinator")
def coordinators_of_nothing_are_not_found(talk: Conversation) -> None:
    kinds: Sequence[int] = (0, 1, 2, 3, -1) if talk.version >= 1 else (0,)
    for kind in kinds:
        talk.ask(coordinator_request(kind, ""))
        talk.ask(coordinator_request(kind, "a:b"))
    if talk.version >= 4:
        talk.ask(coordinator_request(0))
