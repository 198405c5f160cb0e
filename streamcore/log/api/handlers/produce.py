"""Produce: appends batches as they arrived, and acknowledges them after they are on disk.

No work is done per record. The batches are views of the request's frame; the offsets are written into that
memory.
"""

from __future__ import annotations

import struct
from itertools import islice
from typing import Final, NamedTuple

from streamcore.errors import (
    CorruptBatchError,
    InvalidRecordError,
    InvalidTimestampError,
    StorageError,
    UnknownTopicError,
    UnsupportedVersionError,
    UsageError,
    with_facts,
)
from streamcore.log.api.calls import Call, ConnectionRefusedByHandler
from streamcore.log.api.error_codes import ErrorCode, code_of, shortened, text_of
from streamcore.log.broker.access.acl import AclOperation, ResourceType
from streamcore.log.broker.api_errors import ApiError
from streamcore.log.broker.operations import Operation
from streamcore.log.broker.requests import AppendedBatch
from streamcore.log.protocol.messages.produce import (
    BatchIndexAndErrorMessage,
    PartitionProduceData,
    PartitionProduceResponse,
    ProduceRequest,
    ProduceResponse,
    TopicProduceData,
    TopicProduceResponse,
)
from streamcore.log.records.batch import HEADER_BYTES, LENGTH_END, MAGIC, TRANSACTIONAL_FLAG
from streamcore.log.records.compression import ZSTD
from streamcore.model import TopicPartition

_ACKS: Final = (-1, 0, 1)
_ZSTD_FROM: Final = 7
_ABORTABLE_FROM: Final = 11
_IMPLICIT_JOIN_FROM: Final = 12
_TOPIC_IDS_FROM: Final = 13
_TRANSACTIONS_2: Final = 2
"""The version of transactions in which Produce adds the partition."""

_KAFKAS_MAGICS: Final = (0, 1, MAGIC)
"""The versions of the record format."""
_WITHOUT_LOG_START: Final = frozenset(
    {
        ErrorCode.CORRUPT_MESSAGE,
        ErrorCode.KAFKA_STORAGE_ERROR,
        ErrorCode.MESSAGE_TOO_LARGE,
        ErrorCode.RECORD_LIST_TOO_LARGE,
        ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
    }
)
"""Refusals by a partition that are answered without the log start; so are those by a transaction
coordinator.
"""

_FIRST_FIELDS: Final = struct.Struct(">8xi4xb4xh")
"""Of a batch: its length, its format's version, its attributes."""


class _RequestedBatch(NamedTuple):
    """The partition of a batch, and its part of the answer."""

    partition: TopicPartition
    batch: memoryview
    result: PartitionProduceResponse


def produce(request: ProduceRequest, call: Call) -> Operation[ProduceResponse | None]:
    """Append the batches; each batch has its own result."""
    response = ProduceResponse(responses=[])
    requested = _requested_batches(request, call, response)
    if not _may_use_transactional_id(request, call):
        requested = []
        for partition in (each for topic in response.responses for each in topic.partition_responses):
            partition.error_code = ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED
    # From this version on a Produce adds its partition to the transaction (KIP-890).
    appended = yield from call.broker.batches.append_each(
        [(wanted.partition, wanted.batch) for wanted in requested],
        request.transactional_id,
        joins_as=_TRANSACTIONS_2 if call.version >= _IMPLICIT_JOIN_FROM else None,
    )
    # Records are synced also for ``acks=0``: they become readable only then.
    appended = yield from _durable(appended, call)
    for wanted, batch in zip(requested, appended, strict=True):
        _answer(wanted.result, batch, call)
    if request.acks:
        return response
    if any(partition.error_code for topic in response.responses for partition in topic.partition_responses):
        raise ConnectionRefusedByHandler("a batch was refused whose producer asked for no answer")
    return None


def acknowledge(appended: AppendedBatch, topic: TopicProduceData, call: Call) -> Operation[ProduceResponse]:
    """Return the answer for the one batch of a request, appended or refused before, after it is durable."""
    result = PartitionProduceResponse(index=appended.partition.partition, error_code=0, base_offset=-1)
    (appended,) = yield from _durable([appended], call)
    _answer(result, appended, call)
    answer = TopicProduceResponse(name=topic.name, topic_id=topic.topic_id, partition_responses=[result])
    return ProduceResponse(responses=[answer])


