"""What a request would make of a consumer group: the records so far, and the group as they would leave it.

A decision of several steps sees in each what the steps before have decided, and yet nothing has happened: the
group itself changes when the records are in the log, by replaying them.
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
        """As the records leave it; to be looked at only."""
        self.records: list[GroupRecord] = []

    def put(self, kind: Kind, value: ConsumerGroupValue, part: str = "") -> None:
        """Have a value written."""
        self._add(ConsumerGroupKey(kind, self.group.name, part), value)

    def drop(self, kind: Kind, part: str = "") -> None:
        """Have a value deleted."""
        self._add(ConsumerGroupKey(kind, self.group.name, part), None)

    def _add(self, key: ConsumerGroupKey, value: ConsumerGroupValue | None) -> None:
        if not self.records:
            self.group = self.group.copy()
        self.group.replay(key, value)
        self.records.append((key, value))
