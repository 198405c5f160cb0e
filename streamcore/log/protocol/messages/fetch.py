"""Fetch (key 1): reads record batches, and waits for a minimum size if requested."""

from __future__ import annotations

from typing import Annotated as A

import msgspec

from streamcore.log.protocol.fields import (
    ZERO_UUID,
    Int8,
    Int16,
    Int32,
    Int64,
    Message,
    Records,
    Tag,
    Uuid,
    V,
)


class ReplicaState(Message):
    replica_id: Int32 = -1
    replica_epoch: Int64 = -1


class FetchPartition(Message):
    partition: Int32
    current_leader_epoch: A[Int32, V("9+")] = -1
    fetch_offset: Int64
    last_fetched_epoch: A[Int32, V("12+")] = -1
    log_start_offset: A[Int64, V("5+")] = -1
    partition_max_bytes: Int32
    replica_directory_id: A[Uuid, Tag(0, "17+")] = ZERO_UUID
    high_watermark: A[Int64, Tag(1, "18+")] = 9_223_372_036_854_775_807


class FetchTopic(Message):
    topic: A[str, V("0-12")] = ""
    topic_id: A[Uuid, V("13+")] = ZERO_UUID
    partitions: list[FetchPartition]


class ForgottenTopic(Message):
    topic: A[str, V("7-12")] = ""
    topic_id: A[Uuid, V("13+")] = ZERO_UUID
    partitions: list[Int32]


class FetchRequest(Message):
    """The request."""

    cluster_id: A[str | None, Tag(0, "12+")] = None
    replica_id: A[Int32, V("0-14")] = -1
    replica_state: A[ReplicaState, Tag(1, "15+")] = msgspec.field(default_factory=ReplicaState)
    max_wait_ms: Int32
    min_bytes: Int32
    max_bytes: Int32 = 2_147_483_647
    isolation_level: Int8 = 0
    session_id: A[Int32, V("7+")] = 0
    session_epoch: A[Int32, V("7+")] = -1
    topics: list[FetchTopic]
    forgotten_topics_data: A[list[ForgottenTopic], V("7+")] = []
    rack_id: A[str, V("11+")] = ""


class EpochEndOffset(Message):
    epoch: Int32 = -1
    end_offset: Int64 = -1


class LeaderIdAndEpoch(Message):
    leader_id: Int32 = -1
    leader_epoch: Int32 = -1


class SnapshotId(Message):
    end_offset: Int64 = -1
    epoch: Int32 = -1


class AbortedTransaction(Message):
    producer_id: Int64
    first_offset: Int64


class PartitionData(Message):
    partition_index: Int32
    error_code: Int16
    high_watermark: Int64
    last_stable_offset: Int64 = -1
    log_start_offset: A[Int64, V("5+")] = -1
    diverging_epoch: A[EpochEndOffset, Tag(0, "12+")] = msgspec.field(default_factory=EpochEndOffset)
    current_leader: A[LeaderIdAndEpoch, Tag(1, "12+")] = msgspec.field(default_factory=LeaderIdAndEpoch)
    snapshot_id: A[SnapshotId, Tag(2, "12+")] = msgspec.field(default_factory=SnapshotId)
    aborted_transactions: list[AbortedTransaction] | None
    preferred_read_replica: A[Int32, V("11+")] = -1
    records: Records | None


class FetchableTopicResponse(Message):
    topic: A[str, V("0-12")] = ""
    topic_id: A[Uuid, V("13+")] = ZERO_UUID
    partitions: list[PartitionData]


class NodeEndpoint(Message):
    node_id: Int32
    host: str
    port: Int32
    rack: str | None = None


class FetchResponse(Message):
    """The response."""

    throttle_time_ms: Int32
    error_code: A[Int16, V("7+")] = 0
    session_id: A[Int32, V("7+")] = 0
    responses: list[FetchableTopicResponse]
    node_endpoints: A[list[NodeEndpoint], Tag(0, "16+")] = []