def _requested_batches(
    request: ProduceRequest, call: Call, response: ProduceResponse
) -> list[_RequestedBatch]:
    """Return the batches that can be appended; the response gets the errors of the others."""
    requested: list[_RequestedBatch] = []
    has_ids = call.version >= _TOPIC_IDS_FROM
    for topic in request.topic_data:
        name = call.broker.topic_name(topic.topic_id) if has_ids else topic.name
        may_write = name is not None and call.may(AclOperation.WRITE, ResourceType.TOPIC, name)
        results = [
            PartitionProduceResponse(index=each.index, error_code=0, base_offset=-1)
            for each in topic.partition_data
        ]
        response.responses.append(
            TopicProduceResponse(name=topic.name, topic_id=topic.topic_id, partition_responses=results)
        )
        for each, result in zip(topic.partition_data, results, strict=True):
            if name is None:
                result.error_code = ErrorCode.UNKNOWN_TOPIC_ID
            elif not may_write:
                result.error_code = ErrorCode.TOPIC_AUTHORIZATION_FAILED
            else:
                partition = TopicPartition(name, each.index)
                try:
                    batch = _single_batch(each, request.transactional_id, call.version)
                    _ensure_may_be_written_to(partition, request, call)
                except (UsageError, CorruptBatchError) as error:
                    _refuse(result, _first_of(error, partition, call), call)
                else:
                    requested.append(_RequestedBatch(partition, batch, result))
    return requested


def _ensure_may_be_written_to(partition: TopicPartition, request: ProduceRequest, call: Call) -> None:
    if request.acks not in _ACKS:
        raise _ImpossibleAcksError(f"acks is 0, 1 or -1 for all: acks={request.acks}")
    if call.broker.is_internal(partition.topic):
        raise _InternalTopicError(
            f"only the broker writes to this topic; choose another: partition={partition}"
        )


def _first_of(error: Exception, partition: TopicPartition, call: Call) -> Exception:
    """Return the error to answer if the batch is wrong and may be for a missing partition: the missing
    partition wins.
    """
    if isinstance(error, _InternalTopicError) or call.broker.has_partition(partition):
        return error
    return UnknownTopicError(f"there is no such partition: partition={partition}")


def _may_use_transactional_id(request: ProduceRequest, call: Call) -> bool:
    """Whether the request has nothing transactional, or the client may use its transactional id."""
    batches = (each.records for topic in request.topic_data for each in topic.partition_data)
    if call.caller.authorizer is None or not any(map(_is_transactional, batches)):
        return True
    name = request.transactional_id
    return name is not None and call.may(AclOperation.WRITE, ResourceType.TRANSACTIONAL_ID, name)


def _is_transactional(records: object) -> bool:
    if not isinstance(records, memoryview) or len(records) < HEADER_BYTES:
        return False
    _, _, attributes = _FIRST_FIELDS.unpack_from(records)
    return bool(attributes & TRANSACTIONAL_FLAG)


def _single_batch(data: PartitionProduceData, transactional_id: str | None, version: int) -> memoryview:
    """Return the one batch that a request has for a partition."""
    records = data.records
    if not isinstance(records, memoryview) or len(records) < HEADER_BYTES:
        raise InvalidRecordError("a Produce request has one batch for each partition, and this one has none")
    length, magic, attributes = _FIRST_FIELDS.unpack_from(records)
    if magic not in _KAFKAS_MAGICS:
        raise CorruptBatchError(f"the record format is unknown: version={magic}")
    if magic != MAGIC:
        raise UnsupportedVersionError(f"only record batches of format version 2 are taken: version={magic}")
    if LENGTH_END + length > len(records):
        raise InvalidRecordError("the batch is cut off: send a complete one")
    if LENGTH_END + length < len(records):
        raise InvalidRecordError("a Produce request has one batch for each partition, and this one has more")
    if attributes & 7 == ZSTD and version < _ZSTD_FROM:
        raise _ZstdTooEarlyError("zstd needs Produce version 7: upgrade the client or choose another codec")
    if attributes & TRANSACTIONAL_FLAG and transactional_id is None:
        raise _NobodysTransactionError("a transactional batch needs its producer's transactional id")
    return records


class _ImpossibleAcksError(UsageError):
    """``acks`` asks for more brokers than there are."""


class _InternalTopicError(UsageError):
    """Clients may not write to this topic."""


class _ZstdTooEarlyError(UsageError):
    """The batch is compressed by zstd, which readers with this version do not know."""


