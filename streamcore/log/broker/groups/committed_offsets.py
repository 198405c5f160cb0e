"""The committed offsets of all groups, as the replay of ``__consumer_offsets``.

An offset committed in a transaction is pending until the transaction's marker: it does not count yet, and it
makes the offset that it would replace unstable (KIP-447).

Of two offsets for one partition, the one whose *record* stands later counts, not the one whose transaction
ended later: compaction keeps the last record, and a restart must agree with it. So a record that deletes an
offset also deletes the pending ones before it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from streamcore.log.broker.groups.records import StoredOffset
from streamcore.log.records.batch import NO_PRODUCER_ID
from streamcore.model import Offset, ProducerId, TopicPartition

_Entry = tuple[Offset, StoredOffset | None]


class CommittedOffsets:
    """Committed offsets by group and partition; changed by ``replay`` and ``replay_marker`` alone."""

    def __init__(self) -> None:
        self._by_group: dict[str, dict[TopicPartition, tuple[Offset, StoredOffset]]] = {}
        self._pending: dict[ProducerId, dict[tuple[str, TopicPartition], _Entry]] = {}
        self._pending_of: dict[str, Counter[TopicPartition]] = {}
        """The number of open transactions for each partition of a group."""

    def replay(
        self,
        group: str,
        partition: TopicPartition,
        stored: StoredOffset | None,
        *,
        at: Offset,
        producer_id: ProducerId = NO_PRODUCER_ID,
    ) -> None:
        """Apply the record at offset ``at``; ``None`` deletes the committed offset."""
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
        """End a producer's transaction: its pending offsets count now, or are dropped."""
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

    def _set(self, group: str, partition: TopicPartition, stored: StoredOffset | None, at: Offset) -> None:
        offsets = self._by_group.setdefault(group, {})
        current = offsets.get(partition)
        if current is not None and current[0] > at:
            return
        if stored is not None:
            offsets[partition] = (at, stored)
        elif current is not None:
            del offsets[partition]
        if not offsets:
            del self._by_group[group]

    def of_group(self, group: str) -> Mapping[TopicPartition, StoredOffset]:
        """Return a group's committed offsets without pending ones."""
        return {partition: entry[1] for partition, entry in self._by_group.get(group, {}).items()}

    def partitions(self, group: str) -> set[TopicPartition]:
        """Return the partitions for which a group has an offset, decided or pending."""
        return {*self._by_group.get(group, ()), *self._pending_of.get(group, ())}

    def pending(self, group: str) -> set[TopicPartition]:
        """Return the partitions for which an open transaction of the group has an offset."""
        return set(self._pending_of.get(group, ()))

    def is_unstable(self, group: str, partitions: Iterable[TopicPartition] | None) -> bool:
        """Whether an open transaction may still change one of these offsets, or any."""
        pending = self._pending_of.get(group)
        if pending is None:
            return False
        return partitions is None or any(partition in pending for partition in partitions)

    def has(self, group: str) -> bool:
        """Whether a group has offsets, decided or pending."""
        return group in self._by_group or group in self._pending_of

    @property
    def group_count(self) -> int:
        """The number of groups with decided offsets."""
        return len(self._by_group)

    def groups(self) -> set[str]:
        """Return the groups that have offsets, decided or pending."""
        return {*self._by_group, *self._pending_of}
