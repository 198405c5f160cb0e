"""Bring a store to the end of its changelog, by the plan of ``restoring``.

A reader streams the changelog into ``engine.apply``, in chunks in which equal keys are collapsed. Each chunk
is stamped with the offset that it reaches, so a killed restore continues from there. The same code fills a
table that follows a topic, with a conversion from the topic's bytes to the store's.

A rebuild empties the store first. The checkpoint is set to ``REBUILDING`` before that, and stays so until the
first chunk: a crash in between leads to another rebuild, never to a replay over old data. A rebuild is logged
with its reason, unless both the store and the topic are empty.
"""

from __future__ import annotations

import logging
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from typing import Final, Protocol, TypeAlias
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from streamcore.clock import Clock
from streamcore.errors import OffsetOutOfRangeError, UnknownTopicError, UsageError, fact_text, with_facts
from streamcore.log.client.port import Reader, TopicDescription
from streamcore.model import FetchedColumns, Isolation, LogOffsets, Offset, TopicName, TopicPartition
from streamcore.state import changelog
from streamcore.state.engine import KeyValueEngine, StoreWrites
from streamcore.state.restoring import ChangelogExtent, RestorePlan, RestoreRules, Restoring, plan_restore

_logger = logging.getLogger(__name__)

Progress: TypeAlias = Callable[[int, int], None]
"""Called with the number of restored offsets and their total."""

Transform: TypeAlias = Callable[[list[bytes], list[bytes | None]], tuple[list[bytes], list[bytes | None]]]
"""Converts a topic's records to store keys and values; a key may occur several times, the last one counts."""


class ReadableLog(Protocol):
    """The part of the log's port that a restore needs."""

    def topics(self) -> Mapping[TopicName, TopicDescription]:
        """Return all topics, including internal ones."""

    def offsets(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, LogOffsets]:
        """Return the offsets of partitions."""

    def reader(self, *, isolation: Isolation = ...) -> Reader:
        """Return a reader with nothing assigned."""


CHUNK_RECORDS: Final = 131_072
CHUNK_FETCHES: Final = 16
FETCH_BYTES: Final = 1 << 20
_ATTEMPTS_MAX: Final = 5


class RestoreTarget(Struct, frozen=True, kw_only=True):
    """A store and the partition that it follows.

    ``until`` is for a table that follows a topic which the task also reads: the table must not be ahead of
    the task's committed offset. ``None`` restores up to the visible end, as for a changelog.
    ``is_windowed``, ``deletes_by_tombstones``, ``is_changelog``, ``replaced_ids`` and ``may_lose_end`` are
    those of ``RestoreRules``.
    """

    store: str
    partition: TopicPartition
    is_windowed: bool = False
    deletes_by_tombstones: bool = False
    until: Offset | None = None
    transform: Transform | None = None
    is_changelog: bool = False
    replaced_ids: frozenset[UUID] = frozenset()
    may_lose_end: bool = False


class Restored(Struct, frozen=True):
    """The result of a restore: its final plan, and the number of replayed records."""

    plan: RestorePlan
    record_count: int


def restore_store(
    engine: KeyValueEngine,
    target: RestoreTarget,
    log: ReadableLog,
    clock: Clock,
    *,
    progress: Progress | None = None,
) -> Restored:
    """Make a store equal to the replay of the partition that it follows, and stamp it.

    Raises:
        UnknownTopicError: the topic does not exist.
        OffsetOutOfRangeError: the log start kept moving past the read offset.
        UsageError: the log does not hold the table any more, or is not the one that the store was made from.
    """
    attempts = 0
    while True:
        attempts += 1
        plan = _plan(engine, target, log, clock)
        try:
            with closing(log.reader(isolation=Isolation.READ_COMMITTED)) as reader:
                return _Restore(engine, target, reader, clock, progress).run(plan)
        except OffsetOutOfRangeError:
            # Retention or DeleteRecords moved the log start meanwhile: plan again.
            if attempts == _ATTEMPTS_MAX:
                raise


def _plan(engine: KeyValueEngine, target: RestoreTarget, log: ReadableLog, clock: Clock) -> RestorePlan:
    description = log.topics().get(target.partition.topic)
    if description is None:
        raise UnknownTopicError(with_facts("there is no topic to restore from", topic=target.partition.topic))
    offsets = log.offsets([target.partition])[target.partition]
    visible_end, log_end = offsets.last_stable, offsets.log_end
    if target.until is not None:
        visible_end = max(offsets.log_start, min(visible_end, target.until))
        log_end = max(visible_end, min(log_end, target.until))
    return plan_restore(
        changelog.checkpoint(engine, target.store),
        ChangelogExtent(description.topic_id, offsets.log_start, visible_end, log_end),
        RestoreRules(
            is_windowed=target.is_windowed,
            deletes_by_tombstones=target.deletes_by_tombstones,
            now_ms=clock.now_ms(),
            delete_retention_ms=_delete_retention_ms(description),
            is_changelog=target.is_changelog,
            replaced_ids=target.replaced_ids,
            may_lose_end=target.may_lose_end,
        ),
    )


def _delete_retention_ms(topic: TopicDescription) -> int:
    """Return how long a topic keeps tombstones. A setting that cannot be read is Kafka's default."""
    given = topic.config.get("delete.retention.ms", "")
    return int(given) if given.isdigit() else changelog.DELETE_RETENTION_MS


