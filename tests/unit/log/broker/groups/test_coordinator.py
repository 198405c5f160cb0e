"""Groups on a log: positions and their expiry, what a restart keeps, who may commit."""

from __future__ import annotations

import dataclasses

import pytest
from msgspec.structs import replace

from streamcore.clock import ManualClock
from streamcore.errors import (
    InvalidConfigError,
    RebalanceInProgressError,
    RecordTooLargeError,
    StaleGenerationError,
    UsageError,
)
from streamcore.log.broker.api_errors import ApiError, ErrorName
from streamcore.log.broker.requests import JoinRequest, SyncRequest
from streamcore.log.broker.settings import BrokerSettings
from streamcore.log.protocol.consumer_protocol import Subscription, encode_subscription
from streamcore.model import CommittedOffset, Membership, TopicPartition
from streamcore.testing.sim_disk import SimDisk
from tests.support.operated_log import OperatedLog

DAY_MS = 24 * 3_600_000
FIRST = TopicPartition("events", 0)
SECOND = TopicPartition("others", 0)
SUBSCRIPTION = encode_subscription(Subscription(("events",)))
REQUEST = JoinRequest(group="g", protocols=(("range", SUBSCRIPTION),))
AT = CommittedOffset(5)


class House:
    """A log on a simulated disk, and its clock."""

    def __init__(self) -> None:
        self.disk = SimDisk(3)
        self.clock = ManualClock(1_700_000_000_000)
        self.log = self.open()

    def open(self) -> OperatedLog:
        self.log = OperatedLog.open(
            "/data",
            file_system=self.disk,
            clock=self.clock,
            settings=BrokerSettings(unstable_wait_ms=0, group_size_max=2, offsets_retention_ms=7 * DAY_MS),
            maintenance=False,
        )
        return self.log

    def member(self, request: JoinRequest = REQUEST) -> Membership:
        """A group's only member, with its assignment."""
        reply = self.log.join_group(request)
        membership = Membership(reply.member_id, reply.generation, request.instance_id)
        self.log.sync_group(SyncRequest("g", membership, {reply.member_id: b"mine"}))
        return membership


@pytest.fixture
def house() -> House:
    return House()


def test_a_member_commits_and_leaves_and_the_positions_stay(house: House) -> None:
    membership = house.member()

    house.log.commit_offsets("g", {FIRST: AT}, membership=membership)
    house.log.leave_group("g", membership.member_id)

    assert house.log.describe_group("g").state == "Empty"
    assert house.log.committed("g") == {FIRST: AT}


def test_a_former_member_cannot_commit(house: House) -> None:
    membership = house.member()
    stale = dataclasses.replace(membership, generation=membership.generation - 1)

    with pytest.raises(UsageError, match="NON_EMPTY_GROUP"):
        house.log.commit_offsets("g", {FIRST: AT})
    with pytest.raises(StaleGenerationError):
        house.log.commit_offsets("g", {FIRST: AT}, membership=stale)
    with pytest.raises(StaleGenerationError):
        house.log.commit_offsets("h", {FIRST: AT}, membership=membership)
    with (
        pytest.raises(StaleGenerationError),
        house.log.producer_port(transactional_id="t").transaction() as transaction,
    ):
        transaction.commit_offsets("g", {FIRST: AT}, membership=stale)

    assert house.log.committed("g") == {}


def test_a_member_commits_inside_a_transaction(house: House) -> None:
    membership = house.member()

    with house.log.producer_port(transactional_id="t").transaction() as transaction:
        transaction.commit_offsets("g", {FIRST: AT}, membership=membership)

    assert house.log.committed("g") == {FIRST: AT}


def test_members_of_the_process_that_ended_are_gone_after_a_restart(house: House) -> None:
    house.member()
    house.disk.crash()

    log = house.open()

    assert log.describe_group("g").members == ()
    assert log.describe_group("g").state == "Empty"


def test_remote_members_keep_their_membership_over_a_restart(house: House) -> None:
    membership = house.member(replace(REQUEST, client_host="/10.0.0.1"))
    house.disk.crash()

    log = house.open()

    log.heartbeat("g", membership)
    assert log.sync_group(SyncRequest("g", membership)).assignment == b"mine"
    house.clock.advance(REQUEST.session_timeout_ms)
    log.maintain()
    assert log.describe_group("g").members == ()


def test_a_first_join_may_be_answered_with_a_member_id_only(house: House) -> None:
    asking = replace(REQUEST, is_member_id_required=True)

    with pytest.raises(StaleGenerationError) as caught:
        house.log.join_group(asking)
    cause = caught.value.__cause__
    assert isinstance(cause, ApiError)
    reply = house.log.join_group(replace(asking, member_id=str(cause.facts["member_id"])))

    assert cause.refusal is ErrorName.MEMBER_ID_REQUIRED
    assert reply.member_id == cause.facts["member_id"]


def test_requests_with_impossible_values_are_refused(house: House) -> None:
    with pytest.raises(UsageError, match="INVALID_GROUP_ID"):
        house.log.commit_offsets("", {FIRST: AT})
    with pytest.raises(UsageError, match="OFFSET_METADATA_TOO_LARGE"):
        house.log.commit_offsets("g", {FIRST: CommittedOffset(1, "x" * 4097)})
    with pytest.raises(InvalidConfigError):
        house.log.join_group(replace(REQUEST, session_timeout_ms=1))
    with pytest.raises(StaleGenerationError):
        house.log.join_group(replace(REQUEST, member_id="nobody"))
    with pytest.raises(StaleGenerationError):
        house.log.heartbeat("unknown", Membership("m", 1))
    with pytest.raises(UsageError, match="INVALID_REQUEST"):
        house.log.join_group(replace(REQUEST, protocols=(("range", b"x" * 2_000_000),)))


