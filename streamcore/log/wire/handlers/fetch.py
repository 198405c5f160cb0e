"""Fetch: tells what is visible, and leaves the records in their files until the connection takes them.

A fetch waits until there is as much as it asks for, or its time is over. Sessions (KIP-227) are not made:
every fetch names all of its partitions, which a broker may ask of its clients by answering with session 0.
"""

from __future__ import annotations

from typing import Final

from streamcore.errors import OffsetOutOfRangeError, StreamCoreError
from streamcore.log.broker.access import AclOperation, ResourceType
from streamcore.log.broker.operations import MoreVisible, Operation
from streamcore.log.storage.partition_log import PartitionLog
from streamcore.log.storage.partition_replies import StoredRecords
from streamcore.log.wire.calls import Call
from streamcore.log.wire.error_codes import ErrorCode, code_of
from streamcore.log.wire.messages.fetch import (
    AbortedTransaction,
    FetchableTopicResponse,
    FetchPartition,
    FetchRequest,
    FetchResponse,
    PartitionData,
)
from streamcore.model import Isolation, TopicPartition

_TOPIC_IDS_FROM: Final = 13
_OPEN_FILES_MAX: Final = 64
"""Partitions that one response has records of. Each holds a file open until its records are sent."""
_NO_EPOCH: Final = -1


def fetch(request: FetchRequest, call: Call) -> Operation[FetchResponse]:
    """Answer with what is there, or once there is enough."""
    if request.session_id:
        return FetchResponse(
            throttle_time_ms=0, error_code=ErrorCode.FETCH_SESSION_ID_NOT_FOUND, responses=[]
        )
    deadline_s = call.clock.monotonic_s() + max(0, request.max_wait_ms) / 1000
    while True:
        gathering = _Gathering(request, call)
        response = gathering.response()
        is_enough = gathering.found_bytes >= request.min_bytes or gathering.has_failed
        if is_enough or not gathering.logs or call.clock.monotonic_s() >= deadline_s:
            return response
        gathering.close()
        yield MoreVisible(tuple(gathering.logs), deadline_s)


class _Gathering:
    """One look at all partitions of a fetch."""

    def __init__(self, request: FetchRequest, call: Call) -> None:
        self._request = request
        self._call = call
        self._isolation = Isolation(min(1, max(0, request.isolation_level)))
        self._bytes_left = min(request.max_bytes, call.broker.settings.fetch_bytes_max)
        self._found: list[StoredRecords] = []
        self.logs: list[PartitionLog] = []
        self.found_bytes = 0
        self.has_failed = False

    def response(self) -> FetchResponse:
        """Look, and tell."""
        has_ids = self._call.version >= _TOPIC_IDS_FROM
        responses: list[FetchableTopicResponse] = []
        for topic in self._request.topics:
            name = self._call.broker.topic_name(topic.topic_id) if has_ids else topic.topic
            may_read = name is not None and self._call.may(AclOperation.READ, ResourceType.TOPIC, name)
            partitions = [self._partition(name, may_read, wanted) for wanted in topic.partitions]
            responses.append(
                FetchableTopicResponse(topic=topic.topic, topic_id=topic.topic_id, partitions=partitions)
            )
        return FetchResponse(throttle_time_ms=0, responses=responses)

    def close(self) -> None:
        """Give back the files of a response that is not sent."""
        for records in self._found:
            records.close()

    def _partition(self, topic: str | None, may_read: bool, wanted: FetchPartition) -> PartitionData:
        if topic is None:
            return self._failed(wanted, ErrorCode.UNKNOWN_TOPIC_ID)
        if not may_read:
            return self._failed(wanted, ErrorCode.TOPIC_AUTHORIZATION_FAILED)
        try:
            log = self._call.broker.partition(TopicPartition(topic, wanted.partition))
            if (code := _epoch_error(wanted.current_leader_epoch, log.leader_epoch)) is not None:
                return self._failed(wanted, code)
            return self._located(log, wanted)
        except OffsetOutOfRangeError:
            return self._failed(wanted, ErrorCode.OFFSET_OUT_OF_RANGE)
        except StreamCoreError as error:
            return self._failed(wanted, code_of(error))

    def _located(self, log: PartitionLog, wanted: FetchPartition) -> PartitionData:
        located = log.locate(
            wanted.fetch_offset,
            bytes_max=min(wanted.partition_max_bytes, self._bytes_left)
            if len(self._found) < _OPEN_FILES_MAX
            else 0,
            isolation=self._isolation,
            at_least_one=not self._found,
        )
        self.logs.append(log)
        records = located.records
        if records is not None:
            self._found.append(records)
            self.found_bytes += len(records)
            self._bytes_left = max(0, self._bytes_left - len(records))
        aborted = None
        if self._isolation is Isolation.READ_COMMITTED:
            aborted = [
                AbortedTransaction(producer_id=each.producer_id, first_offset=each.first_offset)
                for each in located.aborted
            ]
        return PartitionData(
            partition_index=wanted.partition,
            error_code=0,
            high_watermark=located.offsets.high_watermark,
            last_stable_offset=located.offsets.last_stable,
            log_start_offset=located.offsets.log_start,
            aborted_transactions=aborted,
            records=b"" if records is None else records,
        )

    def _failed(self, wanted: FetchPartition, code: ErrorCode) -> PartitionData:
        self.has_failed = True
        return PartitionData(
            partition_index=wanted.partition,
            error_code=code,
            high_watermark=-1,
            aborted_transactions=None,
            records=b"",
        )


def _epoch_error(wanted_epoch: int, epoch: int) -> ErrorCode | None:
    """What is wrong with the leader epoch that a client believes in, if it says one (KIP-320)."""
    if wanted_epoch in (_NO_EPOCH, epoch):
        return None
    return ErrorCode.FENCED_LEADER_EPOCH if wanted_epoch < epoch else ErrorCode.UNKNOWN_LEADER_EPOCH
