"""What is in the broker, asked for by raw requests: batches, positions, topics. Also prepares topics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from streamcore.clock import SystemClock
from streamcore.log.records.batch import BatchAt, iter_batches
from streamcore.log.records.builder import encode_batch
from streamcore.log.records.decode import batch_records
from streamcore.log.wire.messages.create_topics import (
    CreatableTopic,
    CreatableTopicConfig,
    CreateTopicsRequest,
)
from streamcore.log.wire.messages.list_offsets import (
    ListOffsetsPartition,
    ListOffsetsRequest,
    ListOffsetsTopic,
)
from streamcore.log.wire.messages.metadata import MetadataRequest, MetadataRequestTopic
from streamcore.log.wire.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
)
from streamcore.log.wire.messages.offset_fetch import (
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
    OffsetFetchRequestTopics,
)
from tests.interop.peers import CODECS
from tests.interop.programs import wait_until
from tests.serving import fetch, produce, records_of
from tests.wire_client import WireClient

_TOPIC_EXISTS = 36
_OFFSET_VERSION = 9
_METADATA_VERSION = 12
_CREATE_VERSION = 7
_LIST_OFFSETS_VERSION = 6
_EARLIEST = -2


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

    def partition_count(self, topic: str) -> int | None:
        """How many partitions have a leader; ``None`` if there is no such topic."""
        request = MetadataRequest(
            topics=[MetadataRequestTopic(name=topic)], allow_auto_topic_creation=False
        )
        (answer,) = self._client.ask(request, _METADATA_VERSION).topics
        if answer.error_code:
            return None
        return sum(not partition.error_code for partition in answer.partitions)

    def append_to_each(self, topic: str, *values: str) -> None:
        """Append these values to every partition, in one batch."""
        count = self.partition_count(topic)
        assert count is not None
        now_ms = SystemClock().now_ms()
        for partition in range(count):
            encoded = [value.encode() for value in values]
            records = bytes(encode_batch([None] * len(values), encoded, [now_ms] * len(values)))
            # A partition of a real Kafka that was just made may not know its leader yet.
            wait_until(
                lambda records=records, partition=partition: (  # type: ignore[misc]
                    not produce(self._client, topic, records, partition=partition).error_code
                ),
                lambda: f"{topic} takes no records",
            )

    # --- records --------------------------------------------------------------------------------

    def start(self, topic: str) -> int:
        """The first offset that can be read."""
        wanted = ListOffsetsPartition(partition_index=0, timestamp=_EARLIEST)
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
            None if record.value is None else record.value.decode()
            for data, (position, header) in self._batches(topic, partition)
            if not header.is_control
            for record in batch_records(data, position, header)
        ]

    def _batches(self, topic: str, partition: int) -> Iterator[tuple[bytes, BatchAt]]:
        offset = 0
        while True:
            data = records_of(fetch(self._client, topic, offset, partitions=(partition,)))
            if not data:
                return
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
