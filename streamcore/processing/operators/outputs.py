"""What a commit interval writes to topics: encoded columns for each partition, in the order of events.

Several steps, and several tasks, may write to one topic. Within a batch their records are put back
into the order of events; across the tasks of one round they are merged by the order key of the record
they came from, lowest first, so that a repartition topic is as much in time order as its inputs were.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from streamcore.model import RecordColumns, TopicPartition
from streamcore.processing.topology.nodes import TopicSpec


@dataclass(slots=True)
class _Part:
    """What one step wrote to one partition for one batch, then what one batch wrote."""

    columns: RecordColumns
    origins: Sequence[int]
    orders: Sequence[int]


_Place = tuple[bool, TopicPartition]


class Outputs:
    """Collects what tasks write, until the commit takes it."""

    def __init__(self) -> None:
        self.record_count = 0
        self.value_bytes = 0
        self._ready: dict[_Place, RecordColumns] = {}
        self._round: dict[_Place, list[_Part]] = {}
        self._batch: dict[_Place, list[_Part]] = {}

    def add(
        self,
        topic: TopicSpec,
        partition: int,
        columns: RecordColumns,
        *,
        origins: Sequence[int],
        orders: Sequence[int],
    ) -> None:
        """Take what a step writes to a partition. The columns are not the caller's any more."""
        self.record_count += len(columns)
        self.value_bytes += sum(len(value) for value in columns.values if value is not None)
        place = (topic.internal, TopicPartition(topic.name, partition))
        self._batch.setdefault(place, []).append(_Part(columns, origins, orders))

    def end_batch(self) -> None:
        """Put what several steps wrote for one batch into the order of its events."""
        for place, parts in self._batch.items():
            part = parts[0] if len(parts) == 1 else _merged(parts, [o for p in parts for o in p.origins])
            self._round.setdefault(place, []).append(part)
        self._batch.clear()

    def end_round(self) -> None:
        """Merge what the tasks of one round wrote, by order key."""
        assert not self._batch
        for place, parts in self._round.items():
            part = parts[0] if len(parts) == 1 else _merged(parts, [o for p in parts for o in p.orders])
            ready = self._ready.get(place)
            if ready is None:
                self._ready[place] = part.columns
            else:
                ready.extend(part.columns)
        self._round.clear()

    def taken(self, *, internal: bool) -> dict[TopicPartition, RecordColumns]:
        """What is ready for topics inside the application, or for those of the outside."""
        assert not self._round
        return {target: columns for (inside, target), columns in self._ready.items() if inside is internal}

    def clear(self) -> None:
        """Forget everything: it was committed, or must not be."""
        self.record_count = 0
        self.value_bytes = 0
        self._ready.clear()
        self._round.clear()
        self._batch.clear()


def _merged(parts: Sequence[_Part], sort_keys: Sequence[int]) -> _Part:
    """Unite parts, sorted; equal sort keys keep the order of the parts."""
    columns = RecordColumns()
    for part in parts:
        columns.extend(part.columns)
    positions = sorted(range(len(sort_keys)), key=sort_keys.__getitem__)
    orders = [order for part in parts for order in part.orders]
    origins = [origin for part in parts for origin in part.origins]
    return _Part(
        columns.take(positions),
        [origins[position] for position in positions],
        [orders[position] for position in positions],
    )
