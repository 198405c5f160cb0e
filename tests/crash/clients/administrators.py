"""Those who make topics and delete them, and who delete records."""

from __future__ import annotations

from typing import Any, Final

from streamcore.log.api.error_codes import ErrorCode
from streamcore.log.protocol.messages.create_topics import (
    CreatableTopic,
    CreatableTopicConfig,
    CreateTopicsRequest,
)
from streamcore.log.protocol.messages.delete_records import (
    DeleteRecordsPartition,
    DeleteRecordsRequest,
    DeleteRecordsTopic,
)
from streamcore.log.protocol.messages.delete_topics import DeleteTopicsRequest, DeleteTopicState
from streamcore.log.protocol.messages.fetch import FetchPartition, FetchRequest, FetchTopic
from streamcore.log.protocol.messages.metadata import MetadataRequest, MetadataRequestTopic
from streamcore.log.protocol.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData
from streamcore.log.records.decode import decode_columns
from streamcore.model import TopicPartition
from tests.crash.clients.client import Client, NoAnswer
from tests.crash.clients.producing import RETRIABLE, Batch
from tests.crash.clients.readers import earliest
from tests.crash.clients.record_bytes import records_in
from tests.crash.clients.world import Topic, World, now_us
from tests.histories.operations import (
    Isolation,
    Outcome,
    Place,
    Poll,
    RecordsDeleted,
    TopicDeleted,
    TopicMade,
)

_IDS_FROM: Final = 13
_FETCH_MAX: Final = 18
_GONE: Final = (ErrorCode.UNKNOWN_TOPIC_ID, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)


def create_topic(client: Client, topic: Topic) -> bool:
    """Make a topic that may be there already; whether that was answered."""
    wanted = CreatableTopic(
        name=topic.name,
        num_partitions=topic.partition_count,
        replication_factor=1,
        assignments=[],
        configs=[CreatableTopicConfig(name=name, value=value) for name, value in topic.config.items()],
    )
    answer = client.ask(CreateTopicsRequest(topics=[wanted], timeout_ms=5_000), 7).topics[0]
    code = ErrorCode(answer.error_code)
    assert code in (ErrorCode.NONE, ErrorCode.TOPIC_ALREADY_EXISTS, *RETRIABLE), f"{code!r} for {topic}"
    return code not in RETRIABLE


class RecordDeleter(Client):
    """Moves the starts of partitions."""

    def __init__(self, world: World, name: str, topic: str) -> None:
        super().__init__(world, name)
        self._places = world.places(topic)

    def step(self) -> None:
        self.world.is_over.wait(self.random.uniform(0.02, 0.3))
        place = self.random.choice(self._places)
        start = earliest(self, place)
        before = start + self.random.randrange(60)
        partitions = [DeleteRecordsPartition(partition_index=place.partition, offset=before)]
        request = DeleteRecordsRequest(
            topics=[DeleteRecordsTopic(name=place.topic, partitions=partitions)], timeout_ms=5_000
        )
        begun_us = now_us()
        outcome, log_start = Outcome.UNKNOWN, None
        try:
            answer = self.ask(request, self.version_of("DeleteRecords", 0, 2)).topics[0].partitions[0]
            if answer.error_code == ErrorCode.NONE:
                outcome, log_start = Outcome.OK, answer.low_watermark
            elif answer.error_code not in RETRIABLE:
                assert answer.error_code == ErrorCode.OFFSET_OUT_OF_RANGE, ErrorCode(answer.error_code)
                outcome = Outcome.FAILED
        finally:
            if outcome is not Outcome.FAILED:
                self.world.record(
                    RecordsDeleted(
                        client=self.name,
                        begun_us=begun_us,
                        ended_us=None if outcome is Outcome.UNKNOWN else now_us(),
                        place=place,
                        before=before,
                        outcome=outcome,
                        log_start=log_start,
                    )
                )


