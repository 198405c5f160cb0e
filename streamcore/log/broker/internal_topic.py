"""The broker's internal compacted topics, in which coordinators keep their state as records.

A coordinator is the replay of its topic: the same ``replay`` runs for a record just appended and
for one read at start. State that is not yet durable is never shown: replies wait until
the records are durable, and a partition whose fsync fails refuses every later call.

A topic is created when its first record is written, so that a log without groups or transactions
has none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec import Struct

from streamcore.log.broker.operations import DurableUntil
from streamcore.log.broker.partitions import Partitions
from streamcore.log.records.batch import NO_PRODUCER_ID, iter_batches
from streamcore.log.records.decode import Marker, batch_marker, batch_records
from streamcore.log.storage.partition.partition_log import PartitionLog
from streamcore.model import Isolation, Offset, ProducerId, TopicName, TopicPartition

_READ_BYTES = 1024 * 1024


class ReplayedRecord(Struct, frozen=True):
    """A stored record; ``producer_id`` is the producer id of its transaction, if it has one."""

    offset: Offset
    key: bytes
    value: bytes | None
    producer_id: ProducerId


class ReplayedMarker(Struct, frozen=True):
    """The end of a producer's transaction."""

    producer_id: ProducerId
    is_commit: bool


class InternalTopic:
    """One internal topic: the partition of a name, appending, and replay."""

    def __init__(
        self, name: TopicName, partition_count: int, config: Mapping[str, str], partitions: Partitions
    ) -> None:
        self.name = name
        self._new_partition_count = partition_count
        self._config = config
        self._partitions = partitions

    def partition_for(self, name: str) -> TopicPartition:
        """Return the partition of a group or a transactional id."""
        state = self._partitions.logs.topics.get(self.name)
        count = self._new_partition_count if state is None else state.partition_count
        return TopicPartition(self.name, (_java_hash(name) & 0x7FFFFFFF) % count)

    def log_for(self, name: str) -> PartitionLog:
        """Return the open partition of a name; create the topic if it does not exist."""
        if self.name not in self._partitions.logs.topics:
            self._partitions.logs.create_topic(self.name, self._new_partition_count, dict(self._config))
        return self._partitions.get(self.partition_for(name))

    def append(
        self,
        name: str,
        records: list[tuple[bytes, bytes | None]],
        *,
        producer_id: ProducerId = NO_PRODUCER_ID,
        producer_epoch: int = -1,
    ) -> Offset:
        """Append the records of one name as one batch; return the first record's offset."""
        return self._partitions.append_records(
            self.log_for(name), records, producer_id=producer_id, producer_epoch=producer_epoch
        )

    def written(self, name: str) -> DurableUntil:
        """Return the wait for everything written so far to the partition of a name."""
        if self.name not in self._partitions.logs.topics:
            return DurableUntil(())
        return self._partitions.written([self.log_for(name)])

    def replay(self) -> Iterator[ReplayedRecord | ReplayedMarker]:
        """Yield everything stored, partition by partition, in the order of writing."""
        state = self._partitions.logs.topics.get(self.name)
        for index in range(0 if state is None else state.partition_count):
            yield from _replay_partition(self._partitions.get(TopicPartition(self.name, index)))


def _replay_partition(log: PartitionLog) -> Iterator[ReplayedRecord | ReplayedMarker]:
    position = log.offsets.log_start
    while position < log.offsets.high_watermark:
        result = log.read(position, bytes_max=_READ_BYTES, isolation=Isolation.READ_UNCOMMITTED)
        position, data = result.next_offset, result.data
        for start, header in iter_batches(data, check=True):
            if header.is_control:
                if (
                    header.record_count
                ):  # compaction has kept only the header of others: all records that they ended are gone
                    marker: Marker = batch_marker(data, start, header)
                    yield ReplayedMarker(header.producer_id, marker.is_commit)
                continue
            producer_id = header.producer_id if header.is_transactional else NO_PRODUCER_ID
            for record in batch_records(data, start, header):
                if record.key is not None:
                    yield ReplayedRecord(record.offset, record.key, record.value, producer_id)


def _java_hash(text: str) -> int:
    """Return Java's ``String.hashCode``, by which Kafka chooses the partition of a group."""
    units = text.encode("utf-16-be")
    result = 0
    for index in range(0, len(units), 2):
        result = (31 * result + (units[index] << 8 | units[index + 1])) & 0xFFFFFFFF
    return result