class _NobodysTransactionError(UsageError):
    """The batch is part of a transaction, and the request has no transactional id."""


def _refuse(result: PartitionProduceResponse, error: Exception, call: Call) -> None:
    if isinstance(error, _ImpossibleAcksError):
        result.error_code = ErrorCode.INVALID_REQUIRED_ACKS
    elif isinstance(error, _InternalTopicError):
        result.error_code = ErrorCode.INVALID_TOPIC_EXCEPTION
    elif isinstance(error, _ZstdTooEarlyError):
        result.error_code = ErrorCode.UNSUPPORTED_COMPRESSION_TYPE
    elif isinstance(error, _NobodysTransactionError):
        result.error_code = ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED
    elif isinstance(error, UnsupportedVersionError):
        result.error_code = ErrorCode.INVALID_RECORD
    else:
        result.error_code = _code_for(error, call.version)
    result.error_message = text_of(error)
    if isinstance(error, InvalidRecordError) and error.record_errors:
        result.record_errors = [
            BatchIndexAndErrorMessage(batch_index=index, batch_index_error_message=text)
            for index, text in error.record_errors.items()
        ]
        result.error_message = shortened(f"{_kafkas_summary(error)}: {error}")


def _kafkas_summary(error: InvalidRecordError) -> str:
    """Return Kafka's text for a batch with invalid records, which programs may match."""
    if isinstance(error, InvalidTimestampError):
        return "One or more records have been rejected due to invalid timestamp"
    shown = ", ".join(
        f"RecordError(batchIndex={index}, message='{text}')"
        for index, text in islice(error.record_errors.items(), 3)
    )
    return (
        f"One or more records have been rejected due to {len(error.record_errors)} record errors in total, "
        f"and only showing the first three errors at most: [{shown}]"
    )


def _code_for(error: Exception, version: int) -> ErrorCode:
    """Return the code for an error, as the version of the request knows it."""
    code = code_of(error)
    if code is ErrorCode.PRODUCER_FENCED:
        return ErrorCode.INVALID_PRODUCER_EPOCH
    if code is ErrorCode.TRANSACTION_ABORTABLE and version < _ABORTABLE_FROM:
        return ErrorCode.INVALID_TXN_STATE
    if code is ErrorCode.CONCURRENT_TRANSACTIONS and version < _IMPLICIT_JOIN_FROM:
        return ErrorCode.NOT_ENOUGH_REPLICAS  # after this error such a client sends the batch again
    return code


def _durable(appended: list[AppendedBatch], call: Call) -> Operation[list[AppendedBatch]]:
    """Wait until each batch is on disk, or its disk has failed."""
    while True:
        appended = [_unknown_if_deleted(call, batch) for batch in appended]
        try:
            yield from call.broker.batches.durable(appended)
        except StorageError:
            appended = [_failed_if_lost(call, batch) for batch in appended]
        else:
            return [_unknown_if_deleted(call, batch) for batch in appended]


def _unknown_if_deleted(call: Call, batch: AppendedBatch) -> AppendedBatch:
    """Return the batch, or the error if its topic was deleted after the append."""
    if batch.error is not None or call.broker.has_partition(batch.partition):
        return batch
    error = UnknownTopicError(with_facts("the topic was deleted meanwhile", topic=batch.partition.topic))
    return AppendedBatch(batch.partition, error=error)


def _failed_if_lost(call: Call, batch: AppendedBatch) -> AppendedBatch:
    """Return the batch, or the error if its disk has failed."""
    if batch.error is not None or not call.broker.has_partition(batch.partition):
        return batch
    failure = call.broker.partition(batch.partition).health.error
    return batch if failure is None else AppendedBatch(batch.partition, error=failure)


def _answer(result: PartitionProduceResponse, batch: AppendedBatch, call: Call) -> None:
    if batch.error is not None:
        _refuse(result, batch.error, call)
        by_partition = result.error_code not in _WITHOUT_LOG_START
        if isinstance(batch.error.__cause__, ApiError):
            by_partition = False  # a transaction coordinator has refused it
        if by_partition and call.broker.has_partition(batch.partition):
            result.log_start_offset = call.broker.partition(batch.partition).offsets.log_start
        return
    result.base_offset = batch.base_offset
    result.log_append_time_ms = batch.log_append_time_ms
    result.log_start_offset = call.broker.partition(batch.partition).offsets.log_start
