"""The changes that one request makes to a consumer group, before they are in the log.

A decision of several steps sees in each step what the earlier steps decided, although the group itself is
unchanged: the group changes when the records are in the log, by replaying them.
"""

from __future__ import annotations

from typing import TypeAlias

from streamcore.log.broker.groups.consumer_group import ConsumerGroup
from streamcore.log.broker.groups.consumer_group_records import (
    ConsumerGroupKey,
    ConsumerGroupRecord,
    ConsumerGroupValue,
    Kind,
)
from streamcore.log.broker.groups.records import GroupKey, StoredGroup

ClassicRecord: TypeAlias = tuple[GroupKey, StoredGroup | None]
GroupRecord: TypeAlias = ClassicRecord | ConsumerGroupRecord


class GroupDraft:
    """Records to be written for one group."""

    def __init__(self, group: ConsumerGroup) -> None:
        self.group = group
        """The group as the records leave it; for reading only."""
        self.records: list[GroupRecord] = []

    def put(self, kind: Kind, value: ConsumerGroupValue, part: str = "") -> None:
        """Add a record that sets a value."""
        self._add(ConsumerGroupKey(kind, self.group.name, part), value)

    def drop(self, kind: Kind, part: str = "") -> None:
        """Add a record that deletes a value."""
        self._add(ConsumerGroupKey(kind, self.group.name, part), None)

    def _add(self, key: ConsumerGroupKey, value: ConsumerGroupValue | None) -> None:
        if not self.records:
            self.group = self.group.copy()
        self.group.replay(key, value)
        self.records.append((key, value))
