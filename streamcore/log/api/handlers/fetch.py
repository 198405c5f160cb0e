"""Fetch: returns what is visible; records stay in their files until the connection sends them.

A fetch waits until there are as many bytes as it asks for, or until its time is over. Sessions (KIP-227) are
not supported: every fetch names all of its partitions. A broker declares that by session id 0.
"""

from __future__ import annotations

from typing import Final

from streamcore.errors import OffsetOutOfRangeError, StreamCoreError, with_facts
from streamcore.log.api.calls import Call
from streamcore.log.api.error_codes import ErrorCode, code_of
from streamcore.log.api.handlers.leader_epochs import epoch_error
from streamcore.log.broker.access.acl import AclOperation, ResourceType
from streamcore.log.broker.operations import MoreVisible, Operation
from streamcore.log.protocol.messages.fetch import (
    AbortedTransaction,
    EpochEndOffset,
    FetchableTopicResponse,
    FetchPartition,
    FetchRequest,
    FetchResponse,
    LeaderIdAndEpoch,
    NodeEndpoint,
    PartitionData,
)
from streamcore.log.storage.partition.leader_epochs import NO_EPOCH, UNKNOWN_END, EpochEnd
from streamcore.log.storage.partition.partition_log import PartitionLog
from streamcore.log.storage.partition.partition_replies import StoredRecords
from streamcore.model import Isolation, TopicPartition

_TOPIC_IDS_FROM: Final = 13
_OPEN_FILES_MAX: Final = 64
"""The most partitions with records in one response. Each holds a file open until its records are sent."""
_ENDPOINTS_FROM: Final = 16
_NAMES_ALL: Final = (0, -1)
"""Epochs of a new session, or of none: such a request names all its partitions, whatever its session id."""

_NOT_LOOKED_AT: Final = frozenset(
    {
        ErrorCode.TOPIC_AUTHORIZATION_FAILED,
        ErrorCode.UNKNOWN_TOPIC_ID,
        ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
    }
)
"""Failures that carry an empty list of aborted transactions, not null, as in Kafka."""


def fetch(request: FetchRequest, call: Call) -> Operation[FetchResponse]:
    """Answer with what is visible, at once or when there is enough."""
    if request.session_epoch not in _NAMES_ALL:
        return FetchResponse(
            throttle_time_ms=0, error_code=ErrorCode.FETCH_SESSION_ID_NOT_FOUND, responses=[]
        )
    deadline_s = call.clock.monotonic_s() + max(0, request.max_wait_ms) / 1000
    while True:
        gathering = _Gathering(request, call)
        response = gathering.response()
        is_enough = gathering.found_bytes >= request.min_bytes or gathering.is_urgent
        if is_enough or not gathering.logs or call.clock.monotonic_s() >= deadline_s:
            return response
        gathering.close()
        yield MoreVisible(tuple(gathering.logs), deadline_s)


