"""The positions that groups have committed: what a replay of ``__consumer_offsets`` amounts to.

A position committed inside a transaction is pending until the transaction's marker: it is not the
group's position yet, and it makes the position it would replace unstable (KIP-447).

Which of two positions of one partition counts is decided by where their *records* stand, not by
when their transactions ended: compaction keeps the last record, and a restart must agree with it. So what
forgets a position forgets the pending ones before it, too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from streamcore.log.broker.groups.records import StoredPosition
from streamcore.log.records.batch import NO_PRODUCER_ID
from streamcore.model import Offset, ProducerId, TopicPartition

_Entry = tuple[Offset, StoredPosition | None]


class CommittedOffsets:
    """Positions by group and partition; changed by ``replay`` and ``replay_marker`` alone."""

    def __init__(self) -> None:
        self._by_group: dict[str, dict[TopicPartition, tuple[Offset, StoredPosition]]] = {}
        self._pending: dict[ProducerId, dict[tuple[str, TopicPartition], _Entry]] = {}
        self._pending_of: dict[str, Counter[TopicPartition]] = {}
        """How many open transactions are over each partition of a group."""

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
        if producer_id == NO_PRODUCER_ID:
            if stored is None:
                self._forget_pending(group, partition)
            self._set(group, partition, stored, at)
            return
        entries = self._pending.setdefault(producer_id, {})
        if (group, partition) not in entries:
            self._pending_of.setdefault(group, Counter())[partition] += 1
        entries[group, partition] = (at, stored)

    def replay_marker(self, producer_id: ProducerId, is_commit: bool) -> None:
        """End a producer's transaction: its pending positions count now, or never did."""
        for (group, partition), (at, stored) in self._pending.pop(producer_id, {}).items():
            self._decide(group, partition)
            if is_commit:
                self._set(group, partition, stored, at)

    def _forget_pending(self, group: str, partition: TopicPartition) -> None:
        if partition not in self._pending_of.get(group, ()):
            return
        for entries in self._pending.values():
            if entries.pop((group, partition), None) is not None:
                self._decide(group, partition)

    def _decide(self, group: str, partition: TopicPartition) -> None:
        pending = self._pending_of[group]
        pending[partition] -= 1
        if not pending[partition]:
            del pending[partition]
        if not pending:
            del self._pending_of[group]

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

    def partitions(self, group: str) -> set[TopicPartition]:
        """The partitions in which a group has a position, decided or pending."""
        return {*self._by_group.get(group, ()), *self._pending_of.get(group, ())}

    def pending(self, group: str) -> set[TopicPartition]:
        """The partitions over which a transaction of the group is open."""
        return set(self._pending_of.get(group, ()))

    def is_unstable(self, group: str, partitions: Iterable[TopicPartition] | None) -> bool:
        """Whether an open transaction may still move one of these positions, or of all."""
        pending = self._pending_of.get(group)
        if pending is None:
            return False
        return partitions is None or any(partition in pending for partition in partitions)

    def has(self, group: str) -> bool:
        """Whether a group has positions, decided or pending."""
        return group in self._by_group or group in self._pending_of

    @property
    def group_count(self) -> int:
        """How many groups have positions that are decided."""
        return len(self._by_group)

    def groups(self) -> set[str]:
        """The groups that have positions, decided or pending."""
        return {*self._by_group, *self._pending_of}
