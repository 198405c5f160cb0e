"""Producers' identities and transactions: the requests of producers.

The version of a request shows whether the client knows transactions of version 2 (KIP-890,
``transaction.version`` in ApiVersions): EndTxn 5 raises the epoch; Produce 12 and TxnOffsetCommit 5 add
partitions without a request of their own. Older requests keep the epoch and add partitions first.

The error code for a fenced producer depends on the version of the request; see ``_fencing_code``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from streamcore.errors import StreamCoreError
from streamcore.log.api.calls import Call
from streamcore.log.api.error_codes import ErrorCode, code_of
from streamcore.log.broker.access.acl import CLUSTER_NAME, AclOperation, ResourceType
from streamcore.log.broker.api_errors import ApiError
from streamcore.log.broker.operations import Operation
from streamcore.log.broker.requests import ProducerIdentity
from streamcore.log.protocol.messages.add_offsets_to_txn import (
    AddOffsetsToTxnRequest,
    AddOffsetsToTxnResponse,
)
from streamcore.log.protocol.messages.add_partitions_to_txn import (
    AddPartitionsToTxnPartitionResult,
    AddPartitionsToTxnRequest,
    AddPartitionsToTxnResponse,
    AddPartitionsToTxnResult,
    AddPartitionsToTxnTopic,
    AddPartitionsToTxnTopicResult,
)
from streamcore.log.protocol.messages.end_txn import EndTxnRequest, EndTxnResponse
from streamcore.log.protocol.messages.init_producer_id import InitProducerIdRequest, InitProducerIdResponse
from streamcore.log.protocol.messages.txn_offset_commit import (
    TxnOffsetCommitRequest,
    TxnOffsetCommitRequestPartition,
    TxnOffsetCommitResponse,
    TxnOffsetCommitResponsePartition,
    TxnOffsetCommitResponseTopic,
)
from streamcore.model import CommittedOffset, Membership, TopicPartition

_NONE: Final = -1
_BATCHED_FROM: Final = 4
_INIT_KNOWS_FENCED_FROM: Final = 4
_OTHERS_KNOW_FENCED_FROM: Final = 2
_EPOCH_MOVES_FROM: Final = 5
_IMPLICIT_JOIN_FROM: Final = 5
_ABORTABLE_FROM: Final = 4
_VERSION_2: Final = 2


def init_producer_id(request: InitProducerIdRequest, call: Call) -> Operation[InitProducerIdResponse]:
    """Return a producer id and epoch."""
    answer = InitProducerIdResponse(throttle_time_ms=0, error_code=ErrorCode.NONE, producer_epoch=_NONE)
    expected = None
    if (request.producer_id == _NONE) != (request.producer_epoch == _NONE):
        answer.error_code = ErrorCode.INVALID_REQUEST
        return answer
    if request.producer_id != _NONE:
        expected = ProducerIdentity(request.producer_id, request.producer_epoch)
    try:
        _ensure_may_write(request.transactional_id, call)
        identity = yield from call.broker.transactions.init_producer_id(
            request.transactional_id, request.transaction_timeout_ms, expected
        )
    except (ApiError, StreamCoreError) as error:
        answer.error_code = _fencing_code(error, call, knows_from=_INIT_KNOWS_FENCED_FROM)
    else:
        answer.producer_id, answer.producer_epoch = identity.producer_id, identity.epoch
    return answer


def _ensure_may_write(transactional_id: str | None, call: Call) -> None:
    """Raise ``ApiError`` if the client may not be a producer, with a transactional id or without one."""
    if transactional_id is not None:
        call.ensure(AclOperation.WRITE, ResourceType.TRANSACTIONAL_ID, transactional_id)
    elif not call.may_somewhere(AclOperation.WRITE, ResourceType.TOPIC):
        call.ensure(AclOperation.IDEMPOTENT_WRITE, ResourceType.CLUSTER)


def _fencing_code(error: Exception, call: Call, *, knows_from: int) -> ErrorCode:
    """Return the code of an error: before a version, ``PRODUCER_FENCED`` had another name."""
    code = code_of(error)
    if code is ErrorCode.PRODUCER_FENCED and call.version < knows_from:
        return ErrorCode.INVALID_PRODUCER_EPOCH
    return code


# --- partitions -----------------------------------------------------------------------------------


def add_partitions_to_txn(
    request: AddPartitionsToTxnRequest, call: Call
) -> Operation[AddPartitionsToTxnResponse]:
    """Add partitions to a transaction: all or none. Brokers send several transactions at once."""
    if call.version < _BATCHED_FROM:
        identity = ProducerIdentity(request.v3_and_below_producer_id, request.v3_and_below_producer_epoch)
        topics = request.v3_and_below_topics
        codes = yield from _joined(request.v3_and_below_transactional_id, identity, topics, call)
        return AddPartitionsToTxnResponse(
            throttle_time_ms=0, results_by_topic_v3_and_below=_results(topics, codes)
        )
    if not call.may(AclOperation.CLUSTER_ACTION, ResourceType.CLUSTER, CLUSTER_NAME):
        return AddPartitionsToTxnResponse(
            throttle_time_ms=0, error_code=ErrorCode.CLUSTER_AUTHORIZATION_FAILED
        )
    results: list[AddPartitionsToTxnResult] = []
    for each in request.transactions:
        identity = ProducerIdentity(each.producer_id, each.producer_epoch)
        if each.verify_only:
            codes = _verified(each.transactional_id, identity, each.topics, call)
        else:
            codes = yield from _joined(each.transactional_id, identity, each.topics, call)
        results.append(
            AddPartitionsToTxnResult(
                transactional_id=each.transactional_id, topic_results=_results(each.topics, codes)
            )
        )
    return AddPartitionsToTxnResponse(throttle_time_ms=0, results_by_transaction=results)


_Codes = dict[TopicPartition, ErrorCode]


def _joined(
    transactional_id: str, identity: ProducerIdentity, topics: list[AddPartitionsToTxnTopic], call: Call
) -> Operation[_Codes]:
    asked, codes = _looked_up(topics, call)
    is_of_client = call.version < _BATCHED_FROM
    if is_of_client and not call.may(AclOperation.WRITE, ResourceType.TRANSACTIONAL_ID, transactional_id):
        return dict.fromkeys(asked, ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED)
    if codes:
        return codes
    outcome = ErrorCode.NONE
    try:
        yield from call.broker.transactions.add_partitions(transactional_id, identity, asked)
    except (ApiError, StreamCoreError) as error:
        outcome = _fencing_code(error, call, knows_from=_OTHERS_KNOW_FENCED_FROM)
    return dict.fromkeys(asked, outcome)


def _verified(
    transactional_id: str, identity: ProducerIdentity, topics: list[AddPartitionsToTxnTopic], call: Call
) -> _Codes:
    asked, codes = _looked_up(topics, call)
    if codes:
        return codes
    for partition in asked:
        codes[partition] = ErrorCode.NONE
        try:
            call.broker.transactions.ensure_may_write(transactional_id, identity, partition)
        except ApiError as refused:
            codes[partition] = code_of(refused)
    return codes


def _looked_up(topics: list[AddPartitionsToTxnTopic], call: Call) -> tuple[list[TopicPartition], _Codes]:
    """Return the partitions; if one cannot be added, also the results for all, as none is added then."""
    asked = [TopicPartition(topic.name, number) for topic in topics for number in topic.partitions]
    impossible: _Codes = {}
    for topic in topics:
        may_write = call.may(AclOperation.WRITE, ResourceType.TOPIC, topic.name)
        for partition in (TopicPartition(topic.name, number) for number in topic.partitions):
            if call.version < _BATCHED_FROM and not may_write:
                impossible[partition] = ErrorCode.TOPIC_AUTHORIZATION_FAILED
            elif not call.broker.has_partition(partition):
                impossible[partition] = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    if not impossible:
        return asked, {}
    return asked, dict.fromkeys(asked, ErrorCode.OPERATION_NOT_ATTEMPTED) | impossible


def _results(topics: list[AddPartitionsToTxnTopic], codes: _Codes) -> list[AddPartitionsToTxnTopicResult]:
    return [
        AddPartitionsToTxnTopicResult(
            name=topic.name,
            results_by_partition=[
                AddPartitionsToTxnPartitionResult(
                    partition_index=number, partition_error_code=codes[TopicPartition(topic.name, number)]
                )
                for number in topic.partitions
            ],
        )
        for topic in topics
    ]


# --- committed offsets ----------------------------------------------------------------------------


def add_offsets_to_txn(request: AddOffsetsToTxnRequest, call: Call) -> Operation[AddOffsetsToTxnResponse]:
    """Add the partition of a group's committed offsets to a transaction."""
    identity = ProducerIdentity(request.producer_id, request.producer_epoch)
    code = ErrorCode.NONE
    try:
        call.ensure(AclOperation.WRITE, ResourceType.TRANSACTIONAL_ID, request.transactional_id)
        call.ensure(AclOperation.READ, ResourceType.GROUP, request.group_id)
        partition = call.broker.groups.partition_for(request.group_id)
        yield from call.broker.transactions.add_partitions(request.transactional_id, identity, [partition])
    except (ApiError, StreamCoreError) as error:
        code = _fencing_code(error, call, knows_from=_OTHERS_KNOW_FENCED_FROM)
    return AddOffsetsToTxnResponse(throttle_time_ms=0, error_code=code)


