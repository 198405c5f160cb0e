"""The one folder of the log: the size of each partition, and the free space."""

from __future__ import annotations

from collections.abc import Iterable

from streamcore.errors import StorageError
from streamcore.log.api.calls import Call
from streamcore.log.api.error_codes import ErrorCode, code_of
from streamcore.log.broker.access.acl import CLUSTER_NAME, AclOperation, ResourceType
from streamcore.log.broker.api_errors import ApiError
from streamcore.log.protocol.messages.alter_replica_log_dirs import (
    AlterReplicaLogDirPartitionResult,
    AlterReplicaLogDirsRequest,
    AlterReplicaLogDirsResponse,
    AlterReplicaLogDirTopicResult,
)
from streamcore.log.protocol.messages.describe_log_dirs import (
    DescribeLogDirsPartition,
    DescribeLogDirsRequest,
    DescribeLogDirsResponse,
    DescribeLogDirsResult,
    DescribeLogDirsTopic,
)
from streamcore.model import TopicPartition


def describe_log_dirs(request: DescribeLogDirsRequest, call: Call) -> DescribeLogDirsResponse:
    """Return the sizes of partitions, all or those asked for."""
    try:
        call.ensure(AclOperation.DESCRIBE, ResourceType.CLUSTER)
    except ApiError as refused:
        return DescribeLogDirsResponse(throttle_time_ms=0, error_code=code_of(refused), results=[])
    if request.topics is None:
        wanted: Iterable[tuple[str, Iterable[int]]] = [
            (state.name, range(state.partition_count))
            for state in call.broker.topics.values()
            if call.may_describe(state.name)
        ]
    else:
        wanted = [(topic.topic, topic.partitions) for topic in request.topics]
    result = DescribeLogDirsResult(
        error_code=ErrorCode.NONE, log_dir=str(call.broker.log_root), topics=_sizes(wanted, call)
    )
    try:
        space = call.broker.disk_space()
        result.total_bytes, result.usable_bytes = space.total_bytes, space.usable_bytes
    except StorageError as error:
        result.error_code = code_of(error)
    return DescribeLogDirsResponse(throttle_time_ms=0, results=[result])


def _sizes(wanted: Iterable[tuple[str, Iterable[int]]], call: Call) -> list[DescribeLogDirsTopic]:
    topics: list[DescribeLogDirsTopic] = []
    for name, indexes in wanted:
        described = [TopicPartition(name, index) for index in dict.fromkeys(indexes)]
        partitions = [
            DescribeLogDirsPartition(
                partition_index=partition.partition,
                partition_size=call.broker.partition(partition).size_bytes,
                offset_lag=0,
                is_future_key=False,
            )
            for partition in described
            if call.broker.has_partition(partition)
        ]
        if partitions:
            topics.append(DescribeLogDirsTopic(name=name, partitions=partitions))
    return topics


def alter_replica_log_dirs(request: AlterReplicaLogDirsRequest, call: Call) -> AlterReplicaLogDirsResponse:
    """Accept the one folder for a partition, and refuse any other."""
    results: dict[str, dict[int, ErrorCode]] = {}
    for folder in request.dirs:
        for topic in folder.topics:
            for index in topic.partitions:
                code = _move_error(folder.path, TopicPartition(topic.name, index), call)
                results.setdefault(topic.name, {})[index] = code
    return AlterReplicaLogDirsResponse(
        throttle_time_ms=0,
        results=[
            AlterReplicaLogDirTopicResult(
                topic_name=name,
                partitions=[
                    AlterReplicaLogDirPartitionResult(partition_index=index, error_code=code)
                    for index, code in codes.items()
                ],
            )
            for name, codes in results.items()
        ],
    )


def _move_error(path: str, partition: TopicPartition, call: Call) -> ErrorCode:
    if not call.may(AclOperation.ALTER, ResourceType.CLUSTER, CLUSTER_NAME):
        return ErrorCode.CLUSTER_AUTHORIZATION_FAILED
    if path != str(call.broker.log_root):
        return ErrorCode.LOG_DIR_NOT_FOUND
    if not call.broker.has_partition(partition):
        return ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    return ErrorCode.NONE