def test_a_full_group_refuses_new_members(house: House) -> None:
    asking = replace(REQUEST, is_member_id_required=True)
    for _ in range(2):
        with pytest.raises(StaleGenerationError, match="MEMBER_ID_REQUIRED"):
            house.log.join_group(asking)

    with pytest.raises(UsageError, match="GROUP_MAX_SIZE_REACHED"):
        house.log.join_group(asking)


def test_an_empty_group_is_deleted_with_its_committed_offsets(house: House) -> None:
    membership = house.member()
    house.log.commit_offsets("g", {FIRST: AT}, membership=membership)

    with pytest.raises(UsageError, match="NON_EMPTY_GROUP"):
        house.log.delete_group("g")
    house.log.leave_group("g", membership.member_id)
    house.log.delete_group("g")

    assert house.log.group_names() == []
    assert house.open().group_names() == []
    with pytest.raises(UsageError, match="GROUP_ID_NOT_FOUND"):
        house.log.delete_group("g")


def test_positions_that_a_member_uses_are_not_deleted(house: House) -> None:
    house.log.commit_offsets("g", {FIRST: AT, SECOND: AT})
    house.member()

    with pytest.raises(UsageError, match="GROUP_SUBSCRIBED_TO_TOPIC"):
        house.log.delete_offsets("g", [FIRST])
    house.log.delete_offsets("g", [SECOND])

    assert house.log.committed("g") == {FIRST: AT}


def test_unused_committed_offsets_expire(house: House) -> None:
    house.log.commit_offsets("simple", {FIRST: AT})
    house.clock.advance(6 * DAY_MS)
    house.log.commit_offsets("fresh", {FIRST: AT})

    house.clock.advance(DAY_MS + 1)
    house.log.maintain()

    assert house.log.group_names() == ["fresh"]


def test_an_empty_groups_positions_expire_from_when_it_became_empty(house: House) -> None:
    membership = house.member(replace(REQUEST, session_timeout_ms=1_800_000))
    house.log.commit_offsets("g", {FIRST: AT}, membership=membership)
    house.clock.advance(1_000_000)
    house.log.leave_group("g", membership.member_id)

    house.clock.advance(7 * DAY_MS - 500_000)
    house.log.maintain()
    before = house.log.committed("g")
    house.clock.advance(500_001)
    house.log.maintain()

    assert before == {FIRST: AT}
    assert house.log.committed("g") == {}
    assert house.log.group_names() == []


def test_positions_under_an_open_transaction_do_not_expire(house: House) -> None:
    house.log.commit_offsets("g", {FIRST: AT})
    identity = house.log.init_producer_id("t", timeout_ms=900_000)
    house.clock.advance(7 * DAY_MS - 1000)
    house.log.commit_offsets_in_transaction("t", identity, "g", {FIRST: CommittedOffset(6)})
    house.clock.advance(2000)

    house.log.maintain()
    house.log.end_transaction("t", identity, commit=False)

    assert house.log.committed("g") == {FIRST: AT}


def test_an_assignment_that_does_not_fit_into_a_segment_does_not_keep_the_group_waiting(house: House) -> None:
    reply = house.log.join_group(REQUEST)
    membership = Membership(reply.member_id, reply.generation)

    with pytest.raises(RecordTooLargeError):
        house.log.sync_group(SyncRequest("g", membership, {reply.member_id: b"x" * 3_000_000}))
    with pytest.raises(RebalanceInProgressError):
        house.log.heartbeat("g", membership)
    again = house.log.join_group(replace(REQUEST, member_id=reply.member_id))

    assert again.generation == reply.generation + 1


def test_a_group_whose_record_the_disk_refuses_does_not_keep_the_others_from_expiring(house: House) -> None:
    house.member(replace(REQUEST, session_timeout_ms=1_000))
    house.disk.fill_after(0)
    house.clock.advance(1_000)

    house.log.node.driver.expire_members()
    house.disk.fill_after(None)

    assert house.log.node.broker.groups.next_deadline_s() < float("inf")


def test_a_position_under_an_open_transaction_is_deleted_with_what_is_pending(house: House) -> None:
    house.log.commit_offsets("g", {FIRST: AT})
    identity = house.log.init_producer_id("t", timeout_ms=60_000)
    house.log.commit_offsets_in_transaction("t", identity, "g", {FIRST: CommittedOffset(9)})

    house.log.delete_offsets("g", [FIRST])
    house.log.end_transaction("t", identity, commit=True)

    assert house.log.committed("g") == {}
    assert house.open().committed("g") == {}


def test_the_epoch_of_the_last_record_read_is_given_back(house: House) -> None:
    house.log.commit_offsets("g", {FIRST: CommittedOffset(5, "note", leader_epoch=3)})

    assert house.log.committed("g") == {FIRST: CommittedOffset(5, "note", 3)}
    assert house.open().committed("g") == {FIRST: CommittedOffset(5, "note", 3)}


def test_a_refused_first_join_leaves_no_group(house: House) -> None:
    with pytest.raises(UsageError, match="INCONSISTENT_GROUP_PROTOCOL"):
        house.log.join_group(replace(REQUEST, protocols=()))

    assert house.log.group_names() == []
