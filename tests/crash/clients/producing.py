"""Requests to produce, and what their answers say: what all producers of a round share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from streamcore.log.api.error_codes import ErrorCode
from streamcore.log.protocol.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData
from tests.crash.clients.record_bytes import batch_of, is_tombstone, key_of
from tests.crash.clients.world import Topic, now_ms, now_us
from tests.histories.operations import Outcome, Place, RecordId, Send

VERSION_MIN: Final = 7
"""The first in which every compression is taken."""
VERSION_OF_NAMES_MAX: Final = 12
VERSION_OF_OLD_TRANSACTIONS_MAX: Final = 11

RETRIABLE: Final = frozenset(
    {
        ErrorCode.NOT_LEADER_OR_FOLLOWER,
        ErrorCode.REQUEST_TIMED_OUT,
        ErrorCode.COORDINATOR_LOAD_IN_PROGRESS,
        ErrorCode.COORDINATOR_NOT_AVAILABLE,
        ErrorCode.NOT_COORDINATOR,
        ErrorCode.CONCURRENT_TRANSACTIONS,
        ErrorCode.KAFKA_STORAGE_ERROR,
    }
)
"""After these a client asks the same again, and does not know meanwhile."""


@dataclass
class Batch:
    """Some records for one partition, from the first attempt to the last."""

    place: Place
    ids: tuple[RecordId, ...]
    has_keys: bool
    producer_id: int = -1
    epoch: int = -1
    sequence: int = -1
    producer: str | None = None
    transaction: str | None = None
    sources: tuple[RecordId, ...] = ()
    attempt_count: int = 0
    begun_us: int = field(default_factory=now_us)
    timestamp_ms: int = field(default_factory=now_ms)

    @property
    def records(self) -> bytearray:
        """Its bytes, the same for each attempt."""
        return batch_of(
            self.ids,
            has_keys=self.has_keys,
            timestamp_ms=self.timestamp_ms,
            producer_id=self.producer_id,
            producer_epoch=self.epoch,
            base_sequence=self.sequence,
            transactional=self.transaction is not None,
        )

    def operation(self, client: str, outcome: Outcome, offset: int | None = None) -> Send:
        """What the history keeps of it."""
        keys = tuple(key_of(id_) for id_ in self.ids) if self.has_keys else ()
        tombstones = tuple(id_ for id_ in self.ids if is_tombstone(id_)) if self.has_keys else ()
        return Send(
            client=client,
            begun_us=self.begun_us,
            ended_us=None if outcome is Outcome.UNKNOWN else now_us(),
            place=self.place,
            ids=self.ids,
            outcome=outcome,
            offset=offset,
            producer=self.producer,
            attempt_count=max(1, self.attempt_count),
            transaction=self.transaction,
            keys=keys,
            tombstones=tombstones,
            sources=self.sources,
        )


def new_batch(topic: Topic, partition: int, ids: tuple[RecordId, ...], **fields: Any) -> Batch:
    """A batch for one partition of a topic."""
    return Batch(Place(topic.name, partition), ids, topic.has_keys, **fields)


def produce_request(
    batches: Sequence[Batch], *, acks: int, transactional_id: str | None = None
) -> ProduceRequest:
    """One request for all of them, topic by topic."""
    by_topic: dict[str, list[PartitionProduceData]] = {}
    for batch in batches:
        data = PartitionProduceData(index=batch.place.partition, records=batch.records)
        by_topic.setdefault(batch.place.topic, []).append(data)
    return ProduceRequest(
        transactional_id=transactional_id,
        acks=acks,
        timeout_ms=10_000,
        topic_data=[TopicProduceData(name=name, partition_data=data) for name, data in by_topic.items()],
    )


def codes_and_offsets(response: Any) -> dict[Place, tuple[ErrorCode, int]]:
    """What became of the batch of each place."""
    return {
        Place(topic.name, each.index): (ErrorCode(each.error_code), each.base_offset)
        for topic in response.responses
        for each in topic.partition_responses
    }