class _Gathering:
    """One look at all partitions of a fetch."""

    def __init__(self, request: FetchRequest, call: Call) -> None:
        self._request = request
        self._call = call
        # No broker is a replica of any partition here.
        self._is_from_replica = max(request.replica_id, request.replica_state.replica_id) >= 0
        self._isolation = Isolation(min(1, max(0, request.isolation_level)))
        self._bytes_left = min(request.max_bytes, call.broker.settings.fetch_bytes_max)
        self._found: list[StoredRecords] = []
        self.logs: list[PartitionLog] = []
        self._endpoints: list[NodeEndpoint] = []
        self.found_bytes = 0
        self.is_urgent = False
        """Whether the answer has something that the client must get at once."""

    def response(self) -> FetchResponse:
        """Return the response with what is visible now."""
        has_ids = self._call.version >= _TOPIC_IDS_FROM
        responses: list[FetchableTopicResponse] = []
        for topic in self._request.topics:
            name = self._call.broker.topic_name(topic.topic_id) if has_ids else topic.topic
            may_read = name is not None and self._call.may(AclOperation.READ, ResourceType.TOPIC, name)
            partitions = [self._partition(name, may_read, wanted) for wanted in topic.partitions]
            responses.append(
                FetchableTopicResponse(topic=topic.topic, topic_id=topic.topic_id, partitions=partitions)
            )
        return FetchResponse(throttle_time_ms=0, responses=responses, node_endpoints=self._endpoints)

    def close(self) -> None:
        """Close the files of a response that is not sent."""
        for records in self._found:
            records.close()

    def _partition(self, topic: str | None, may_read: bool, wanted: FetchPartition) -> PartitionData:
        if topic is None:
            return self._failed(wanted, ErrorCode.UNKNOWN_TOPIC_ID)
        if not may_read:
            return self._failed(wanted, ErrorCode.TOPIC_AUTHORIZATION_FAILED)
        try:
            log = self._call.broker.partition(TopicPartition(topic, wanted.partition))
            code = epoch_error(max(NO_EPOCH, wanted.current_leader_epoch), log.leader_epoch)
            if code is not None:
                return self._told_of_epoch(self._failed(wanted, code), log)
            if self._is_from_replica:
                return self._failed(wanted, _not_a_replica(wanted))
            if wanted.last_fetched_epoch >= 0:
                diverging = _diverging(log, wanted)
                if diverging is not None:
                    return self._diverged(log, wanted, diverging)
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

    def _diverged(self, log: PartitionLog, wanted: FetchPartition, end: EpochEnd) -> PartitionData:
        """Answer that the log has other records where the client has read, and where they begin to differ."""
        self.is_urgent = True
        offsets = log.offsets
        return PartitionData(
            partition_index=wanted.partition,
            error_code=ErrorCode.NONE,
            high_watermark=offsets.high_watermark,
            last_stable_offset=offsets.last_stable,
            log_start_offset=offsets.log_start,
            diverging_epoch=EpochEndOffset(epoch=end.epoch, end_offset=end.end_offset),
            aborted_transactions=None,
            records=b"",
        )

    def _told_of_epoch(self, failed: PartitionData, log: PartitionLog) -> PartitionData:
        """Add the leader and its epoch, for a client with an older one."""
        if failed.error_code == ErrorCode.FENCED_LEADER_EPOCH and self._call.version >= _ENDPOINTS_FROM:
            identity, endpoint = self._call.broker.identity, self._call.caller.endpoint
            failed.current_leader = LeaderIdAndEpoch(
                leader_id=identity.node_id, leader_epoch=log.leader_epoch
            )
            self._endpoints = [NodeEndpoint(node_id=identity.node_id, host=endpoint.host, port=endpoint.port)]
        return failed

    def _failed(self, wanted: FetchPartition, code: ErrorCode) -> PartitionData:
        self.is_urgent = True
        return PartitionData(
            partition_index=wanted.partition,
            error_code=code,
            high_watermark=-1,
            aborted_transactions=[] if code in _NOT_LOOKED_AT else None,
            records=b"",
        )


def _not_a_replica(wanted: FetchPartition) -> ErrorCode:
    """Return the error for a broker that fetches as a replica; it is that for an old assignment."""
    has_epoch = wanted.current_leader_epoch >= 0
    return ErrorCode.UNKNOWN_LEADER_EPOCH if has_epoch else ErrorCode.NOT_LEADER_OR_FOLLOWER


def _diverging(log: PartitionLog, wanted: FetchPartition) -> EpochEnd | None:
    """Return the end of the client's last epoch, if that is before its position (KIP-595).

    Raises:
        OffsetOutOfRangeError: the epoch does not exist, or the position is before the log start.
    """
    end = log.end_of_epoch(wanted.last_fetched_epoch)
    log_start = log.offsets.log_start
    if end == UNKNOWN_END or wanted.fetch_offset < log_start:
        raise OffsetOutOfRangeError(
            with_facts(
                "the position is not in the partition",
                epoch=wanted.last_fetched_epoch,
                offset=wanted.fetch_offset,
                log_start=log_start,
            )
        )
    is_other = end.epoch < wanted.last_fetched_epoch or end.end_offset < wanted.fetch_offset
    return end if is_other else None
