"""All groups and their committed offsets, as the replay of ``__consumer_offsets``.

The same functions apply a record that was just appended and one that is read at start. Groups of the classic
protocol are the exception: only what their leaders decide is stored, so they live beside their records and
are read from the last one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias, TypeVar

from streamcore.clock import Clock
from streamcore.log.broker.api_errors import ApiError, ErrorName
from streamcore.log.broker.deadlines import Deadlines
from streamcore.log.broker.groups.classic_group import ClassicGroup
from streamcore.log.broker.groups.classic_states import JoinRules
from streamcore.log.broker.groups.committed_offsets import CommittedOffsets
from streamcore.log.broker.groups.consumer_group import ConsumerGroup
from streamcore.log.broker.groups.consumer_group_records import (
    ConsumerGroupKey,
    ConsumerGroupValue,
    Kind,
    decode_consumer_group_key,
    decode_consumer_group_value,
    encode_consumer_group_record,
)
from streamcore.log.broker.groups.draft import GroupDraft, GroupRecord
from streamcore.log.broker.groups.records import (
    GroupKey,
    OffsetKey,
    StoredGroup,
    decode_group,
    decode_key,
    decode_offset,
    encode_group,
    encode_group_key,
)
from streamcore.log.broker.internal_topic import InternalTopic, ReplayedMarker, ReplayedRecord
from streamcore.log.broker.operations import Completed, Operation, OperationFuture

R = TypeVar("R")

Group: TypeAlias = ClassicGroup | ConsumerGroup

_FOR_EVER_S: Final = float("inf")


class GroupStore:
    """Groups and committed offsets; changed by these methods, and by a classic group's own steps."""

    def __init__(self, topic: InternalTopic, clock: Clock, rules: JoinRules, group_count_max: int) -> None:
        self.topic = topic
        self.clock = clock
        self.groups: dict[str, Group] = {}
        self.offsets = CommittedOffsets()
        self.deadlines = Deadlines()
        self._rules = rules
        self._group_count_max = group_count_max

    # --- groups -------------------------------------------------------------------------------

    def names(self) -> set[str]:
        """Return the groups with members, a generation or committed offsets."""
        return self.offsets.groups().union(self.groups)

    def ensure_room(self, name: str) -> None:
        """Refuse another group if the limit is reached. Raises ``ApiError``."""
        if name in self.groups or self.offsets.has(name):
            return
        if max(len(self.groups), self.offsets.group_count) >= self._group_count_max:
            raise ApiError(ErrorName.POLICY_VIOLATION, group=name, groups_max=self._group_count_max)

    def new_classic(self, name: str) -> ClassicGroup:
        """Return an empty group that is not in the store."""
        return ClassicGroup(name, self._rules)

    def watch(self, group: Group) -> None:
        """Schedule the group's next deadline."""
        self.deadlines.wake(group.name, group.wake_s)

    # --- writing ------------------------------------------------------------------------------

    def write(self, name: str, records: Sequence[GroupRecord]) -> None:
        """Append records of one group as one batch, then apply them."""
        self.topic.append(name, [_encoded(record) for record in records])
        for key, value in records:
            self._replay(key, value)

    def write_draft(self, draft: GroupDraft) -> None:
        """Append the records of a draft, and apply them."""
        if draft.records:
            self.write(draft.group.name, draft.records)
        group = self.groups.get(draft.group.name)
        if isinstance(group, ConsumerGroup):
            group.topics_version = draft.group.topics_version

    def save(self, group: ClassicGroup, stored: StoredGroup) -> None:
        """Append a classic group's own change."""
        self.topic.append(group.name, [_encoded((GroupKey(group.name), stored))])
        group.is_unsaved = False
        group.since_ms = stored.since_ms

    def forget(self, name: str, records: Sequence[GroupRecord]) -> None:
        """Delete a group by its tombstones; a group that was never stored has none."""
        if records:
            self.write(name, records)
        self.groups.pop(name, None)

    # --- reading back -------------------------------------------------------------------------

    def load(self) -> None:
        """Replay the topic."""
        for entry in self.topic.replay():
            if isinstance(entry, ReplayedMarker):
                self.offsets.replay_marker(entry.producer_id, entry.is_commit)
            else:
                self._load(entry)

    def _load(self, entry: ReplayedRecord) -> None:
        consumer_key = decode_consumer_group_key(entry.key)
        if consumer_key is not None:
            value = entry.value
            decoded = None if value is None else decode_consumer_group_value(consumer_key.kind, value)
            self._replay(consumer_key, decoded)
            return
        match decode_key(entry.key):
            case OffsetKey(group, partition):
                stored = None if entry.value is None else decode_offset(entry.value)
                self.offsets.replay(group, partition, stored, at=entry.offset, producer_id=entry.producer_id)
            case GroupKey() as key:
                self._replay(key, None if entry.value is None else decode_group(entry.value))
            case None:
                pass

    def _replay(
        self, key: GroupKey | ConsumerGroupKey, value: StoredGroup | ConsumerGroupValue | None
    ) -> None:
        if isinstance(key, GroupKey):
            assert value is None or isinstance(value, StoredGroup)
            self._replay_classic(key.group, value)
        else:
            assert not isinstance(value, StoredGroup)
            self._replay_consumer(key, value)

    def _replay_classic(self, name: str, stored: StoredGroup | None) -> None:
        if stored is not None:
            group = self.groups[name] = self.new_classic(name)
            group.replay(stored)
        elif isinstance(self.groups.get(name), ClassicGroup):
            del self.groups[name]

    def _replay_consumer(self, key: ConsumerGroupKey, value: ConsumerGroupValue | None) -> None:
        group = self.groups.get(key.group)
        if not isinstance(group, ConsumerGroup):
            if value is None:
                return  # the value is deleted already
            group = self.groups[key.group] = ConsumerGroup(key.group)
        if key.kind is Kind.EPOCH and value is None:
            del self.groups[key.group]
        else:
            group.replay(key, value)


def _encoded(record: GroupRecord) -> tuple[bytes, bytes | None]:
    key, value = record
    if isinstance(key, GroupKey):
        assert value is None or isinstance(value, StoredGroup)
        return encode_group_key(key.group), None if value is None else encode_group(value)
    assert not isinstance(value, StoredGroup)
    return encode_consumer_group_record((key, value))


def kept(promise: OperationFuture[R | ErrorName], group: str) -> Operation[R]:
    """Wait for a future and return its reply; raise a refusal."""
    while not promise.is_done:
        yield Completed(promise, _FOR_EVER_S)
    reply = promise.reply
    if isinstance(reply, ErrorName):
        raise ApiError(reply, group=group)
    assert reply is not None
    return reply
