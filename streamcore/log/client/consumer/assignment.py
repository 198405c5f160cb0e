"""The partitions assigned to a consumer, and the callbacks of the program when they change.

A rebalance changes a consumer only through this module, in the program's own thread. ``fetch_state`` holds
what was read of the partitions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from streamcore.log.client import port
from streamcore.log.client.consumer.fetch_state import FetchStates
from streamcore.log.client.consumer.settings import ConsumerSettings, RebalanceCallback
from streamcore.model import Offset, TopicPartition


class ConsumerAssignment:
    """The partitions that one consumer reads; its group or the program changes them."""

    def __init__(
        self, log: port.Log, fetch_states: FetchStates, group: str | None, settings: ConsumerSettings
    ) -> None:
        self._log = log
        self._fetch_states = fetch_states
        self._group = group
        self._settings = settings

    def __contains__(self, partition: TopicPartition) -> bool:
        return partition in self._fetch_states

    def partitions(self) -> tuple[TopicPartition, ...]:
        """Return the partitions assigned now."""
        return self._fetch_states.partitions()

    def take(
        self, partitions: Sequence[TopicPartition], starts: Mapping[TopicPartition, Offset] | None = None
    ) -> None:
        """Begin to read partitions at their committed offsets, else where ``starts`` or the settings say."""
        if not partitions:
            return
        committed = {} if self._group is None else self._log.committed(self._group, partitions)
        fresh = [partition for partition in partitions if partition not in committed]
        offsets = dict(starts) if starts is not None else self._fetch_states.start_offsets(fresh)
        offsets.update((partition, position.offset) for partition, position in committed.items())
        self._fetch_states.add({partition: offsets[partition] for partition in partitions}, committed)

    def accept(self, partitions: Sequence[TopicPartition]) -> None:
        """Add the partitions that the group assigns, and call ``on_assigned``."""
        self.take(partitions)
        if self._settings.on_assigned is not None:
            self._settings.on_assigned(partitions)

    def revoke(self, partitions: Sequence[TopicPartition]) -> None:
        """Call ``on_revoked``, in which the program can still commit, then remove the partitions."""
        self._give_up(partitions, self._settings.on_revoked)

    def lose(self, partitions: Sequence[TopicPartition]) -> None:
        """Remove partitions that another member owns already, and call ``on_lost``."""
        self._give_up(partitions, self._settings.on_lost or self._settings.on_revoked)

    def _give_up(self, partitions: Sequence[TopicPartition], callback: RebalanceCallback | None) -> None:
        if not partitions:
            return
        try:
            if callback is not None:
                callback(partitions)
        finally:
            self._fetch_states.remove(partitions)
