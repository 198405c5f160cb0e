"""The records that a commit interval writes to topics: encoded columns per partition, in the order of events.

Several steps, and several tasks, may write to one topic. Within a batch their records are restored to
the order of events; across the tasks of one round they are merged by the partition time of the record
they were made from, lowest first, so that a repartition topic is as much in time order as its inputs.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from streamcore.model import RecordColumns, TopicPartition
from streamcore.processing.topology.nodes import TopicSpec


@dataclass(slots=True)
class _Part:
    """The records that one step wrote to one partition for one batch, later those of the whole batch."""

    columns: RecordColumns
    origins: Sequence[int]
    partition_times_ms: Sequence[int]

    def take(self, indexes: range) -> _Part:
        """Return the records at these indexes, which are consecutive."""
        start, stop = indexes.start, indexes.stop
        return _Part(
            self.columns.take(indexes), self.origins[start:stop], self.partition_times_ms[start:stop]
        )


_Output = tuple[bool, TopicPartition]
"""Whether the topic is internal, and the partition."""


class BatchOutputs:
    """Collects the records that the steps of one task write for one batch, until the batch's records are
    done.
    """

    def __init__(self, outputs: Outputs) -> None:
        self._outputs = outputs
        self._parts: dict[_Output, list[_Part]] = {}

    def add(
        self,
        topic: TopicSpec,
        partition: int,
        columns: RecordColumns,
        *,
        origins: Sequence[int],
        partition_times_ms: Sequence[int],
    ) -> None:
        """Add records that a step writes to a partition. The caller must not use the columns any more."""
        output = (topic.internal, TopicPartition(topic.name, partition))
        self._parts.setdefault(output, []).append(_Part(columns, origins, partition_times_ms))

    def end_batch(self, before: int | None = None) -> None:
        """Sort the records into the order of the batch's records, and pass them on.

        If only the records of origins below ``before`` are done, the output of the others stays here.
        """
        parts_by_output, self._parts = self._parts, {}
        for output, parts in parts_by_output.items():
            part = parts[0] if len(parts) == 1 else _merged(parts, [o for p in parts for o in p.origins])
            if before is not None:
                done = bisect_left(part.origins, before)
                if done < len(part.origins):
                    self._parts[output] = [part.take(range(done, len(part.origins)))]
                    part = part.take(range(done))
            if len(part.columns):
                self._outputs.add(output, part)

    def clear(self) -> None:
        """Drop all records."""
        self._parts.clear()


class Outputs:
    """Collects the records that the tasks with common rounds write, until the commit takes them."""

    def __init__(self) -> None:
        self.record_count = 0
        self.size_bytes = 0
        self._ready: dict[_Output, RecordColumns] = {}
        self._round: dict[_Output, list[_Part]] = {}

    def add(self, output: _Output, part: _Part) -> None:
        """Add the records that a batch wrote to a partition."""
        self.record_count += len(part.columns)
        self.size_bytes += part.columns.measure()
        self._round.setdefault(output, []).append(part)

    def end_round(self) -> None:
        """Merge the records that the tasks of one round wrote, by partition time."""
        for output, parts in self._round.items():
            part = (
                parts[0]
                if len(parts) == 1
                else _merged(parts, [time for each in parts for time in each.partition_times_ms])
            )
            ready = self._ready.get(output)
            if ready is None:
                self._ready[output] = part.columns
            else:
                ready.extend(part.columns)
        self._round.clear()

    def partitions(self) -> list[TopicPartition]:
        """Return the partitions of the records."""
        return [partition for _, partition in self._ready]

    def taken(self, *, internal: bool) -> dict[TopicPartition, RecordColumns]:
        """Return the records for the internal topics of the application, or those for all other topics."""
        assert not self._round
        return {
            partition: columns for (inside, partition), columns in self._ready.items() if inside is internal
        }

    def clear(self) -> None:
        """Drop all records: they are committed, or must not be."""
        self.record_count = 0
        self.size_bytes = 0
        self._ready.clear()
        self._round.clear()


def _merged(parts: Sequence[_Part], sort_keys: Sequence[int]) -> _Part:
    """Unite parts in sorted order; records of equal sort keys keep the order of the parts."""
    columns = RecordColumns()
    for part in parts:
        columns.extend(part.columns)
    indexes = sorted(range(len(sort_keys)), key=sort_keys.__getitem__)
    partition_times_ms = [time_ms for part in parts for time_ms in part.partition_times_ms]
    origins = [origin for part in parts for origin in part.origins]
    return _Part(
        columns.take(indexes),
        [origins[index] for index in indexes],
        [partition_times_ms[index] for index in indexes],
    )
