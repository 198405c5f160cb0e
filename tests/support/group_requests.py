"""Requests about groups, with everything filled in that a test does not speak of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from streamcore.log.protocol.consumer_protocol import Subscription, encode_subscription
from streamcore.log.protocol.messages.add_offsets_to_txn import AddOffsetsToTxnRequest
from streamcore.log.protocol.messages.consumer_group_describe import ConsumerGroupDescribeRequest
from streamcore.log.protocol.messages.consumer_group_heartbeat import (
    ConsumerGroupHeartbeatRequest,
    TopicPartitions,
)
from streamcore.log.protocol.messages.describe_groups import DescribeGroupsRequest
from streamcore.log.protocol.messages.end_txn import EndTxnRequest
from streamcore.log.protocol.messages.heartbeat import HeartbeatRequest
from streamcore.log.protocol.messages.init_producer_id import InitProducerIdRequest
from streamcore.log.protocol.messages.join_group import JoinGroupRequest, JoinGroupRequestProtocol
from streamcore.log.protocol.messages.leave_group import LeaveGroupRequest, MemberIdentity
from streamcore.log.protocol.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
)
from streamcore.log.protocol.messages.offset_fetch import (
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
    OffsetFetchRequestTopics,
)
from streamcore.log.protocol.messages.sync_group import SyncGroupRequest, SyncGroupRequestAssignment
from streamcore.log.protocol.messages.txn_offset_commit import (
    TxnOffsetCommitRequest,
    TxnOffsetCommitRequestPartition,
    TxnOffsetCommitRequestTopic,
)
from tests.support.wire_client import WireClient


def join_request(group: str, member_id: str = "", **changes: Any) -> JoinGroupRequest:
    protocols: Mapping[str, bytes] = changes.pop(
        "protocols", {"range": encode_subscription(Subscription(("t",)))}
    )
    fields: dict[str, Any] = {
        "group_id": group,
        "session_timeout_ms": 10_000,
        "rebalance_timeout_ms": 10_000,
        "member_id": member_id,
        "protocol_type": "consumer",
        "protocols": [JoinGroupRequestProtocol(name=name, metadata=data) for name, data in protocols.items()],
    }
    return JoinGroupRequest(**(fields | changes))


def sync_request(group: str, member_id: str, generation: int, **changes: Any) -> SyncGroupRequest:
    assignments: Mapping[str, bytes] = changes.pop("assignments", {})
    fields: dict[str, Any] = {
        "group_id": group,
        "generation_id": generation,
        "member_id": member_id,
        "protocol_type": "consumer",
        "protocol_name": "range",
        "assignments": [
            SyncGroupRequestAssignment(member_id=name, assignment=data) for name, data in assignments.items()
        ],
    }
    return SyncGroupRequest(**(fields | changes))


def heartbeat_request(
    group: str, member_id: str, generation: int, instance_id: str | None = None
) -> HeartbeatRequest:
    return HeartbeatRequest(
        group_id=group, generation_id=generation, member_id=member_id, group_instance_id=instance_id
    )


def leave_request(group: str, *members: tuple[str, str | None]) -> LeaveGroupRequest:
    return LeaveGroupRequest(
        group_id=group,
        member_id=members[0][0],
        members=[MemberIdentity(member_id=name, group_instance_id=instance) for name, instance in members],
    )


def commit_request(
    group: str, positions: Mapping[tuple[str, int], int], member_id: str = "", epoch: int = -1, **changes: Any
) -> OffsetCommitRequest:
    fields: dict[str, Any] = {
        "committed_leader_epoch": changes.pop("leader_epoch", -1),
        "committed_metadata": changes.pop("metadata", ""),
    }
    topics: dict[str, list[OffsetCommitRequestPartition]] = {}
    for (topic, partition), offset in positions.items():
        topics.setdefault(topic, []).append(
            OffsetCommitRequestPartition(partition_index=partition, committed_offset=offset, **fields)
        )
    return OffsetCommitRequest(
        group_id=group,
        generation_id_or_member_epoch=epoch,
        member_id=member_id,
        topics=[OffsetCommitRequestTopic(name=name, partitions=parts) for name, parts in topics.items()],
    )


def fetch_request(group: str, topic: str, *partitions: int, **changes: Any) -> OffsetFetchRequest:
    require_stable = changes.pop("require_stable", False)
    topics = [OffsetFetchRequestTopics(name=topic, partition_indexes=list(partitions))]
    return OffsetFetchRequest(
        groups=[OffsetFetchRequestGroup(group_id=group, topics=topics, **changes)],
        require_stable=require_stable,
    )


def consumer_heartbeat(
    client: WireClient, group: str, member_id: str, epoch: int, *, version: int = 1, **changes: Any
) -> Any:
    owned: Mapping[bytes, Sequence[int]] | None = changes.pop("owned", {} if epoch == 0 else None)
    fields: dict[str, Any] = {"rebalance_timeout_ms": 60_000} if epoch == 0 else {}
    if owned is not None:
        fields["topic_partitions"] = [
            TopicPartitions(topic_id=topic_id, partitions=list(numbers))
            for topic_id, numbers in owned.items()
        ]
    return client.ask(
        ConsumerGroupHeartbeatRequest(
            group_id=group, member_id=member_id, member_epoch=epoch, **(fields | changes)
        ),
        version,
    )


def describe_classic(client: WireClient, group: str, version: int = 6) -> Any:
    request = DescribeGroupsRequest(groups=[group], include_authorized_operations=False)
    return client.ask(request, version).groups[0]


def describe_consumer(client: WireClient, group: str) -> Any:
    request = ConsumerGroupDescribeRequest(group_ids=[group], include_authorized_operations=False)
    return client.ask(request, 1).groups[0]


@contextmanager
def transaction_over_position(
    client: WireClient, group: str, place: tuple[str, int], offset: int
) -> Iterator[None]:
    """A transaction over a group's position; it commits at the end of the block."""
    producer = client.ask(
        InitProducerIdRequest(transactional_id=group, transaction_timeout_ms=60_000, producer_id=-1), 4
    )
    who = {"transactional_id": group, "producer_id": producer.producer_id}
    epoch = {"producer_epoch": producer.producer_epoch}
    client.ask(AddOffsetsToTxnRequest(**who, **epoch, group_id=group), 3)
    part = TxnOffsetCommitRequestPartition(
        partition_index=place[1], committed_offset=offset, committed_metadata=""
    )
    topic = TxnOffsetCommitRequestTopic(name=place[0], partitions=[part])
    client.ask(TxnOffsetCommitRequest(**who, **epoch, group_id=group, topics=[topic]), 3)
    yield
    client.ask(EndTxnRequest(**who, **epoch, committed=True), 3)
