"""Transactions and producers for administrators: descriptions, and the end of hanging transactions."""

from __future__ import annotations

from typing import Final

from streamcore.errors import StreamCoreError
from streamcore.log.api.calls import Call
from streamcore.log.api.error_codes import ErrorCode, code_of, text_of
from streamcore.log.broker.access.acl import CLUSTER_NAME, AclOperation, ResourceType
from streamcore.log.broker.api_errors import ApiError
from streamcore.log.broker.name_patterns import compile_pattern
from streamcore.log.broker.operations import Operation
from streamcore.log.broker.requests import ProducerIdentity, TransactionDescription
from streamcore.log.broker.topics import ensure_topic_name
from streamcore.log.broker.transactions.listing import STATES_BY_NAME, TransactionFilter
from streamcore.log.protocol.messages import describe_producers as producers
from streamcore.log.protocol.messages import describe_transactions as descriptions
from streamcore.log.protocol.messages import list_transactions as listing
from streamcore.log.protocol.messages.write_txn_markers import (
    WritableTxnMarker,
    WritableTxnMarkerPartitionResult,
    WritableTxnMarkerResult,
    WritableTxnMarkerTopicResult,
    WriteTxnMarkersRequest,
    WriteTxnMarkersResponse,
)
from streamcore.log.storage.producers.producer_states import ProducerState
from streamcore.model import TopicPartition

_NONE: Final = -1
_MARKERS_AT_ONCE_MAX: Final = 500


# --- transactional ids ----------------------------------------------------------------------------


def describe_transactions(
    request: descriptions.DescribeTransactionsRequest, call: Call
) -> descriptions.DescribeTransactionsResponse:
    """Describe transactional ids by name."""
    states = [_description(name, call) for name in request.transactional_ids]
    return descriptions.DescribeTransactionsResponse(throttle_time_ms=0, transaction_states=states)


def _description(name: str, call: Call) -> descriptions.TransactionState:
    if not _may_describe(name, call):
        return _not_described(name, ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED)
    found = call.broker.describe_transaction(name)
    if found is None:
        code = ErrorCode.TRANSACTIONAL_ID_NOT_FOUND if name else ErrorCode.INVALID_REQUEST
        return _not_described(name, code)
    return descriptions.TransactionState(
        error_code=ErrorCode.NONE,
        transactional_id=name,
        transaction_state=found.state,
        transaction_timeout_ms=found.timeout_ms,
        transaction_start_time_ms=found.started_ms,
        producer_id=found.producer.producer_id,
        producer_epoch=found.producer.epoch,
        topics=_topics(found, call),
    )


def _may_describe(name: str, call: Call) -> bool:
    return call.may(AclOperation.DESCRIBE, ResourceType.TRANSACTIONAL_ID, name)


def _not_described(name: str, code: ErrorCode) -> descriptions.TransactionState:
    return descriptions.TransactionState(
        error_code=code,
        transactional_id=name,
        transaction_state="",
        transaction_timeout_ms=0,
        transaction_start_time_ms=0,
        producer_id=0,
        producer_epoch=0,
        topics=[],
    )


def _topics(found: TransactionDescription, call: Call) -> list[descriptions.TopicData]:
    by_topic: dict[str, list[int]] = {}
    for each in found.partitions:
        by_topic.setdefault(each.topic, []).append(each.partition)
    return [
        descriptions.TopicData(topic=name, partitions=numbers)
        for name, numbers in by_topic.items()
        if call.may_describe(name)
    ]


def list_transactions(
    request: listing.ListTransactionsRequest, call: Call
) -> listing.ListTransactionsResponse:
    """List transactional ids."""
    response = listing.ListTransactionsResponse(
        throttle_time_ms=0,
        error_code=ErrorCode.NONE,
        unknown_state_filters=[name for name in request.state_filters if name not in STATES_BY_NAME],
        transaction_states=[],
    )
    states = None
    if request.state_filters:
        states = [STATES_BY_NAME[name] for name in request.state_filters if name in STATES_BY_NAME]
    has_name = None
    if request.transactional_id_pattern:
        try:
            has_name = compile_pattern(request.transactional_id_pattern).matches
        except ApiError as refused:
            response.error_code = code_of(refused)
            return response
    wanted = TransactionFilter(
        states=states,
        producer_ids=frozenset(request.producer_id_filters),
        longer_than_ms=request.duration_filter if request.duration_filter >= 0 else None,
        has_name=has_name,
    )
    response.transaction_states = [
        listing.TransactionState(
            transactional_id=each.transactional_id,
            producer_id=each.producer.producer_id,
            transaction_state=each.state,
        )
        for each in call.broker.list_transactions(wanted)
        if _may_describe(each.transactional_id, call)
    ]
    return response


