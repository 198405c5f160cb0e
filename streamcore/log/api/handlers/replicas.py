"""Leaders and replicas: each partition has one, so that none can be elected or moved."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from streamcore.log.api.calls import Call
from streamcore.log.api.error_codes import ErrorCode, code_of, text_of
from streamcore.log.broker.access.acl import AclOperation, ResourceType
from streamcore.log.broker.api_errors import ApiError
from streamcore.log.protocol.messages.alter_partition_reassignments import (
    AlterPartitionReassignmentsRequest,
    AlterPartitionReassignmentsResponse,
    ReassignablePartition,
    ReassignablePartitionResponse,
    ReassignableTopicResponse,
)
from streamcore.log.protocol.messages.elect_leaders import (
    ElectLeadersRequest,
    ElectLeadersResponse,
    PartitionResult,
    ReplicaElectionResult,
)
from streamcore.log.protocol.messages.list_partition_reassignments import (
    ListPartitionReassignmentsRequest,
    ListPartitionReassignmentsResponse,
)
from streamcore.model import TopicPartition

_ELECTION_TYPES: Final = (0, 1)

_Outcome = tuple[ErrorCode, str | None]


def elect_leaders(request: ElectLeadersRequest, call: Call) -> ElectLeadersResponse:
    """Answer for each partition that its one replica is the leader already."""
    if request.topic_partitions is None:
        wanted: list[tuple[str, Sequence[int]]] = [
            (name, ()) for name in call.broker.topics if call.may_describe(name)
        ]
    else:
        wanted = [(topic.topic, topic.partitions) for topic in request.topic_partitions]
    code: _Outcome = (ErrorCode.NONE, None)
    try:
        call.ensure(AclOperation.ALTER, ResourceType.CLUSTER)
        if wanted and request.election_type not in _ELECTION_TYPES:
            code = (ErrorCode.INVALID_REQUEST, f"there is no election of type {request.election_type}")
    except ApiError as refused:
        code = (code_of(refused), text_of(refused))
    return ElectLeadersResponse(
        throttle_time_ms=0,
        error_code=code[0],
        replica_election_results=[
            ReplicaElectionResult(
                topic=name, partition_result=[_elected(name, index, code, call) for index in indexes]
            )
            for name, indexes in wanted
        ],
    )


def _elected(topic: str, index: int, code: _Outcome, call: Call) -> PartitionResult:
    if code[0] is ErrorCode.NONE:
        code = (ErrorCode.ELECTION_NOT_NEEDED, "the one replica leads the partition already")
        if not call.broker.has_partition(TopicPartition(topic, index)):
            what = "partition" if topic in call.broker.topics else "topic"
            code = _unknown(f"No such {what} as {topic}" + (f"-{index}" if what == "partition" else ""))
    return PartitionResult(partition_id=index, error_code=code[0], error_message=code[1])


def _unknown(kafka_text: str) -> _Outcome:
    return ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, f"{kafka_text}: there is no such partition"


def alter_partition_reassignments(
    request: AlterPartitionReassignmentsRequest, call: Call
) -> AlterPartitionReassignmentsResponse:
    """Accept this broker as the place of a partition, and refuse any other."""
    response = AlterPartitionReassignmentsResponse(
        throttle_time_ms=0,
        # As in Kafka it says so even to who forbids it, if there is nothing to be moved.
        allow_replication_factor_change=request.allow_replication_factor_change or not request.topics,
        error_code=ErrorCode.NONE,
        error_message=None,
        responses=[],
    )
    try:
        call.ensure(AclOperation.ALTER, ResourceType.CLUSTER)
    except ApiError as refused:
        response.error_code, response.error_message = code_of(refused), text_of(refused)
        return response
    response.responses = [
        ReassignableTopicResponse(
            name=topic.name, partitions=[_reassigned(topic.name, each, call) for each in topic.partitions]
        )
        for topic in request.topics
    ]
    return response


def _reassigned(topic: str, wanted: ReassignablePartition, call: Call) -> ReassignablePartitionResponse:
    node_id = call.broker.identity.node_id
    outcome: _Outcome = (ErrorCode.NONE, None)
    if not call.broker.has_partition(TopicPartition(topic, wanted.partition_index)):
        outcome = _unknown(
            f"Unable to find partition {topic}:{wanted.partition_index}."
            if topic in call.broker.topics
            else f"Unable to find a topic named {topic}."
        )
    elif wanted.replicas is None:
        outcome = (ErrorCode.NO_REASSIGNMENT_IN_PROGRESS, "the partition is not being moved")
    elif wanted.replicas != [node_id]:
        outcome = (
            ErrorCode.INVALID_REPLICA_ASSIGNMENT,
            f"there is one broker, {node_id}, and it has one replica",
        )
    return ReassignablePartitionResponse(
        partition_index=wanted.partition_index, error_code=outcome[0], error_message=outcome[1]
    )


def list_partition_reassignments(
    request: ListPartitionReassignmentsRequest, call: Call
) -> ListPartitionReassignmentsResponse:
    """Return no reassignments."""
    response = ListPartitionReassignmentsResponse(
        throttle_time_ms=0, error_code=ErrorCode.NONE, error_message=None, topics=[]
    )
    try:
        call.ensure(AclOperation.DESCRIBE, ResourceType.CLUSTER)
    except ApiError as refused:
        response.error_code, response.error_message = code_of(refused), text_of(refused)
    return response
