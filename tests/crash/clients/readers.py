"""Readers of partitions, without a group: of committed or of all records, going on or beginning anew."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from streamcore.errors import CorruptBatchError
from streamcore.log.api.error_codes import ErrorCode
from streamcore.log.protocol.messages.fetch import FetchPartition, FetchRequest, FetchTopic, PartitionData
from streamcore.log.protocol.messages.list_offsets import (
    ListOffsetsPartition,
    ListOffsetsRequest,
    ListOffsetsTopic,
)
from streamcore.log.records.decode import AbortedTransaction, decode_columns
from streamcore.model import TopicPartition
from tests.crash.clients.client import Client, NoAnswer
from tests.crash.clients.record_bytes import records_in
from tests.crash.clients.world import World, now_us
from tests.histories.operations import Isolation, Place, Poll

_ZSTD_FROM: Final = 10
_NAMES_MAX: Final = 12
_EARLIEST: Final = -2


class PartitionReader:
    """Fetches on behalf of a client, and writes into the history what it was given."""

    def __init__(self, client: Client, isolation: Isolation) -> None:
        self._client = client
        self._isolation = isolation

    def poll(
        self,
        positions: dict[Place, int],
        *,
        max_wait_ms: int,
        partition_bytes_max: int = 1_000_000,
        is_final: bool = False,
    ) -> list[Poll]:
        """Fetch from these positions, and move them on. Raises ``NoAnswer``."""
        by_topic: dict[str, list[FetchPartition]] = {}
        for place, position in positions.items():
            wanted = FetchPartition(
                partition=place.partition, fetch_offset=position, partition_max_bytes=partition_bytes_max
            )
            by_topic.setdefault(place.topic, []).append(wanted)
        request = FetchRequest(
            max_wait_ms=max_wait_ms,
            min_bytes=1,
            max_bytes=10_000_000,
            isolation_level=int(self._isolation is Isolation.COMMITTED),
            topics=[FetchTopic(topic=name, partitions=wanted) for name, wanted in by_topic.items()],
        )
        begun_us = now_us()
        response = self._client.ask(request, self._client.version_of("Fetch", _ZSTD_FROM, _NAMES_MAX))
        polls: list[Poll] = []
        for topic in response.responses:
            for data in topic.partitions:
                place = Place(topic.topic, data.partition_index)
                poll = self._polled(place, positions, data, begun_us, is_final)
                if poll is not None:
                    positions[place] = poll.end
                    polls.append(poll)
                    self._client.world.record(poll)
        return polls

    def _polled(
        self, place: Place, positions: dict[Place, int], data: PartitionData, begun_us: int, is_final: bool
    ) -> Poll | None:
        start = positions[place]
        if data.error_code == ErrorCode.OFFSET_OUT_OF_RANGE:
            positions[place] = earliest(self._client, place)
            return None
        if data.error_code == ErrorCode.KAFKA_STORAGE_ERROR and not is_final:
            return None  # its disk has failed: the partition is given up until the next start
        assert data.error_code == ErrorCode.NONE, f"{ErrorCode(data.error_code)!r} for {place} at {start}"
        aborted = [
            AbortedTransaction(each.producer_id, each.first_offset)
            for each in data.aborted_transactions or ()
        ]
        assert isinstance(data.records, bytes | memoryview), f"no records for {place}"
        records: Sequence[tuple[int, int]] = ()
        corrupt: Sequence[int] = ()
        end = start
        try:
            run = decode_columns(TopicPartition(*place), bytes(data.records), start, aborted)
            records, corrupt = records_in(run)
            end = run.next_offset
        except CorruptBatchError:
            corrupt = (start,)
        return Poll(
            client=self._client.name,
            begun_us=begun_us,
            ended_us=now_us(),
            place=place,
            isolation=self._isolation,
            start=start,
            end=end,
            records=tuple(records),
            high_watermark=data.high_watermark,
            last_stable=data.last_stable_offset,
            log_start=data.log_start_offset,
            corrupt=tuple(corrupt),
            is_final=is_final,
        )


def earliest(client: Client, place: Place) -> int:
    """Where a partition begins. Raises ``NoAnswer``."""
    wanted = ListOffsetsPartition(partition_index=place.partition, timestamp=_EARLIEST)
    request = ListOffsetsRequest(
        replica_id=-1, topics=[ListOffsetsTopic(name=place.topic, partitions=[wanted])]
    )
    answer: Any = client.ask(request, client.version_of("ListOffsets", 1, 11)).topics[0].partitions[0]
    if answer.error_code == ErrorCode.KAFKA_STORAGE_ERROR:
        raise NoAnswer
    assert answer.error_code == ErrorCode.NONE, f"{ErrorCode(answer.error_code)!r} for {place}"
    offset: int = answer.offset
    return offset


class Reader(Client):
    """Reads some of the partitions over and over again."""

    def __init__(self, world: World, name: str, topics: tuple[str, ...], isolation: Isolation) -> None:
        super().__init__(world, name)
        self._places = world.places(*topics)
        self._positions: dict[Place, int] = dict.fromkeys(self._places, 0)
        self._reader = PartitionReader(self, isolation)

    def step(self) -> None:
        if self.random.random() < 0.01:
            self._positions[self.random.choice(self._places)] = 0
        chosen = self.random.sample(self._places, self.random.randint(1, len(self._places)))
        positions = {place: self._positions[place] for place in chosen}
        self._reader.poll(
            positions,
            max_wait_ms=self.random.choice((0, 5, 50)),
            partition_bytes_max=self.random.choice((100, 1_000, 100_000)),
        )
        self._positions.update(positions)
