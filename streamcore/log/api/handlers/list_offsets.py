"""ListOffsets: the first and last offsets of partitions, and offsets by time.

Each negative time has its own meaning. The newer ones concern tiered storage, which does not exist here:
all records are local, so the local log start is the log start, and nothing waits for upload.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from streamcore.errors import StreamCoreError
from streamcore.log.api.calls import Call
from streamcore.log.api.error_codes import ErrorCode, code_of
from streamcore.log.api.handlers.leader_epochs import epoch_error
from streamcore.log.broker.access.acl import AclOperation, ResourceType
from streamcore.log.broker.api_errors import ApiError
from streamcore.log.protocol.messages.list_offsets import (
    ListOffsetsPartition,
    ListOffsetsPartitionResponse,
    ListOffsetsRequest,
    ListOffsetsResponse,
    ListOffsetsTopicResponse,
)
from streamcore.log.storage.partition.offset_lookup import (
    FoundOffset,
    offset_for_time,
    offset_of_largest_time,
)
from streamcore.log.storage.partition.partition_log import PartitionLog
from streamcore.model import Isolation, TopicPartition

_LATEST: Final = -1
_EARLIEST: Final = -2
_LARGEST_TIME: Final = -3
_EARLIEST_LOCAL: Final = -4
_LATEST_TIERED: Final = -5
_EARLIEST_PENDING_UPLOAD: Final = -6

_KNOWN_FROM: Final = {
    _LATEST: 1,
    _EARLIEST: 1,
    _LARGEST_TIME: 7,
    _EARLIEST_LOCAL: 8,
    _LATEST_TIERED: 9,
    _EARLIEST_PENDING_UPLOAD: 11,
}
"""The version in which a negative time got its meaning."""

_NO_TIME: Final = -1


def list_offsets(request: ListOffsetsRequest, call: Call) -> ListOffsetsResponse:
    """Return the offset of each partition; a partition that is named twice is an error."""
    asked: dict[str, list[ListOffsetsPartition]] = {}
    for topic in request.topics:
        asked.setdefault(topic.name, []).extend(topic.partitions)
    return ListOffsetsResponse(
        topics=[
            ListOffsetsTopicResponse(name=name, partitions=_of_topic(name, wanted, request, call))
            for name, wanted in asked.items()
        ]
    )


def _of_topic(
    name: str, wanted: list[ListOffsetsPartition], request: ListOffsetsRequest, call: Call
) -> list[ListOffsetsPartitionResponse]:
    counts = Counter(each.partition_index for each in wanted)
    by_number = {each.partition_index: each for each in wanted}
    return [
        _refused(number, ErrorCode.INVALID_REQUEST)
        if counts[number] > 1
        else _looked_up(name, each, request.isolation_level, call)
        for number, each in by_number.items()
    ]


def _refused(number: int, code: ErrorCode) -> ListOffsetsPartitionResponse:
    return ListOffsetsPartitionResponse(partition_index=number, error_code=code)


def _looked_up(
    topic: str, wanted: ListOffsetsPartition, isolation_level: int, call: Call
) -> ListOffsetsPartitionResponse:
    number = wanted.partition_index
    if wanted.timestamp < 0 and call.version < _KNOWN_FROM.get(wanted.timestamp, call.version + 1):
        return _refused(number, ErrorCode.UNSUPPORTED_VERSION)
    try:
        call.ensure(AclOperation.DESCRIBE, ResourceType.TOPIC, topic)
        isolation = Isolation(isolation_level)
        log = call.broker.partition(TopicPartition(topic, number))
        wrong = epoch_error(wanted.current_leader_epoch, log.leader_epoch)
        if wrong is not None:
            return _refused(number, wrong)
        found = _found(log, wanted.timestamp, isolation)
    except ValueError:
        return _refused(number, ErrorCode.INVALID_REQUEST)
    except (ApiError, StreamCoreError) as error:
        return _refused(number, code_of(error))
    answer = ListOffsetsPartitionResponse(partition_index=number, error_code=ErrorCode.NONE)
    if found is not None:
        answer.offset, answer.timestamp, answer.leader_epoch = found
    return answer


def _found(log: PartitionLog, timestamp_ms: int, isolation: Isolation) -> FoundOffset | None:
    offsets = log.offsets
    if timestamp_ms == _LATEST:
        return FoundOffset(offsets.visible_end(isolation), _NO_TIME, log.leader_epoch)
    if timestamp_ms in (_EARLIEST, _EARLIEST_LOCAL):
        return FoundOffset(offsets.log_start, _NO_TIME, log.epoch_at(offsets.log_start))
    if timestamp_ms in (_LATEST_TIERED, _EARLIEST_PENDING_UPLOAD):
        return None
    if timestamp_ms == _LARGEST_TIME:
        return offset_of_largest_time(log, isolation)
    return offset_for_time(log, timestamp_ms, isolation)
