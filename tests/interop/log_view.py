"""What is in the broker, asked for by raw requests: batches, positions, topics. Also prepares topics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from streamcore.clock import SystemClock
from streamcore.log.protocol.messages.create_topics import (
    CreatableTopic,
    CreatableTopicConfig,
    CreateTopicsRequest,
)
from streamcore.log.protocol.messages.fetch import PartitionData
from streamcore.log.protocol.messages.list_offsets import (
    ListOffsetsPartition,
    ListOffsetsRequest,
    ListOffsetsTopic,
)
from streamcore.log.protocol.messages.metadata import MetadataRequest, MetadataRequestTopic
from streamcore.log.protocol.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
)
from streamcore.log.protocol.messages.offset_fetch import (
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
    OffsetFetchRequestTopics,
)
from streamcore.log.records.batch import BatchAt, iter_batches
from streamcore.log.records.builder import encode_batch
from streamcore.log.records.decode import AbortedTransaction, batch_records, decode_columns
from streamcore.model import TopicPartition
from tests.interop.peers import CODECS
from tests.interop.programs import wait_until
from tests.support.serving import FETCH_VERSION, fetch_request, produce, records_of
from tests.support.wire_client import WireClient

_TOPIC_EXISTS = 36
_OFFSET_VERSION = 9
_METADATA_VERSION = 12
_CREATE_VERSION = 7
_LIST_OFFSETS_VERSION = 6
_LATEST, _EARLIEST = -1, -2


class LogView:
    """One connection to the broker."""

    def __init__(self, address: str) -> None:
        host, _, port = address.partition(":")
        self._client = WireClient(host, int(port))

    # --- topics ---------------------------------------------------------------------------------

    def create_topic(self, name: str, partition_count: int, **configs: str) -> None:
        """Create a topic, and wait until its partitions have a leader."""
        entries = [CreatableTopicConfig(name=each.replace("_", "."), value=configs[each]) for each in configs]
        topic = CreatableTopic(
            name=name,
            num_partitions=partition_count,
            replication_factor=1,
            assignments=[],
            configs=entries,
        )
        request = CreateTopicsRequest(topics=[topic], timeout_ms=10_000)
        (answer,) = self._client.ask(request, _CREATE_VERSION).topics
        assert answer.error_code in (0, _TOPIC_EXISTS), answer
        wait_until(lambda: self.partition_count(name) == partition_count, lambda: f"no topic {name}")

    def topics(self) -> list[str]:
        """The names of all topics."""
        answer = self._client.ask(MetadataRequest(topics=None), _METADATA_VERSION)
        return sorted(each.name for each in answer.topics)

    def partition_count(self, topic: str) -> int | None:
        """How many partitions have a leader; ``None`` if there is no such topic."""
        request = MetadataRequest(topics=[MetadataRequestTopic(name=topic)], allow_auto_topic_creation=False)
        (answer,) = self._client.ask(request, _METADATA_VERSION).topics
        if answer.error_code:
            return None
        return sum(not partition.error_code for partition in answer.partitions)

    def append_to_each(self, topic: str, *values: str) -> None:
        """Append these values to every partition, in one batch each."""
        for partition in range(self.partition_count(topic) or 0):
            self.append(topic, partition, *values)

    def append(self, topic: str, partition: int, *values: str) -> None:
        """Append one batch; again until it is taken, since a real Kafka may still look for the leader."""
        encoded = [value.encode() for value in values]
        times = [SystemClock().now_ms()] * len(values)
        records = bytes(encode_batch([None] * len(values), encoded, times))
        wait_until(
            lambda: not produce(self._client, topic, records, partition=partition).error_code,
            lambda: f"{topic} takes no records",
        )

    # --- records --------------------------------------------------------------------------------

    def start(self, topic: str) -> int:
        """The first offset of partition 0 that can be read."""
        return self._offset(topic, 0, _EARLIEST)

    def ends(self, topic: str) -> dict[int, int]:
        """The next offset to be written, by partition."""
        return {
            partition: self._offset(topic, partition, _LATEST)
            for partition in range(self.partition_count(topic) or 0)
        }

    def _offset(self, topic: str, partition: int, place: int) -> int:
        wanted = ListOffsetsPartition(partition_index=partition, timestamp=place)
        topics = [ListOffsetsTopic(name=topic, partitions=[wanted])]
        request = ListOffsetsRequest(replica_id=-1, topics=topics)
        (answer,) = self._client.ask(request, _LIST_OFFSETS_VERSION).topics[0].partitions
        assert isinstance(answer.offset, int)
        return answer.offset

    def codecs(self, topic: str, partition: int) -> set[str]:
        """How the batches are compressed."""
        return {CODECS[at.header.compression] for _, at in self._batches(topic, partition)}

    def values(self, topic: str, partition: int) -> list[str | None]:
        """The values of all records, those of aborted transactions included."""
        return [
            _text(record.value)
            for data, (position, header) in self._batches(topic, partition)
            if not header.is_control
            for record in batch_records(data, position, header)
        ]

    def committed_records(self, topic: str) -> list[tuple[str | None, str | None]]:
        """Key and value of every record that a reader of committed records sees, partition by partition."""
        found: list[tuple[str | None, str | None]] = []
        for partition in range(self.partition_count(topic) or 0):
            place, offset = TopicPartition(topic, partition), 0
            while data := records_of(answer := self._fetch(place, offset, isolation=1)):
                aborted = [
                    AbortedTransaction(each.producer_id, each.first_offset)
                    for each in answer.aborted_transactions or ()
                ]
                run = decode_columns(place, data, offset, aborted)
                found += zip(map(_text, run.keys), map(_text, run.values), strict=True)
                offset = run.next_offset
        return found

    def _fetch(self, place: TopicPartition, offset: int, *, isolation: int = 0) -> PartitionData:
        request = fetch_request(place.topic, offset, partitions=(place.partition,), isolation=isolation)
        (answer,) = self._client.ask(request, FETCH_VERSION).responses[0].partitions
        assert isinstance(answer, PartitionData)
        return answer

    def _batches(self, topic: str, partition: int) -> Iterator[tuple[bytes, BatchAt]]:
        offset = 0
        while data := records_of(self._fetch(TopicPartition(topic, partition), offset)):
            for batch in iter_batches(data, check=True):
                yield data, batch
                offset = batch.header.end_offset

    # --- groups ---------------------------------------------------------------------------------

    def committed(self, group: str, topic: str) -> dict[int, int]:
        """The positions that a group has committed, by partition."""
        partitions = list(range(self.partition_count(topic) or 0))
        wanted = OffsetFetchRequestTopics(name=topic, partition_indexes=partitions)
        request = OffsetFetchRequest(groups=[OffsetFetchRequestGroup(group_id=group, topics=[wanted])])
        (answer,) = self._client.ask(request, _OFFSET_VERSION).groups
        return {
            each.partition_index: each.committed_offset
            for found in answer.topics
            for each in found.partitions
            if each.committed_offset >= 0
        }

    def commit(self, group: str, topic: str, positions: Mapping[int, int]) -> None:
        """Commit positions for a group that has no members; again until its coordinator is there."""
        partitions = [
            OffsetCommitRequestPartition(
                partition_index=each, committed_offset=positions[each], committed_metadata=None
            )
            for each in positions
        ]
        topics = [OffsetCommitRequestTopic(name=topic, partitions=partitions)]
        request = OffsetCommitRequest(group_id=group, member_id="", topics=topics)

        def is_committed() -> bool:
            answer = self._client.ask(request, _OFFSET_VERSION)
            return not any(each.error_code for found in answer.topics for each in found.partitions)

        wait_until(is_committed, lambda: f"positions of {group} are not taken")


def _text(content: bytes | None) -> str | None:
    return None if content is None else content.decode()