class _Restore:
    """One attempt at a plan."""

    def __init__(
        self,
        engine: KeyValueEngine,
        target: RestoreTarget,
        reader: Reader,
        clock: Clock,
        progress: Progress | None,
    ) -> None:
        self._engine = engine
        self._target = target
        self._reader = reader
        self._clock = clock
        self._progress = progress

    def run(self, plan: RestorePlan) -> Restored:
        """Carry out the plan."""
        store = self._target.store
        if plan.kind is Restoring.TAIL_IF_EMPTY:
            plan = plan.as_rebuild() if self._has_record(plan) else replace(plan, kind=Restoring.TAIL)
        if plan.kind is Restoring.NOTHING:
            return Restored(plan, 0)
        if plan.kind is Restoring.REFUSE:
            raise self._refusal(plan)
        had_data = plan.kind is Restoring.REBUILD and next(self._engine.scan(store), None) is not None
        if plan.kind is Restoring.REBUILD:
            self._engine.apply(
                [],
                changelog.checkpoints({store: changelog.REBUILDING}, self._clock.now_ms()),
                changelog.topic_notes({store: plan.changelog.topic_id}),
            )
            self._engine.drop_store(store)
        if had_data or (plan.kind is Restoring.REBUILD and plan.start < plan.end):
            facts = fact_text(
                store=store, partition=self._target.partition, log_start=plan.start, log_end=plan.end
            )
            _logger.warning("a store is emptied and rebuilt from its topic: %s: %s", plan.reason, facts)
        return Restored(plan, self._replay(plan))

    def _refusal(self, plan: RestorePlan) -> UsageError:
        """Return the error that the log does not hold the table, with what to do."""
        checkpoint = changelog.checkpoint(self._engine, self._target.store)
        facts = fact_text(
            table=self._target.store,
            partition=self._target.partition,
            log_start=plan.changelog.log_start,
            log_end=plan.changelog.log_end,
            checkpoint="none" if checkpoint is None else checkpoint.offset,
        )
        if checkpoint is not None and checkpoint.topic_id != plan.changelog.topic_id:
            return UsageError(
                "the state of a table was made from another log, or its changelog was deleted, so the log "
                "does not hold the table; bring back the log that belongs to the state, or start over with "
                f"`streamcore app MODULE:APP reset`: {facts}"
            )
        if checkpoint is not None and checkpoint.offset > plan.changelog.log_end:
            return UsageError(
                "the state of a table is ahead of its changelog, so the log lost its end or is an old copy; "
                "bring back the log that belongs to the state, delete state/ to take what this log holds, or "
                f"start over with `streamcore app MODULE:APP reset`: {facts}"
            )
        return UsageError(
            "the changelog of a table lost its first records to retention or DeleteRecords, so the table "
            f"cannot be rebuilt from it ({plan.reason}); bring back state/ or the log from a backup, or "
            f"start it over with `streamcore app MODULE:APP reset --table {self._target.store}`: {facts}"
        )

    def _has_record(self, plan: RestorePlan) -> bool:
        return any(len(columns) for columns in self._columns(plan))

    def _replay(self, plan: RestorePlan) -> int:
        """Apply the records of the plan in chunks; return their number.

        Progress is reported once there is a record: most checkpoints are followed only by the marker of the
        transaction that wrote them.
        """
        total = plan.end - plan.start
        newest: dict[bytes, bytes | None] = {}
        position, record_count, fetch_count = plan.start, 0, 0
        for columns in self._columns(plan):
            if self._progress is not None and len(columns) and not record_count:
                self._progress(0, total)
            newest.update(self._changes(columns))
            position = columns.next_offset
            record_count += len(columns)
            fetch_count += 1
            if len(newest) >= CHUNK_RECORDS or fetch_count == CHUNK_FETCHES:
                self._apply(newest, position)
                newest, fetch_count = {}, 0
                if self._progress is not None and record_count:
                    self._progress(position - plan.start, total)
        self._apply(newest, plan.end)
        if self._progress is not None and record_count and (fetch_count or position < plan.end):
            self._progress(total, total)
        return record_count

    def _columns(self, plan: RestorePlan) -> Iterator[FetchedColumns]:
        """Read the columns of ``[start, end)``; the last ones are cut at the end."""
        partition = self._target.partition
        self._reader.assign({partition: plan.start})
        position = plan.start
        while position < plan.end:
            columns = self._reader.fetch(partition, bytes_max=FETCH_BYTES)
            if columns is None:
                return
            position = columns.next_offset
            yield columns if position <= plan.end else _cut(columns, plan.end)

    def _changes(self, columns: FetchedColumns) -> Iterator[tuple[bytes, bytes | None]]:
        """Return the store keys and values of columns, in order. Records without a key change nothing."""
        keys = [key for key in columns.keys if key is not None]
        values = columns.values
        if len(keys) < len(columns):
            values = [value for key, value in zip(columns.keys, values, strict=True) if key is not None]
        if self._target.transform is not None:
            keys, values = self._target.transform(keys, values)
        return zip(keys, values, strict=True)

    def _apply(self, newest: dict[bytes, bytes | None], position: Offset) -> None:
        # Sorted, because RocksDB then inserts each key next to the previous one.
        keys = sorted(newest)
        self._engine.apply(
            [StoreWrites(self._target.store, keys, [newest[key] for key in keys])] if keys else [],
            changelog.checkpoints({self._target.store: position}, self._clock.now_ms()),
        )


def _cut(columns: FetchedColumns, end: Offset) -> FetchedColumns:
    """Return the part of columns before ``end``."""
    count = bisect_left(columns.offsets, end)
    kept = columns.slice(0, count)
    return FetchedColumns(
        kept.keys,
        kept.values,
        kept.timestamps_ms,
        kept.headers,
        partition=columns.partition,
        offsets=columns.offsets[:count],
        next_offset=end,
    )