class FleetingTopicUser(Client):
    """Makes a topic, writes and reads by its id, deletes it, and makes it again under the same name."""

    def __init__(self, world: World, name: str, topic: str) -> None:
        super().__init__(world, name)
        self._name = topic
        self._id: bytes | None = None
        self._positions: dict[int, int] = {}
        self._is_deleting = False
        self._delete_begun_us = 0

    @property
    def _incarnation(self) -> str:
        assert self._id is not None
        return f"{self._name}@{self._id.hex()[:12]}"

    def step(self) -> None:
        if self._id is None:
            self._make()
        elif self._is_deleting:
            self._delete()
        else:
            for _ in range(self.random.randint(1, 8)):
                self._use()
            self._is_deleting = self.random.random() < 0.2
            self._delete_begun_us = now_us()

    def _make(self) -> None:
        begun_us = now_us()
        config = {"segment.bytes": "9000"}
        if not create_topic(self, Topic(self._name, self.random.choice((1, 3)), config)):
            return
        wanted = MetadataRequestTopic(name=self._name)
        request = MetadataRequest(topics=[wanted], allow_auto_topic_creation=False)
        described = self.ask(request, self.version_of("Metadata", 10, 13)).topics[0]
        if described.error_code:
            return
        self._id = bytes(described.topic_id)
        self._positions = {each.partition_index: 0 for each in described.partitions}
        self.world.record(
            TopicMade(client=self.name, begun_us=begun_us, ended_us=now_us(), topic=self._incarnation)
        )

    def _use(self) -> None:
        partition = self.random.choice(list(self._positions))
        if self.random.random() < 0.6:
            self._write(partition)
        else:
            self._read(partition)

    def _write(self, partition: int) -> None:
        assert self._id is not None
        ids = self.world.new_ids(self.random.choice((1, 3, 9)))
        batch = Batch(Place(self._incarnation, partition), ids, has_keys=False, attempt_count=1)
        data = [PartitionProduceData(index=partition, records=batch.records)]
        topics = [TopicProduceData(topic_id=self._id, partition_data=data)]
        request = ProduceRequest(acks=-1, timeout_ms=5_000, topic_data=topics)
        outcome, offset = Outcome.UNKNOWN, None
        try:
            answer = self.ask(request, _IDS_FROM).responses[0].partition_responses[0]
            if answer.error_code == ErrorCode.NONE:
                outcome, offset = Outcome.OK, answer.base_offset
            elif answer.error_code not in RETRIABLE:
                outcome = Outcome.FAILED
                assert self._is_deleting, f"{ErrorCode(answer.error_code)!r} for {batch}"
        finally:
            self.world.record(batch.operation(self.name, outcome, offset))

    def _read(self, partition: int) -> None:
        assert self._id is not None
        start = self._positions[partition]
        wanted = FetchPartition(partition=partition, fetch_offset=start, partition_max_bytes=100_000)
        topics = [FetchTopic(topic_id=self._id, partitions=[wanted])]
        request = FetchRequest(max_wait_ms=0, min_bytes=1, max_bytes=1_000_000, topics=topics)
        begun_us = now_us()
        answer: Any = self.ask(request, self.version_of("Fetch", _IDS_FROM, _FETCH_MAX))
        data = answer.responses[0].partitions[0]
        if data.error_code:
            code = ErrorCode(data.error_code)
            assert code in RETRIABLE or (self._is_deleting and code in _GONE), (
                f"{code!r} for {self._incarnation}"
            )
            return
        place = Place(self._incarnation, partition)
        run = decode_columns(TopicPartition(*place), bytes(data.records), start)
        records, corrupt = records_in(run)
        self._positions[partition] = run.next_offset
        self.world.record(
            Poll(
                client=self.name,
                begun_us=begun_us,
                ended_us=now_us(),
                place=place,
                isolation=Isolation.UNCOMMITTED,
                start=start,
                end=run.next_offset,
                records=tuple(records),
                high_watermark=data.high_watermark,
                last_stable=data.last_stable_offset,
                log_start=data.log_start_offset,
                corrupt=tuple(corrupt),
            )
        )

    def _delete(self) -> None:
        assert self._id is not None
        state = DeleteTopicState(name=None, topic_id=self._id)
        answer = self.ask(DeleteTopicsRequest(topics=[state], timeout_ms=5_000), 6).responses[0]
        code = ErrorCode(answer.error_code)
        if code in RETRIABLE:
            return
        assert code in (ErrorCode.NONE, *_GONE), f"{code!r} for {self._incarnation}"
        self._record_deleted(Outcome.OK)
        try:
            for partition in self._positions:  # nothing is there any more
                self._write(partition)
                self._read(partition)
        finally:
            self._id = None
            self._is_deleting = False

    def _record_deleted(self, outcome: Outcome) -> None:
        self.world.record(
            TopicDeleted(
                client=self.name,
                begun_us=self._delete_begun_us,
                ended_us=now_us() if outcome is Outcome.OK else None,
                topic=self._incarnation,
                outcome=outcome,
            )
        )

    def finish(self) -> None:
        if self._id is None:
            return
        if not self._is_deleting:
            self._is_deleting = True
            self._delete_begun_us = now_us()
        try:
            self._delete()
        except NoAnswer:
            if self._id is not None:
                self._record_deleted(Outcome.UNKNOWN)
