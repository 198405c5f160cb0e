"""Decide what a store must replay to equal the topic that it follows: nothing, the tail, or everything.

The store's checkpoint is compared with the log's present content. The tail may be replayed only onto data
that is a true prefix of the same log, with no tombstone lost in between; otherwise the store is emptied and
rebuilt from the log start. If a rebuild would give less than the table held, because the log itself lost
records of the table's changelog, the plan is to refuse.
"""

from __future__ import annotations

from enum import Enum
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from streamcore.model import Offset, TimestampMs


class Checkpoint(Struct, frozen=True):
    """The offset that a store's data reaches in the log that it was made from."""

    offset: Offset
    topic_id: UUID
    stamped_ms: TimestampMs | None = None


class ChangelogExtent(Struct, frozen=True):
    """The content of a changelog partition: offsets ``[log_start, visible_end)`` can be read now."""

    topic_id: UUID
    log_start: Offset
    visible_end: Offset
    log_end: Offset

    def __post_init__(self) -> None:
        assert self.log_start <= self.visible_end <= self.log_end


class Restoring(Enum):
    """The kind of a plan."""

    NOTHING = "nothing"
    TAIL = "tail"
    """Replay from the checkpoint onto the data."""
    TAIL_IF_EMPTY = "tail if empty"
    """As ``REBUILD``, if the tail holds a record; markers of transactions alone change nothing."""
    REBUILD = "rebuild"
    """Empty the store, then replay from the log start."""
    REFUSE = "refuse"
    """Do nothing: the log does not hold the table any more, and a person must decide."""


class RestorePlan(Struct, frozen=True):
    """Replay ``[start, end)`` of this changelog; ``reason`` is for log messages and errors."""

    kind: Restoring
    start: Offset
    end: Offset
    reason: str
    changelog: ChangelogExtent
    rebuild_kind: Restoring = Restoring.REBUILD
    """The plan instead of a rebuild: ``REFUSE`` if the changelog does not hold the whole table any more."""

    def as_rebuild(self) -> RestorePlan:
        """Return the plan that does not use the store's data."""
        return replace(self, kind=self.rebuild_kind, start=self.changelog.log_start)


class RestoreRules(Struct, frozen=True, kw_only=True):
    """What the plan depends on, beside the checkpoint and the log."""

    is_windowed: bool
    now_ms: TimestampMs
    delete_retention_ms: int
    """How long the topic keeps tombstones."""
    is_changelog: bool = False
    """Whether the topic is the table's own changelog, not a user's topic that a table follows."""
    replaced_ids: frozenset[UUID] = frozenset()
    """Ids of former topics that a reset deleted, or that the user allows to be replaced."""
    deletes_by_tombstones: bool = False
    """Whether a windowed store writes tombstones, as one of sessions does; key-value stores always do."""
    may_lose_end: bool = False
    """Whether the log does not wait for the disk, so that a power cut may leave the store ahead of it."""


def plan_restore(
    checkpoint: Checkpoint | None, changelog: ChangelogExtent, rules: RestoreRules
) -> RestorePlan:
    """Decide how a store catches up with the partition that it follows.

    A key-value store whose checkpoint is before the log start may have missed tombstones, and so may one
    whose checkpoint is older than the retention of tombstones: their tails cannot be used. Windowed stores
    drop windows without tombstones. The records that retention deleted from their changelogs meanwhile are at
    worst missing, so their own data, although older, is better than none. Stores of sessions and tables that
    are made of tables drop old windows like others, but also delete single ones by tombstones, so their tails
    are used like those of key-value stores.

    The log start of a key-value changelog stays at 0: compaction does not move it. A later log start shows
    that retention or DeleteRecords deleted records that may be the newest of their keys, so a rebuild would
    lose keys and is refused. One offset at the checkpoint may be missing: it held the marker of the
    checkpoint's transaction.
    """
    log_start, end = changelog.log_start, changelog.visible_end
    is_whole = rules.is_windowed or not rules.is_changelog or log_start == 0
    needs_tombstones = not rules.is_windowed or rules.deletes_by_tombstones
    rebuild_kind = Restoring.REBUILD if is_whole else Restoring.REFUSE

    def plan(kind: Restoring, start: Offset, reason: str) -> RestorePlan:
        return RestorePlan(kind, start, end, reason, changelog, rebuild_kind)

    if checkpoint is None:
        return plan(rebuild_kind, log_start, "the store has no checkpoint")
    if checkpoint.topic_id != changelog.topic_id:
        is_allowed = not rules.is_changelog or checkpoint.topic_id in rules.replaced_ids
        return plan(
            Restoring.REBUILD if is_allowed else Restoring.REFUSE,
            log_start,
            "the topic was deleted and created anew",
        )
    if checkpoint.offset > changelog.log_end:
        is_allowed = not rules.is_changelog or rules.may_lose_end
        return plan(
            rebuild_kind if is_allowed else Restoring.REFUSE,
            log_start,
            "the checkpoint is ahead of the log end"
            if rules.is_changelog
            else "the store is ahead of the committed position",
        )
    if checkpoint.offset >= end:
        return plan(Restoring.NOTHING, end, "the store is up to date")
    if checkpoint.offset < log_start:
        if not needs_tombstones:
            return plan(Restoring.TAIL, log_start, "retention moved the log start past the checkpoint")
        if not (rules.is_changelog and checkpoint.offset + 1 == log_start):
            return plan(rebuild_kind, log_start, "the log start moved past the checkpoint")
    start = max(checkpoint.offset, log_start)
    stamped_ms = checkpoint.stamped_ms
    if needs_tombstones and stamped_ms is not None and rules.now_ms - stamped_ms > rules.delete_retention_ms:
        return plan(Restoring.TAIL_IF_EMPTY, start, "the checkpoint is older than tombstones live")
    return plan(Restoring.TAIL, start, "the store is behind")
