"""The marks of partitions, and offsets by time, from a broker.

The protocol gives three of the four marks. It does not give the log end behind the high watermark, so the
high watermark is returned for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, TypeAlias

from confluent_kafka import IsolationLevel
from confluent_kafka import TopicPartition as KafkaPartition
from confluent_kafka.admin import OffsetSpec

from streamcore.errors import RetriableError, with_facts
from streamcore.log.client.kafka.connection import KafkaConnection
from streamcore.log.client.kafka.topics import KafkaTopics
from streamcore.model import Isolation, LogOffsets, Offset, TimestampMs, TopicPartition

NO_OFFSET: Final = -1
"""The offset in an answer if no record has the time or a later one."""

Question: TypeAlias = tuple[Mapping[TopicPartition, OffsetSpec], Isolation]

_LEVELS: Final = {
    Isolation.READ_COMMITTED: IsolationLevel.READ_COMMITTED,
    Isolation.READ_UNCOMMITTED: IsolationLevel.READ_UNCOMMITTED,
}


class KafkaOffsets:
    """Asks one broker for offsets. Safe to share between threads."""

    def __init__(self, connection: KafkaConnection, topics: KafkaTopics) -> None:
        self._connection = connection
        self._topics = topics

    def marks(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, LogOffsets]:
        """Return the marks of partitions. Raises ``UnknownTopicError``."""
        wanted = self._existing(partitions)
        starts, stable, ends = self._asked(
            (dict.fromkeys(wanted, OffsetSpec.earliest()), Isolation.READ_UNCOMMITTED),
            (dict.fromkeys(wanted, OffsetSpec.latest()), Isolation.READ_COMMITTED),
            (dict.fromkeys(wanted, OffsetSpec.latest()), Isolation.READ_UNCOMMITTED),
        )
        marks = {}
        for partition in wanted:
            # The three are read at different times; no mark moves back.
            last_stable = max(starts[partition], stable[partition])
            high_watermark = max(last_stable, ends[partition])
            marks[partition] = LogOffsets(starts[partition], last_stable, high_watermark, high_watermark)
        return marks

    def visible_ends(
        self, partitions: Iterable[TopicPartition], isolation: Isolation
    ) -> dict[TopicPartition, Offset]:
        """Return where readers with this isolation stop now."""
        (ends,) = self._asked((dict.fromkeys(self._existing(partitions), OffsetSpec.latest()), isolation))
        return ends

    def for_times(self, times: Mapping[TopicPartition, TimestampMs]) -> dict[TopicPartition, Offset]:
        """Return for each partition the first offset with a timestamp at or after a time, else its end."""
        self._existing(times)
        specs = {partition: OffsetSpec.for_timestamp(time_ms) for partition, time_ms in times.items()}
        (found,) = self._asked((specs, Isolation.READ_UNCOMMITTED), lowest=NO_OFFSET)
        late = [partition for partition, offset in found.items() if offset == NO_OFFSET]
        return found | self.visible_ends(late, Isolation.READ_UNCOMMITTED)

    def _existing(self, partitions: Iterable[TopicPartition]) -> list[TopicPartition]:
        wanted = list(partitions)
        for partition in wanted:
            self._topics.of(partition)
        return wanted

    def _asked(self, *questions: Question, lowest: Offset = 0) -> list[dict[TopicPartition, Offset]]:
        """Send several requests at once; return their answers."""
        if not questions[0][0]:
            return [{} for _ in questions]
        timeout_s = self._connection.attempt_timeout_s

        def ask() -> list[dict[TopicPartition, Offset]]:
            answered = [
                self._connection.admin.list_offsets(
                    {
                        KafkaPartition(partition.topic, partition.partition): spec
                        for partition, spec in specs.items()
                    },
                    isolation_level=_LEVELS[isolation],
                    request_timeout=timeout_s,
                )
                for specs, isolation in questions
            ]
            return [
                {
                    TopicPartition(partition.topic, partition.partition): _told(
                        partition, answer.result(timeout_s).offset, lowest
                    )
                    for partition, answer in answers.items()
                }
                for answers in answered
            ]

        partitions = ",".join(map(str, questions[0][0]))
        return self._connection.retried(ask, "ask for offsets", asks_others=True, partitions=partitions)


def _told(partition: KafkaPartition, offset: Offset, lowest: Offset) -> Offset:
    """Return the offset of an answer. librdkafka marks a missing answer by a negative offset, not by an
    error.
    """
    if offset < lowest:
        raise RetriableError(
            with_facts(
                "the broker returned no offset; try again",
                topic=partition.topic,
                partition=partition.partition,
            )
        )
    return offset