# --- producers of partitions ----------------------------------------------------------------------


def describe_producers(
    request: producers.DescribeProducersRequest, call: Call
) -> producers.DescribeProducersResponse:
    """Return the producers that partitions remember."""
    topics = [
        producers.TopicResponse(
            name=topic.name,
            partitions=[
                _active_producers(TopicPartition(topic.name, number), call)
                for number in dict.fromkeys(topic.partition_indexes)
            ],
        )
        for topic in request.topics
    ]
    return producers.DescribeProducersResponse(throttle_time_ms=0, topics=topics)


def _active_producers(partition: TopicPartition, call: Call) -> producers.PartitionResponse:
    answer = producers.PartitionResponse(
        partition_index=partition.partition, error_code=ErrorCode.NONE, active_producers=[]
    )
    try:
        ensure_topic_name(partition.topic)
        call.ensure(AclOperation.READ, ResourceType.TOPIC, partition.topic)
        log = call.broker.partition(partition)
    except (ApiError, StreamCoreError) as error:
        answer.error_code, answer.error_message = code_of(error), text_of(error)
    else:
        answer.active_producers = [_producer(state) for state in log.producer_states.values()]
    return answer


def _producer(state: ProducerState) -> producers.ProducerState:
    first_offset = state.transaction_first_offset
    return producers.ProducerState(
        producer_id=state.producer_id,
        producer_epoch=state.epoch,
        last_sequence=state.last_sequence,
        last_timestamp=state.last_seen_ms,
        coordinator_epoch=state.coordinator_epoch,
        current_txn_start_offset=_NONE if first_offset is None else first_offset,
    )


# --- markers --------------------------------------------------------------------------------------


def write_txn_markers(request: WriteTxnMarkersRequest, call: Call) -> Operation[WriteTxnMarkersResponse]:
    """End transactions in partitions as an administrator asks, whatever the coordinator's state is."""
    results: list[WritableTxnMarkerResult] = []
    for marker in request.markers:
        partitions = [
            TopicPartition(topic.name, number)
            for topic in marker.topics
            for number in dict.fromkeys(topic.partition_indexes)
        ]
        codes: dict[TopicPartition, ErrorCode] = {}
        for start in range(0, len(partitions), _MARKERS_AT_ONCE_MAX):
            # Other operations run in between, while these records are synced.
            part = partitions[start : start + _MARKERS_AT_ONCE_MAX]
            codes.update((partition, _written(marker, partition, call)) for partition in part)
            yield call.broker.written_to(
                partition for partition in part if codes[partition] is ErrorCode.NONE
            )
        results.append(_result(marker, codes))
    return WriteTxnMarkersResponse(markers=results)


def _written(marker: WritableTxnMarker, partition: TopicPartition, call: Call) -> ErrorCode:
    if not call.may(AclOperation.CLUSTER_ACTION, ResourceType.CLUSTER, CLUSTER_NAME) and not call.may(
        AclOperation.ALTER, ResourceType.CLUSTER, CLUSTER_NAME
    ):
        return ErrorCode.CLUSTER_AUTHORIZATION_FAILED
    if not call.broker.has_partition(partition):
        return ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    if marker.producer_id < 0 or marker.producer_epoch < 0:
        return ErrorCode.INVALID_REQUEST
    try:
        call.broker.transactions.write_marker(
            partition,
            ProducerIdentity(marker.producer_id, marker.producer_epoch),
            commit=marker.transaction_result,
            coordinator_epoch=marker.coordinator_epoch,
            version=marker.transaction_version,
        )
    except (ApiError, StreamCoreError) as error:
        code = code_of(error)
        return ErrorCode.INVALID_PRODUCER_EPOCH if code is ErrorCode.PRODUCER_FENCED else code
    return ErrorCode.NONE


def _result(marker: WritableTxnMarker, codes: dict[TopicPartition, ErrorCode]) -> WritableTxnMarkerResult:
    return WritableTxnMarkerResult(
        producer_id=marker.producer_id,
        topics=[
            WritableTxnMarkerTopicResult(
                name=topic.name,
                partitions=[
                    WritableTxnMarkerPartitionResult(
                        partition_index=number, error_code=codes[TopicPartition(topic.name, number)]
                    )
                    for number in dict.fromkeys(topic.partition_indexes)
                ],
            )
            for topic in marker.topics
        ],
    )
