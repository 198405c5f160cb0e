"""The committed offsets of groups, asked for by a consumer's handle that never joins its group.

librdkafka's admin request for them (``ListConsumerGroupOffsets``) ends the process with a segmentation fault
when a node answers that it is not the coordinator of the group (librdkafka issue 5040). Nodes of a cluster
answer so at the first use of a group, and when the coordinator has moved. A consumer's request looks for the
coordinator again instead.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable

from confluent_kafka import Consumer, KafkaError
from confluent_kafka import TopicPartition as KafkaPartition

from streamcore.errors import RequestTimeoutError, with_facts
from streamcore.log.client.kafka.connection import KafkaConnection
from streamcore.log.client.kafka.errors import translated
from streamcore.model import CommittedOffset, TopicPartition


class CommittedOffsets:
    """Asks for committed offsets. Keeps the handle of the last group. Safe to share between threads."""

    def __init__(self, connection: KafkaConnection) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._handle: tuple[str, Consumer] | None = None

    def of(
        self, group: str, partitions: Iterable[TopicPartition] | None
    ) -> dict[TopicPartition, CommittedOffset]:
        """Return a group's committed offsets; waits for an open transaction that commits some.

        Args:
            partitions: those that are asked for; ``None``: all partitions of the topics that exist.

        Raises:
            RequestTimeoutError: the transaction was not decided in time, or the broker does not answer.
        """
        connection = self._connection
        wanted = self._all_partitions() if partitions is None else list(partitions)
        if not wanted:
            return {}
        deadline_s = connection.clock.monotonic_s() + connection.settings.stable_wait_s
        while True:
            found = connection.retried(
                lambda: self._asked(group, wanted),
                "ask for committed offsets",
                asks_others=True,
                group=group,
            )
            failed = [each for each in found if each.error is not None]
            if not failed:
                return {
                    _topic_partition(each): CommittedOffset(each.offset, each.metadata or "")
                    for each in found
                    if each.offset >= 0
                }
            if failed[0].error.code() != KafkaError.UNSTABLE_OFFSET_COMMIT:
                raise translated(
                    failed[0].error,
                    "ask for committed offsets",
                    group=group,
                    partition=_topic_partition(failed[0]),
                )
            if connection.clock.monotonic_s() >= deadline_s:
                raise RequestTimeoutError(
                    with_facts(
                        "an open transaction holds committed offsets; try again after it has ended",
                        group=group,
                        partitions=",".join(str(_topic_partition(each)) for each in failed),
                    )
                )
            connection.pause()

    def close(self) -> None:
        """Close the handle."""
        with self._lock:
            self._drop()

    def _asked(self, group: str, partitions: list[TopicPartition]) -> list[KafkaPartition]:
        question = [KafkaPartition(each.topic, each.partition) for each in partitions]
        with self._lock:
            self._connection.ensure_open()
            if self._handle is None or self._handle[0] != group:
                self._drop()
                self._handle = group, self._connection.consumer({"group.id": group})
            answer: list[KafkaPartition] = self._handle[1].committed(
                question, timeout=self._connection.attempt_timeout_s
            )
        return answer

    def _drop(self) -> None:
        if self._handle is not None:
            self._handle[1].close()
            self._handle = None

    def _all_partitions(self) -> list[TopicPartition]:
        connection = self._connection
        found = connection.retried(
            lambda: connection.admin.list_topics(timeout=connection.attempt_timeout_s),
            "list topics",
            asks_others=True,
        )
        return [
            TopicPartition(topic, number)
            for topic, metadata in sorted(found.topics.items())
            for number in sorted(metadata.partitions)
        ]


def _topic_partition(found: KafkaPartition) -> TopicPartition:
    return TopicPartition(found.topic, found.partition)
