"""The positions that groups have committed: what a replay of ``__consumer_offsets`` amounts to.

A position committed inside a transaction is pending until the transaction's marker: it is not the
group's position yet, and it makes the position it would replace unstable (KIP-447).

Which of two positions of one partition counts is decided by where their *records* stand, not by
when their transactions ended: compaction keeps the last record, and a restart must agree with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from streamcore.log.broker.group_records import StoredPosition
from streamcore.log.records.batch import NO_PRODUCER_ID
from streamcore.model import Offset, ProducerId, TopicPartition

_Entry = tuple[Offset, StoredPosition | None]


class CommittedOffsets:
    """Positions by group and partition; changed by ``replay`` and ``replay_marker`` alone."""

    def __init__(self) -> None:
        self._by_group: dict[str, dict[TopicPartition, tuple[Offset, StoredPosition]]] = {}
        self._pending: dict[ProducerId, dict[tuple[str, TopicPartition], _Entry]] = {}

    def replay(
        self,
        group: str,
        partition: TopicPartition,
        stored: StoredPosition | None,
        *,
        at: Offset,
        producer_id: ProducerId = NO_PRODUCER_ID,
    ) -> None:
        """Apply the record at offset ``at``; ``None`` forgets the position."""
        if producer_id != NO_PRODUCER_ID:
            self._pending.setdefault(producer_id, {})[group, partition] = (at, stored)
        else:
            self._set(group, partition, stored, at)

    def replay_marker(self, producer_id: ProducerId, is_commit: bool) -> None:
        """End a producer's transaction: its pending positions count now, or never did."""
        for (group, partition), (at, stored) in self._pending.pop(producer_id, {}).items():
            if is_commit:
                self._set(group, partition, stored, at)

    def _set(self, group: str, partition: TopicPartition, stored: StoredPosition | None, at: Offset) -> None:
        positions = self._by_group.setdefault(group, {})
        current = positions.get(partition)
        if current is not None and current[0] > at:
            return
        if stored is not None:
            positions[partition] = (at, stored)
        elif current is not None:
            del positions[partition]
        if not positions:
            del self._by_group[group]

    def positions(self, group: str) -> Mapping[TopicPartition, StoredPosition]:
        """A group's positions, pending ones left out."""
        return {partition: entry[1] for partition, entry in self._by_group.get(group, {}).items()}

    def pending(self, group: str) -> set[TopicPartition]:
        """The partitions over which a transaction of the group is open."""
        return {
            partition
            for entries in self._pending.values()
            for pending_group, partition in entries
            if pending_group == group
        }

    def is_unstable(self, group: str, partitions: Iterable[TopicPartition] | None) -> bool:
        """Whether an open transaction may still move one of these positions, or of all."""
        if not self._pending:
            return False
        pending = self.pending(group)
        return bool(pending) if partitions is None else not pending.isdisjoint(partitions)

    def groups(self) -> set[str]:
        """The groups that have positions, decided or pending."""
        pending = {group for entries in self._pending.values() for group, _ in entries}
        return pending.union(self._by_group)
