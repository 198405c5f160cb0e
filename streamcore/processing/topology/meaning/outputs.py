"""The interpreter's outputs: what a written record, a dead letter and a failing record are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, TypeVar

from streamcore.errors import SerdeError, StreamCoreError, UserCodeError, fact_text
from streamcore.model import Headers, Record
from streamcore.partitioning import partition_of_key
from streamcore.processing.topology.dead_letters import dead_letter_headers
from streamcore.processing.topology.error_policy import DeadLetter, ErrorPolicy, Retry, Skip, Stop
from streamcore.processing.topology.made_records import partition_without_key
from streamcore.processing.topology.nodes import TopicSpec
from streamcore.processing.topology.source_times import with_source_time
from streamcore.processing.topology.times import NO_TIME
from streamcore.serde import Serde

R = TypeVar("R")


class Event(Record[Any, Any], frozen=True):
    """A record with decoded key and value, on its way through the steps, with the topic, partition and
    offset of the record it was made from.
    """

    source_time_ms: int = NO_TIME
    """The stream time of its source partition, by which it is late or in time; of a final result, its own."""


Stored: TypeAlias = Record[bytes | None, bytes | None]
"""A record as a topic holds it."""
Results: TypeAlias = list[R]
"""The result of a call, in a list, or an empty list where an error policy left the record out."""


class MeaningOfOutputs:
    """The topics that the steps write, in memory, and the error policies."""

    def __init__(self, partition_counts: Mapping[str, int]) -> None:
        self.outputs: dict[str, list[Stored]] = defaultdict(list)
        """For each topic, the records written to it, in order, with partitions and offsets."""
        self._partition_counts = partition_counts
        self._written: list[Stored] = []

    # -- writing

    def _write(
        self,
        topic: TopicSpec,
        event: Event,
        call: Callable[..., Results[Any]],
        came_from: Stored | None = None,
    ) -> None:
        """Write an event; without a key, its partition follows from the record it was made from, if given."""
        for value in call(_encoded, topic.value_serde, event.value):
            for key in call(_encoded, topic.key_serde, event.key):
                partition = 0
                if came_from is not None:
                    partition = partition_without_key(came_from, self._partition_counts[topic.name])
                headers = event.headers
                if topic.internal:
                    headers = with_source_time(headers, event.timestamp_ms, event.source_time_ms)
                self._append(topic.name, key, value, event.timestamp_ms, headers, partition)

    def _append_dead_letter(self, topic: str, stored: Stored, node: str, error: Exception) -> None:
        """Write a record as it was read, with its place and the reason in its headers."""
        headers = dead_letter_headers(stored, node, error)
        self._append(topic, stored.key, stored.value, stored.timestamp_ms, headers)

    def _append(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        timestamp_ms: int,
        headers: Headers,
        partition: int = 0,
    ) -> None:
        """Write a record; ``partition`` is that of a record without a key, which topics of users do not
        promise.
        """
        if key is not None:
            partition = partition_of_key(key, self._partition_counts[topic])
        records = self.outputs[topic]
        offset = sum(record.partition == partition for record in records)
        record = Record(key, value, timestamp_ms, headers, topic, partition, offset)
        records.append(record)
        self._written.append(record)

    # -- failures

    def _guarded(
        self, node: str, policy: ErrorPolicy, stored: Stored, function: Callable[[], R]
    ) -> Results[R]:
        """Call a function under the error policy of a step."""
        calls_left = policy.times + 1 if isinstance(policy, Retry) else 1
        while True:
            calls_left -= 1
            try:
                return [function()]
            except Exception as error:
                match policy:
                    case Skip():
                        return []
                    case DeadLetter(topic):
                        self._append_dead_letter(topic, stored, node, error)
                        return []
                    case Retry() if calls_left:
                        continue
                    case Stop() | Retry():
                        raise _stopping_error(node, stored, error) from error


def _stopping_error(node: str, stored: Stored, error: Exception) -> StreamCoreError:
    kind = SerdeError if isinstance(error, SerdeError) else UserCodeError
    place = fact_text(node=node, topic=stored.topic, partition=stored.partition, offset=stored.offset)
    return kind(f"a record failed: {place} error={error}")


def _encoded(serde: Serde[Any], found: Any) -> bytes | None:
    return None if found is None else serde.encode(found)