def txn_offset_commit(request: TxnOffsetCommitRequest, call: Call) -> Operation[TxnOffsetCommitResponse]:
    """Add a group's committed offsets to a transaction."""
    offsets: dict[TopicPartition, CommittedOffset] = {}
    codes: dict[TopicPartition, ErrorCode] = {}
    too_long: list[TopicPartition] = []
    for partition, each in _offsets_in(request):
        committed = CommittedOffset(
            each.committed_offset, each.committed_metadata or "", each.committed_leader_epoch
        )
        if not call.may(AclOperation.READ, ResourceType.TOPIC, partition.topic):
            codes[partition] = ErrorCode.TOPIC_AUTHORIZATION_FAILED
        elif not call.broker.has_partition(partition):
            codes[partition] = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
        elif call.broker.groups.is_too_long(committed):
            too_long.append(partition)
        else:
            offsets[partition] = committed
    outcome = _group_code(request, call)
    if outcome is not ErrorCode.NONE:
        codes.clear()
    elif not request.group_id:
        outcome = ErrorCode.INVALID_GROUP_ID
    elif offsets or too_long:
        outcome = yield from _committed_in_transaction(request, offsets, call)
    if outcome is ErrorCode.NONE:
        codes.update(dict.fromkeys(too_long, ErrorCode.OFFSET_METADATA_TOO_LARGE))
    return TxnOffsetCommitResponse(
        throttle_time_ms=0,
        topics=[
            TxnOffsetCommitResponseTopic(
                name=topic.name,
                partitions=[
                    TxnOffsetCommitResponsePartition(
                        partition_index=each.partition_index,
                        error_code=codes.get(TopicPartition(topic.name, each.partition_index), outcome),
                    )
                    for each in topic.partitions
                ],
            )
            for topic in request.topics
        ],
    )


