"""DescribeTopicPartitions (KIP-966): topics with their partitions, by name, a bounded number at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from streamcore.log.api.calls import Call
from streamcore.log.api.error_codes import ErrorCode, code_of
from streamcore.log.broker.access.acl import ResourceType
from streamcore.log.broker.api_errors import ApiError
from streamcore.log.broker.topics import ensure_topic_name
from streamcore.log.protocol.messages.describe_topic_partitions import (
    Cursor,
    DescribeTopicPartitionsRequest,
    DescribeTopicPartitionsResponse,
    DescribeTopicPartitionsResponsePartition,
    DescribeTopicPartitionsResponseTopic,
)

_PARTITIONS_MAX: Final = 2_000
"""The most partitions of one answer (``max.request.partition.size.limit``)."""
_NO_ID: Final = bytes(16)


def describe_topic_partitions(
    request: DescribeTopicPartitionsRequest, call: Call
) -> DescribeTopicPartitionsResponse:
    """Describe topics from the cursor on, up to the limit of the request."""
    names = sorted({topic.name for topic in request.topics} or call.broker.topics)
    start = request.cursor
    if start is not None:
        is_known = not request.topics or start.topic_name in names
        if start.partition_index < 0 or not is_known:
            return _refused([topic.name for topic in request.topics])
        names = [name for name in names if name >= start.topic_name]
    room = min(max(1, request.response_partition_limit), _PARTITIONS_MAX)
    response = DescribeTopicPartitionsResponse(throttle_time_ms=0, topics=[])
    for name in names:
        may = call.may_describe(name)
        if not may and not request.topics:
            continue
        count = call.broker.topics[name].partition_count if may and name in call.broker.topics else 0
        if count and not room:
            response.next_cursor = Cursor(topic_name=name, partition_index=0)
            break
        first = start.partition_index if start is not None and start.topic_name == name else 0
        shown = range(first, min(count, first + room))
        response.topics.append(_described(name, shown, may, call))
        room -= len(shown)
        if shown.stop < count and len(shown):
            response.next_cursor = Cursor(topic_name=name, partition_index=shown.stop)
            break
    return response


def _described(
    name: str, shown: Sequence[int], may: bool, call: Call
) -> DescribeTopicPartitionsResponseTopic:
    topic = DescribeTopicPartitionsResponseTopic(
        error_code=ErrorCode.NONE, name=name, topic_id=_NO_ID, partitions=[]
    )
    if not may:
        topic.error_code = ErrorCode.TOPIC_AUTHORIZATION_FAILED
        return topic
    topic.topic_authorized_operations = call.operations(ResourceType.TOPIC, name)
    try:
        ensure_topic_name(name)
    except ApiError as refused:
        topic.error_code = code_of(refused)
        return topic
    state = call.broker.topics.get(name)
    if state is None:
        topic.error_code = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
        return topic
    topic.topic_id = state.topic_id.bytes
    topic.is_internal = call.broker.is_internal(name)
    node_ids = [call.broker.identity.node_id]
    logs = call.broker.partitions_of(name)
    topic.partitions = [
        DescribeTopicPartitionsResponsePartition(
            error_code=ErrorCode.NONE,
            partition_index=index,
            leader_id=node_ids[0],
            leader_epoch=logs[index].leader_epoch,
            replica_nodes=node_ids,
            isr_nodes=node_ids,
            eligible_leader_replicas=[],
            last_known_elr=[],
            offline_replicas=[],
        )
        for index in shown
    ]
    return topic


def _refused(names: Sequence[str]) -> DescribeTopicPartitionsResponse:
    return DescribeTopicPartitionsResponse(
        throttle_time_ms=0,
        topics=[
            DescribeTopicPartitionsResponseTopic(
                error_code=ErrorCode.INVALID_REQUEST, name=name, topic_id=_NO_ID, partitions=[]
            )
            for name in names
        ],
    )
