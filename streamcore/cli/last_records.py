"""Find the newest records of a topic by reading backwards from its end."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from streamcore.model import Isolation, TopicPartition

if TYPE_CHECKING:
    from streamcore.log.client.consumer.consumer import Consumer
    from streamcore.log.client.consumer.fetch_state import BytesRecord
    from streamcore.log.connected_log import ConnectedLog


def last_records(
    consumer: Consumer, log: ConnectedLog, isolation: Isolation, count: int
) -> list[BytesRecord]:
    """Return the ``count`` newest records of all partitions; those of one partition are in offset order.

    Offsets without a record (of markers, of aborted and of compacted records) do not count: if they leave too
    few records, the function reads again from twice as far back. Afterwards the consumer is at the end.
    """
    partitions = consumer.assignment()
    while not partitions:
        consumer.poll("200ms")
        partitions = consumer.assignment()
    marks = log.offsets(partitions)
    ends = {partition: marks[partition].visible_end(isolation) for partition in partitions}
    kept: dict[TopicPartition, deque[BytesRecord]] = {
        partition: deque(maxlen=count) for partition in partitions
    }
    wanting, offsets_back = set(partitions), count
    while wanting:
        for partition in wanting:
            kept[partition].clear()
            consumer.seek(partition, max(marks[partition].log_start, ends[partition] - offsets_back))
        while any(consumer.position(partition) < ends[partition] for partition in wanting):
            for record in consumer.poll("200ms"):
                kept[TopicPartition(record.topic, record.partition)].append(record)
        wanting = {
            partition
            for partition in wanting
            if len(kept[partition]) < count and ends[partition] - offsets_back > marks[partition].log_start
        }
        offsets_back *= 2
    return _newest(kept, count)


def _newest(kept: dict[TopicPartition, deque[BytesRecord]], count: int) -> list[BytesRecord]:
    """Take the records with the latest times from the ends of the partitions."""
    taken: list[BytesRecord] = []
    while len(taken) < count and any(kept.values()):
        tails = {partition: records[-1] for partition, records in kept.items() if records}
        newest = max(tails, key=lambda partition: (tails[partition].timestamp_ms, partition))
        taken.append(kept[newest].pop())
    return taken[::-1]