def _group_code(request: TxnOffsetCommitRequest, call: Call) -> ErrorCode:
    """Return the error that forbids every commit for the group in the transaction, if there is one."""
    try:
        call.ensure(AclOperation.WRITE, ResourceType.TRANSACTIONAL_ID, request.transactional_id)
        call.ensure(AclOperation.READ, ResourceType.GROUP, request.group_id)
    except ApiError as refused:
        return code_of(refused)
    return ErrorCode.NONE


def _offsets_in(
    request: TxnOffsetCommitRequest,
) -> Iterator[tuple[TopicPartition, TxnOffsetCommitRequestPartition]]:
    for topic in request.topics:
        for each in topic.partitions:
            yield TopicPartition(topic.name, each.partition_index), each


def _committed_in_transaction(
    request: TxnOffsetCommitRequest, offsets: dict[TopicPartition, CommittedOffset], call: Call
) -> Operation[ErrorCode]:
    """Write the offsets and wait for the disk: the client may commit after this process has ended."""
    identity = ProducerIdentity(request.producer_id, request.producer_epoch)
    membership = Membership(request.member_id, request.generation_id, request.group_instance_id)
    try:
        yield from call.broker.batches.commit_offsets(
            request.transactional_id,
            identity,
            request.group_id,
            offsets,
            membership,
            joins_as=_VERSION_2 if call.version >= _IMPLICIT_JOIN_FROM else None,
        )
        yield call.broker.written_to([call.broker.groups.partition_for(request.group_id)])
    except (ApiError, StreamCoreError) as error:
        code = code_of(error)
        if code is ErrorCode.PRODUCER_FENCED:
            return ErrorCode.INVALID_PRODUCER_EPOCH
        if code is ErrorCode.TRANSACTION_ABORTABLE and call.version < _ABORTABLE_FROM:
            return ErrorCode.INVALID_TXN_STATE
        return code
    return ErrorCode.NONE


# --- endings --------------------------------------------------------------------------------------


def end_txn(request: EndTxnRequest, call: Call) -> Operation[EndTxnResponse]:
    """Commit or abort a transaction."""
    moves_epoch = call.version >= _EPOCH_MOVES_FROM
    answer = EndTxnResponse(throttle_time_ms=0, error_code=ErrorCode.NONE)
    try:
        call.ensure(AclOperation.WRITE, ResourceType.TRANSACTIONAL_ID, request.transactional_id)
        identity = yield from call.broker.transactions.end_transaction(
            request.transactional_id,
            ProducerIdentity(request.producer_id, request.producer_epoch),
            commit=request.committed,
            version=_VERSION_2 if moves_epoch else 0,
        )
    except (ApiError, StreamCoreError) as error:
        answer.error_code = _fencing_code(error, call, knows_from=_OTHERS_KNOW_FENCED_FROM)
    else:
        if moves_epoch:
            answer.producer_id, answer.producer_epoch = identity.producer_id, identity.epoch
    return answer
