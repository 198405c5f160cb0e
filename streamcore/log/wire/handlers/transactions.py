"""Producers' identities and transactions."""

from __future__ import annotations

from typing import Final

from streamcore.errors import StreamCoreError
from streamcore.log.broker.operations import Operation
from streamcore.log.broker.refusals import Refused
from streamcore.log.broker.requests import Membership, ProducerIdentity
from streamcore.log.wire.calls import Call
from streamcore.log.wire.error_codes import ErrorCode, code_of
from streamcore.log.wire.messages.add_offsets_to_txn import AddOffsetsToTxnRequest, AddOffsetsToTxnResponse
from streamcore.log.wire.messages.add_partitions_to_txn import (
    AddPartitionsToTxnPartitionResult,
    AddPartitionsToTxnRequest,
    AddPartitionsToTxnResponse,
    AddPartitionsToTxnTopicResult,
)
from streamcore.log.wire.messages.end_txn import EndTxnRequest, EndTxnResponse
from streamcore.log.wire.messages.init_producer_id import InitProducerIdRequest, InitProducerIdResponse
from streamcore.log.wire.messages.txn_offset_commit import (
    TxnOffsetCommitRequest,
    TxnOffsetCommitResponse,
    TxnOffsetCommitResponsePartition,
    TxnOffsetCommitResponseTopic,
)
from streamcore.model import CommittedPosition, TopicPartition

_NO_PRODUCER: Final = -1


def init_producer_id(request: InitProducerIdRequest, call: Call) -> Operation[InitProducerIdResponse]:
    """Give a producer its identity."""
    if request.transactional_id == "":
        return InitProducerIdResponse(
            throttle_time_ms=0, error_code=ErrorCode.INVALID_REQUEST, producer_epoch=-1
        )
    expected = None
    if request.producer_id != _NO_PRODUCER:
        expected = ProducerIdentity(request.producer_id, request.producer_epoch)
    try:
        identity = yield from call.broker.transactions.init_producer_id(
            request.transactional_id, request.transaction_timeout_ms, expected
        )
    except (Refused, StreamCoreError) as error:
        return InitProducerIdResponse(throttle_time_ms=0, error_code=code_of(error), producer_epoch=-1)
    return InitProducerIdResponse(
        throttle_time_ms=0,
        error_code=ErrorCode.NONE,
        producer_id=identity.producer_id,
        producer_epoch=identity.epoch,
    )


def add_partitions_to_txn(
    request: AddPartitionsToTxnRequest, call: Call
) -> Operation[AddPartitionsToTxnResponse]:
    """Make partitions part of a transaction: all of them, or none."""
    identity = ProducerIdentity(request.v3_and_below_producer_id, request.v3_and_below_producer_epoch)
    asked = [
        TopicPartition(topic.name, number)
        for topic in request.v3_and_below_topics
        for number in topic.partitions
    ]
    unknown = {place for place in asked if not call.broker.has_partition(place)}
    outcome = ErrorCode.OPERATION_NOT_ATTEMPTED
    if not unknown:
        outcome = ErrorCode.NONE
        try:
            yield from call.broker.transactions.add_partitions(
                request.v3_and_below_transactional_id, identity, asked
            )
        except (Refused, StreamCoreError) as error:
            outcome = code_of(error)
    return AddPartitionsToTxnResponse(
        throttle_time_ms=0,
        results_by_topic_v3_and_below=[
            AddPartitionsToTxnTopicResult(
                name=topic.name,
                results_by_partition=[
                    AddPartitionsToTxnPartitionResult(
                        partition_index=number,
                        partition_error_code=ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
                        if TopicPartition(topic.name, number) in unknown
                        else outcome,
                    )
                    for number in topic.partitions
                ],
            )
            for topic in request.v3_and_below_topics
        ],
    )


def add_offsets_to_txn(request: AddOffsetsToTxnRequest, call: Call) -> Operation[AddOffsetsToTxnResponse]:
    """Make the partition of a group's positions part of a transaction."""
    identity = ProducerIdentity(request.producer_id, request.producer_epoch)
    code = ErrorCode.NONE
    try:
        place = call.broker.groups.partition_for(request.group_id)
        yield from call.broker.transactions.add_partitions(request.transactional_id, identity, [place])
    except (Refused, StreamCoreError) as error:
        code = code_of(error)
    return AddOffsetsToTxnResponse(throttle_time_ms=0, error_code=code)


def txn_offset_commit(request: TxnOffsetCommitRequest, call: Call) -> Operation[TxnOffsetCommitResponse]:
    """Make a group's positions part of a transaction."""
    identity = ProducerIdentity(request.producer_id, request.producer_epoch)
    positions: dict[TopicPartition, CommittedPosition] = {}
    unknown: set[TopicPartition] = set()
    for topic in request.topics:
        for each in topic.partitions:
            place = TopicPartition(topic.name, each.partition_index)
            if call.broker.has_partition(place):
                positions[place] = CommittedPosition(each.committed_offset, each.committed_metadata or "")
            else:
                unknown.add(place)
    membership = Membership(request.member_id, request.generation_id, request.group_instance_id)
    outcome = ErrorCode.NONE
    try:
        yield from call.broker.commit_positions_in_transaction(
            request.transactional_id, identity, request.group_id, positions, membership
        )
    except (Refused, StreamCoreError) as error:
        outcome = code_of(error)
    return TxnOffsetCommitResponse(
        throttle_time_ms=0,
        topics=[
            TxnOffsetCommitResponseTopic(
                name=topic.name,
                partitions=[
                    TxnOffsetCommitResponsePartition(
                        partition_index=each.partition_index,
                        error_code=ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
                        if TopicPartition(topic.name, each.partition_index) in unknown
                        else outcome,
                    )
                    for each in topic.partitions
                ],
            )
            for topic in request.topics
        ],
    )


def end_txn(request: EndTxnRequest, call: Call) -> Operation[EndTxnResponse]:
    """Commit or abort."""
    identity = ProducerIdentity(request.producer_id, request.producer_epoch)
    code = ErrorCode.NONE
    try:
        yield from call.broker.transactions.end_transaction(
            request.transactional_id, identity, commit=request.committed
        )
    except (Refused, StreamCoreError) as error:
        code = code_of(error)
    return EndTxnResponse(
        throttle_time_ms=0,
        error_code=code,
        producer_id=identity.producer_id,
        producer_epoch=identity.epoch,
    )
