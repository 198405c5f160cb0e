"""OffsetFetch (key 9): returns the committed offsets of groups."""

from __future__ import annotations

from typing import Annotated as A

from streamcore.log.protocol.fields import ZERO_UUID, Int16, Int32, Int64, Message, Null, Uuid, V


class OffsetFetchRequestTopic(Message):
    name: str
    partition_indexes: list[Int32]


class OffsetFetchRequestTopics(Message):
    name: A[str, V("8-9")] = ""
    topic_id: A[Uuid, V("10+")] = ZERO_UUID
    partition_indexes: list[Int32]


class OffsetFetchRequestGroup(Message):
    group_id: str
    member_id: A[str | None, V("9+")] = None
    member_epoch: A[Int32, V("9+")] = -1
    topics: list[OffsetFetchRequestTopics] | None


class OffsetFetchRequest(Message):
    """The request."""

    group_id: A[str, V("0-7")] = ""
    topics: A[list[OffsetFetchRequestTopic] | None, V("0-7"), Null("2-7")] = []
    groups: A[list[OffsetFetchRequestGroup], V("8+")] = []
    require_stable: A[bool, V("7+")] = False


class OffsetFetchResponsePartition(Message):
    partition_index: Int32
    committed_offset: Int64
    committed_leader_epoch: A[Int32, V("5-7")] = -1
    metadata: str | None
    error_code: Int16


class OffsetFetchResponseTopic(Message):
    name: str
    partitions: list[OffsetFetchResponsePartition]


class OffsetFetchResponsePartitions(Message):
    partition_index: Int32
    committed_offset: Int64
    committed_leader_epoch: Int32 = -1
    metadata: str | None
    error_code: Int16


class OffsetFetchResponseTopics(Message):
    name: A[str, V("8-9")] = ""
    topic_id: A[Uuid, V("10+")] = ZERO_UUID
    partitions: list[OffsetFetchResponsePartitions]


class OffsetFetchResponseGroup(Message):
    group_id: str
    topics: list[OffsetFetchResponseTopics]
    error_code: Int16 = 0


class OffsetFetchResponse(Message):
    """The response."""

    throttle_time_ms: A[Int32, V("3+")] = 0
    topics: A[list[OffsetFetchResponseTopic], V("0-7")] = []
    error_code: A[Int16, V("2-7")] = 0
    groups: A[list[OffsetFetchResponseGroup], V("8+")] = []
