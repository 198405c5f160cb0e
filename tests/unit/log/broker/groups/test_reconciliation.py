"""A member on its way to the target: what it keeps, gives up, gets and waits for."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from streamcore.log.broker.api_errors import ApiError
from streamcore.log.broker.groups.consumer_group_member import Holding, MemberState
from streamcore.log.broker.groups.reconciliation import Goal, reconciled
from streamcore.log.broker.partition_id import PartitionId

TOPIC, OTHER = b"t" * 16, b"o" * 16
P0, P1, P2 = (PartitionId(TOPIC, number) for number in range(3))
Q0 = PartitionId(OTHER, 0)


def goal(
    epoch: int,
    places: Iterable[PartitionId],
    taken: Iterable[PartitionId] = (),
    topics: Iterable[bytes] = (TOPIC, OTHER),
) -> Goal:
    taken, topics = set(taken), set(topics)
    return Goal(epoch, set(places), lambda place: place not in taken, topics.__contains__)


def stable(epoch: int, *places: PartitionId) -> Holding:
    return Holding(epoch, epoch - 1, assigned=dict.fromkeys(places, epoch))


def test_a_new_member_gets_what_is_free_with_the_new_epoch() -> None:
    holding = reconciled(Holding(), goal(3, {P0, P1}), set())

    assert holding == Holding(3, 0, MemberState.STABLE, {P0: 3, P1: 3})


def test_a_member_waits_for_partitions_that_another_member_still_has() -> None:
    waiting = reconciled(Holding(), goal(3, {P0, P1}, taken={P1}), set())
    still_waiting = reconciled(waiting, goal(3, {P0, P1}, taken={P0, P1}), {P0})
    done = reconciled(still_waiting, goal(3, {P0, P1}, taken={P0}), {P0})

    assert (waiting.state, waiting.epoch, set(waiting.assigned)) == (
        MemberState.UNRELEASED_PARTITIONS,
        3,
        {P0},
    )
    assert set(still_waiting.assigned) == {P0}
    assert (done.state, set(done.assigned)) == (MemberState.STABLE, {P0, P1})


def test_a_member_stays_at_its_epoch_until_it_has_given_up_what_it_must() -> None:
    asked = reconciled(stable(2, P0, P1), goal(3, {P0, P2}), None)
    not_yet = reconciled(asked, goal(3, {P0, P2}), {P0, P1})
    silent = reconciled(asked, goal(3, {P0, P2}), None)
    done = reconciled(asked, goal(3, {P0, P2}), {P0})

    assert asked == Holding(2, 2, MemberState.UNREVOKED_PARTITIONS, {P0: 2}, {P1: 2})
    assert not_yet is asked
    assert silent is asked
    assert done == Holding(3, 2, MemberState.STABLE, {P0: 2, P2: 3})


def test_a_member_that_owns_nothing_has_given_up_everything() -> None:
    rejoined = reconciled(stable(2, P0, P1), goal(3, {P2}), set())

    assert rejoined == Holding(3, 2, MemberState.STABLE, {P2: 3})


def test_a_revoked_partition_can_be_assigned_to_its_former_member_again() -> None:
    asked = reconciled(stable(2, P0, P1), goal(3, {P0}), None)

    back = reconciled(asked, goal(4, {P0, P1}, taken={P0, P1}), {P0})

    assert back == Holding(4, 2, MemberState.STABLE, {P0: 2, P1: 4})


def test_a_member_at_the_target_changes_nothing() -> None:
    holding = stable(3, P0)

    assert reconciled(holding, goal(3, {P0}), None) is holding


def test_partitions_of_an_unsubscribed_topic_are_revoked_at_once_whatever_the_target() -> None:
    still_target = goal(2, {P0, Q0}, topics={TOPIC})

    asked = reconciled(stable(2, P0, Q0), still_target, None, has_new_subscription=True)
    gone = reconciled(stable(2, P0, Q0), still_target, {P0}, has_new_subscription=True)

    assert asked == Holding(2, 2, MemberState.UNREVOKED_PARTITIONS, {P0: 2}, {Q0: 2})
    assert gone == Holding(2, 2, MemberState.STABLE, {P0: 2})


def test_a_topic_left_while_others_are_given_up_is_added_to_them() -> None:
    asked = reconciled(stable(2, P0, P1, Q0), goal(3, {P0, Q0}), None)

    more = reconciled(asked, goal(3, {P0, Q0}, topics={TOPIC}), None, has_new_subscription=True)

    assert set(more.assigned) == {P0}
    assert set(more.revoking) == {P1, Q0}


def test_a_state_of_a_newer_program_is_left_only_with_empty_hands() -> None:
    unknown = Holding(2, 1, MemberState.UNKNOWN, {P0: 2})

    with pytest.raises(ApiError, match="FENCED_MEMBER_EPOCH"):
        reconciled(unknown, goal(3, {P0}), {P0})
    assert reconciled(unknown, goal(3, {P0}), set()).state is MemberState.STABLE
