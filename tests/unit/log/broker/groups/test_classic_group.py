"""A consumer group's agreement: who waits for what, and what a rebalance does to whom."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from streamcore.log.broker.api_errors import ApiError, ErrorName
from streamcore.log.broker.groups.classic_generation import stored_generation
from streamcore.log.broker.groups.classic_group import ClassicGroup as Group
from streamcore.log.broker.groups.classic_joining import join as join_group
from streamcore.log.broker.groups.classic_states import GroupState, JoinRules
from streamcore.log.broker.operations import OperationFuture
from streamcore.log.broker.requests import JoinReply, JoinRequest, Leaving, SyncReply, SyncRequest
from streamcore.model import Membership

REQUEST = JoinRequest(
    group="g", protocols=(("range", b"topics"),), session_timeout_ms=10_000, rebalance_timeout_ms=60_000
)


def joined(promise: OperationFuture[JoinReply | ErrorName]) -> JoinReply:
    assert isinstance(promise.reply, JoinReply), promise
    return promise.reply


def synced(promise: OperationFuture[SyncReply | ErrorName]) -> SyncReply:
    assert isinstance(promise.reply, SyncReply), promise
    return promise.reply


def join(
    group: Group, member_id: str, request: JoinRequest = REQUEST, now_s: float = 0
) -> OperationFuture[JoinReply | ErrorName]:
    """Join as a known member if there is one of this id, else as a new one."""
    known = member_id if member_id in group.members else ""
    return join_group(group, replace(request, member_id=known), member_id, now_s)


def sync(group: Group, member_id: str) -> OperationFuture[SyncReply | ErrorName]:
    return group.sync(SyncRequest("g", membership(group, member_id)), 0)


def assign(group: Group, assignments: dict[str, bytes], now_s: float = 0) -> None:
    group.take_assignment(stored_generation(group, 0, assignments), now_s)


def membership(group: Group, member_id: str) -> Membership:
    return Membership(member_id, group.generation)


def stable_group(*member_ids: str, request: JoinRequest = REQUEST) -> Group:
    group = Group("g")
    for member_id in member_ids:
        join(group, member_id, request)
        for other in list(group.members):
            if other != member_id:
                join(group, other, request)
    assign(group, {member_id: member_id.encode() for member_id in member_ids})
    assert group.state is GroupState.STABLE
    return group


def test_the_first_member_leads_at_once() -> None:
    group = Group("g")

    reply = joined(join(group, "a"))

    assert reply.is_leader
    assert (reply.generation, reply.protocol, [each.member_id for each in reply.members]) == (
        1,
        "range",
        ["a"],
    )
    assert group.state is GroupState.COMPLETING_REBALANCE


def test_a_second_member_waits_until_the_first_has_joined_again() -> None:
    group = stable_group("a")

    second = join(group, "b")
    with pytest.raises(ApiError, match="REBALANCE_IN_PROGRESS"):
        group.heartbeat(membership(group, "a"), 0)
    is_kept_before = second.is_done
    first = join(group, "a")

    assert not is_kept_before
    assert joined(first).generation == joined(second).generation == 2
    assert [joined(first).is_leader, joined(second).is_leader] == [True, False]
    assert joined(second).members == ()


def test_followers_wait_for_the_leaders_assignment() -> None:
    group = stable_group("a")
    join(group, "b")
    join(group, "a")

    follower = sync(group, "b")
    leader = sync(group, "a")
    before = follower.is_done
    assign(group, {"a": b"1", "b": b"2"})

    assert not before
    assert (synced(leader).assignment, synced(follower).assignment) == (b"1", b"2")
    assert synced(sync(group, "b")).assignment == b"2"


def test_a_rebalance_makes_members_that_wait_for_an_assignment_join_again() -> None:
    group = stable_group("a")
    join(group, "b")
    join(group, "a")
    waiting = sync(group, "b")

    join(group, "c")

    assert waiting.reply is ErrorName.REBALANCE_IN_PROGRESS


def test_an_assignment_that_comes_after_the_group_moved_on_is_dropped() -> None:
    group = stable_group("a")
    join(group, "b")
    join(group, "a")
    stored = stored_generation(group, 0, {"a": b"old"})

    join(group, "c")
    group.take_assignment(stored, 0)

    assert group.state is GroupState.PREPARING_REBALANCE


def test_a_member_that_leaves_makes_the_others_rebalance() -> None:
    group = stable_group("a", "b")

    group.leave([Leaving("a")], 0)

    assert group.state is GroupState.PREPARING_REBALANCE
    assert joined(join(group, "b")).is_leader


def test_the_last_member_that_leaves_leaves_an_empty_group_to_be_stored() -> None:
    group = stable_group("a")
    generation = group.generation

    group.leave([Leaving("a")], 0)

    assert group.state is GroupState.EMPTY
    assert group.is_unsaved
    assert group.generation == generation + 1
    assert stored_generation(group, 5).members == ()


def test_a_member_that_falls_silent_is_removed_when_its_session_ends() -> None:
    group = stable_group("a", "b")
    group.heartbeat(membership(group, "b"), 9.0)

    group.expire(9.9)
    before = set(group.members)
    group.expire(10.0)

    assert before == {"a", "b"}
    assert set(group.members) == {"b"}
    assert group.state is GroupState.PREPARING_REBALANCE


def test_a_member_that_waits_for_an_answer_is_not_silent() -> None:
    group = stable_group("a", "b")
    waiting = join(group, "c")

    group.expire(10.0)

    assert "c" in group.members
    assert joined(waiting).is_leader


def test_a_rebalance_continues_without_members_that_do_not_join() -> None:
    slow = replace(REQUEST, session_timeout_ms=1_000_000)
    group = stable_group("a", "b", request=slow)
    waiting = join(group, "b", replace(slow, protocols=(("range", b"more"),)), now_s=1)

    group.expire(60.9)
    before = waiting.is_done
    group.expire(61.0)

    assert not before
    assert joined(waiting).is_leader
    assert set(group.members) == {"b"}


def test_a_leader_that_brings_no_assignment_is_given_up() -> None:
    slow = replace(REQUEST, session_timeout_ms=1_000_000)
    group = stable_group("a", "b", request=slow)
    join(group, "b", replace(slow, protocols=(("range", b"more"),)))
    join(group, "a", slow)
    waiting = sync(group, "b")

    group.expire(60.0)

    assert waiting.reply is ErrorName.REBALANCE_IN_PROGRESS
    assert set(group.members) == {"b"}


def test_calls_of_an_older_generation_or_an_unknown_member_are_refused() -> None:
    group = stable_group("a")

    with pytest.raises(ApiError, match="ILLEGAL_GENERATION"):
        group.heartbeat(Membership("a", group.generation - 1), 0)
    with pytest.raises(ApiError, match="UNKNOWN_MEMBER_ID"):
        group.sync(SyncRequest("g", Membership("x", group.generation)), 0)
    with pytest.raises(ApiError, match="UNKNOWN_MEMBER_ID"):
        join_group(group, replace(REQUEST, member_id="x"), "new", 0)
    with pytest.raises(ApiError, match="ILLEGAL_GENERATION"):
        group.ensure_may_commit(Membership("a", 99), 0)


def test_offsets_are_accepted_while_members_prepare_but_not_before_their_assignment() -> None:
    group = stable_group("a")
    owner = membership(group, "a")
    join(group, "b")

    group.ensure_may_commit(owner, 0)
    join(group, "a")

    with pytest.raises(ApiError, match="REBALANCE_IN_PROGRESS"):
        group.ensure_may_commit(membership(group, "a"), 0)


def test_only_members_commit_offsets_of_a_group_with_members() -> None:
    group = stable_group("a")

    with pytest.raises(ApiError, match="NON_EMPTY_GROUP"):
        group.ensure_may_commit(None, 0)
    Group("empty").ensure_may_commit(None, 0)


def test_a_follower_that_missed_its_answer_gets_the_same_generation_again() -> None:
    group = stable_group("a", "b")
    generation = group.generation

    reply = joined(join(group, "b"))

    assert reply.generation == generation
    assert group.state is GroupState.STABLE


def test_a_leader_that_joins_again_asks_for_a_new_assignment() -> None:
    group = stable_group("a", "b")

    join(group, "a")

    assert group.state is GroupState.PREPARING_REBALANCE


def test_members_without_a_common_assignor_do_not_meet() -> None:
    group = stable_group("a")

    with pytest.raises(ApiError, match="INCONSISTENT_GROUP_PROTOCOL"):
        join(group, "b", replace(REQUEST, protocols=(("sticky", b""),)))
    with pytest.raises(ApiError, match="INCONSISTENT_GROUP_PROTOCOL"):
        join(group, "b", replace(REQUEST, protocol_type="connect"))
    with pytest.raises(ApiError, match="INCONSISTENT_GROUP_PROTOCOL"):
        join(Group("h"), "b", replace(REQUEST, protocols=()))


def test_the_protocol_that_most_members_prefer_is_chosen() -> None:
    group = Group("g")
    both = replace(REQUEST, protocols=(("range", b""), ("sticky", b"")))
    other = replace(REQUEST, protocols=(("sticky", b""), ("range", b"")))
    join(group, "a", both)
    join(group, "b", other)
    join(group, "a", both)
    join(group, "c", other)
    join(group, "a", both)

    reply = joined(join(group, "b", other))

    assert reply.protocol == "sticky"


def test_a_restarted_static_member_gets_its_assignment_without_a_rebalance() -> None:
    static = replace(REQUEST, instance_id="i")
    group = Group("g")
    joined(join_group(group, static, "old", 0))
    assign(group, {"old": b"mine"})

    reply = joined(join_group(group, static, "new", 0))

    assert group.state is GroupState.STABLE
    assert (reply.member_id, reply.skip_assignment, reply.generation) == ("new", True, 1)
    assert synced(group.sync(SyncRequest("g", Membership("new", 1, "i")), 0)).assignment == b"mine"
    with pytest.raises(ApiError, match="FENCED_INSTANCE_ID"):
        group.heartbeat(Membership("old", 1, "i"), 0)


def test_a_promised_member_is_waited_for_until_its_time_is_over() -> None:
    group = stable_group("a")
    with pytest.raises(ApiError, match="MEMBER_ID_REQUIRED"):
        join_group(group, replace(REQUEST, is_member_id_required=True), "promised", 0)

    first = join(group, "a")
    before = first.is_done
    group.expire(10.0)

    assert not before
    assert joined(first).generation == 2


def test_a_first_generation_does_not_wait_for_members_that_only_received_an_id() -> None:
    group = Group("g")
    with pytest.raises(ApiError, match="MEMBER_ID_REQUIRED"):
        join_group(group, replace(REQUEST, is_member_id_required=True), "promised", 0)

    other = join(group, "a")

    assert joined(other).generation == 1


def test_a_first_generation_may_wait_for_more_members() -> None:
    group = Group("g", JoinRules(initial_delay_ms=3_000))

    first = join_group(group, REQUEST, "a", 0)
    second = join_group(group, REQUEST, "b", 1.0)
    group.expire(3.0)
    before = first.is_done
    group.expire(6.0)

    assert not before
    assert joined(first).generation == joined(second).generation == 1


def test_a_stored_group_is_the_same_after_replay() -> None:
    group = stable_group("a", "b")
    stored = stored_generation(group, 9)

    again = Group("g")
    again.replay(stored)
    again.watch_all(100.0)

    assert stored_generation(again, 9) == stored
    assert again.state is GroupState.STABLE
    again.expire(110.0)
    assert again.members == {}


def test_a_member_that_never_asks_for_its_assignment_is_given_up_although_the_group_is_stable() -> None:
    slow = replace(REQUEST, session_timeout_ms=1_000_000)
    group = stable_group("a", "b", request=slow)
    join(group, "a", slow)
    join(group, "b", slow)
    sync(group, "a")
    assign(group, {"a": b"1", "b": b"2"})

    group.expire(59.9)
    before = set(group.members)
    group.expire(60.0)

    assert before == {"a", "b"}
    assert set(group.members) == {"a"}
    assert group.state is GroupState.PREPARING_REBALANCE


def test_a_first_join_does_not_wait_for_ever() -> None:
    patient = replace(REQUEST, session_timeout_ms=1_000_000, rebalance_timeout_ms=1_000_000)
    group = stable_group("a", request=patient)
    waiting = join(group, "b", patient)

    group.expire(299.9)
    before = waiting.is_done
    group.expire(300.0)

    assert not before
    assert waiting.reply is ErrorName.UNKNOWN_MEMBER_ID
    assert set(group.members) == {"a"}


def test_an_assignment_that_cannot_be_stored_makes_all_members_join_again() -> None:
    group = stable_group("a")
    join(group, "b")
    join(group, "a")
    waiting = [sync(group, "b"), sync(group, "a")]

    group.take_back_assignment(stored_generation(group, 0, {}), 0)

    assert [each.reply for each in waiting] == [ErrorName.REBALANCE_IN_PROGRESS] * 2
    assert group.state is GroupState.PREPARING_REBALANCE


def test_members_that_leave_together_make_one_rebalance() -> None:
    group = stable_group("a", "b", "c")
    generation = group.generation
    waiting = join(group, "c", replace(REQUEST, protocols=(("range", b"more"),)))

    outcomes = group.leave([Leaving("a"), Leaving("nobody"), Leaving("b")], 0)

    assert outcomes == [None, ErrorName.UNKNOWN_MEMBER_ID, None]
    assert joined(waiting).generation == generation + 1


def test_syncing_for_another_protocol_is_refused() -> None:
    group = stable_group("a")
    syncing = SyncRequest("g", membership(group, "a"), protocol_type="consumer", protocol="range")

    assert synced(group.sync(syncing, 0)).assignment == b"a"
    for wrong in (replace(syncing, protocol_type="connect"), replace(syncing, protocol="sticky")):
        with pytest.raises(ApiError, match="INCONSISTENT_GROUP_PROTOCOL"):
            group.sync(wrong, 0)


def test_a_rebalance_of_an_overfull_group_removes_its_newest_members() -> None:
    group = Group("g", JoinRules(size_max=2))
    for name in ("a", "b"):
        join(group, name)
        join(group, "a")
    assign(group, {})

    with pytest.raises(ApiError, match="GROUP_MAX_SIZE_REACHED"):
        join(group, "c")
    join(group, "a")
    other = join(group, "b")

    assert joined(other).generation == group.generation


def test_the_size_of_all_members_metadata_is_bounded() -> None:
    group = Group("g", JoinRules(bytes_max=100))
    join(group, "a", replace(REQUEST, protocols=(("range", b"x" * 60),)))

    with pytest.raises(ApiError, match="GROUP_MAX_SIZE_REACHED"):
        join(group, "b", replace(REQUEST, protocols=(("range", b"x" * 60),)))
    join(group, "a", replace(REQUEST, protocols=(("range", b"x" * 100),)))


def test_a_static_member_that_comes_back_while_others_wait_begins_a_rebalance() -> None:
    static = replace(REQUEST, instance_id="i")
    group = Group("g")
    joined(join_group(group, static, "old", 0))

    reply = joined(join_group(group, static, "new", 0))

    assert (reply.generation, reply.skip_assignment) == (2, False)


def test_a_static_member_without_the_groups_protocol_begins_a_rebalance() -> None:
    both = replace(REQUEST, instance_id="i", protocols=(("range", b"r"), ("sticky", b"s")))
    group = Group("g")
    joined(join_group(group, both, "old", 0))
    assign(group, {"old": b"mine"})

    reply = joined(join_group(group, replace(both, protocols=(("sticky", b"s"),)), "new", 0))

    assert (reply.generation, reply.protocol) == (2, "sticky")
