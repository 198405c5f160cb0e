"""Brings a store to the end of its changelog: the shell around ``restoring``.

The changelog is streamed through a reader of its own into ``engine.apply``, in chunks in which equal
keys have collapsed. Each chunk is stamped with the offset it reaches, so a restore that is killed goes
on from there. The same code fills a table that follows a topic, with a transform from the topic's
bytes to the store's.

A rebuild empties the store first. The checkpoint is set to ``REBUILDING`` before and stays so until
the first chunk: a crash in between leads to another rebuild, never to a replay over stale data.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Final, Protocol, TypeAlias

from streamcore.clock import Clock
from streamcore.errors import OffsetOutOfRangeError, UnknownTopicError, fact_text
from streamcore.log.client.port import Reader, TopicDescription
from streamcore.model import FetchedColumns, Isolation, LogOffsets, Offset, TopicName, TopicPartition
from streamcore.state import changelog
from streamcore.state.engine import KeyValueEngine, StoreWrites
from streamcore.state.restoring import ChangelogExtent, RestorePlan, Restoring, plan_restore

Progress: TypeAlias = Callable[[int, int], None]
"""Called with the offsets done and the offsets in all."""

Transform: TypeAlias = Callable[[list[bytes], list[bytes | None]], tuple[list[bytes], list[bytes | None]]]
"""Makes store keys and values of a topic's; a key may come more than once, the last one counts."""


class ReadableLog(Protocol):
    """The part of the log's port that a restore needs."""

    def topics(self) -> Mapping[TopicName, TopicDescription]:
        """All topics, internal ones included."""

    def offsets(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, LogOffsets]:
        """The marks of partitions."""

    def reader(self, *, isolation: Isolation = ...) -> Reader:
        """A reader with nothing assigned yet."""


CHUNK_RECORDS: Final = 131_072
CHUNK_FETCHES: Final = 16
FETCH_BYTES: Final = 1 << 20
_ATTEMPTS_MAX: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreTarget:
    """A store and the partition that it follows.

    ``until`` is for a table that follows a topic which the task also reads: it must not get ahead of
    the task's committed position. ``None`` goes to the visible end, as for a changelog.
    """

    store: str
    source: TopicPartition
    is_windowed: bool = False
    until: Offset | None = None
    transform: Transform | None = None
    delete_retention_ms: int = changelog.DELETE_RETENTION_MS


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore did: the plan it ended with, and how many records it replayed."""

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
    """Make a store equal to the replay of what it follows, and stamp it.

    Raises:
        UnknownTopicError: the topic does not exist.
        OffsetOutOfRangeError: the log start kept moving past what was being read.
    """
    attempts = 0
    while True:
        attempts += 1
        plan = _plan(engine, target, log, clock)
        try:
            with closing(log.reader(isolation=Isolation.READ_COMMITTED)) as reader:
                return _Restore(engine, target, reader, clock, progress).run(plan)
        except OffsetOutOfRangeError:
            # Retention or DeleteRecords moved the log start meanwhile: plan again from where it is.
            if attempts == _ATTEMPTS_MAX:
                raise


def _plan(engine: KeyValueEngine, target: RestoreTarget, log: ReadableLog, clock: Clock) -> RestorePlan:
    description = log.topics().get(target.source.topic)
    if description is None:
        raise UnknownTopicError(f"there is no topic to restore from {fact_text(topic=target.source.topic)}")
    offsets = log.offsets([target.source])[target.source]
    visible_end, log_end = offsets.last_stable, offsets.log_end
    if target.until is not None:
        visible_end = max(offsets.log_start, min(visible_end, target.until))
        log_end = max(visible_end, min(log_end, target.until))
    return plan_restore(
        changelog.checkpoint(engine, target.store),
        ChangelogExtent(description.topic_id, offsets.log_start, visible_end, log_end),
        is_windowed=target.is_windowed,
        now_ms=clock.now_ms(),
        delete_retention_ms=target.delete_retention_ms,
    )


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
        """Do what the plan says."""
        store = self._target.store
        if plan.kind is Restoring.TAIL_IF_EMPTY:
            plan = plan.as_rebuild() if self._has_record(plan) else replace(plan, kind=Restoring.TAIL)
        if plan.kind is Restoring.NOTHING:
            return Restored(plan, 0)
        if plan.kind is Restoring.REBUILD:
            self._engine.apply(
                [],
                changelog.checkpoints({store: changelog.REBUILDING}, self._clock.now_ms()),
                changelog.topic_notes({store: plan.changelog.topic_id}),
            )
            self._engine.drop_store(store)
        return Restored(plan, self._replay(plan))

    def _has_record(self, plan: RestorePlan) -> bool:
        return any(len(run) for run in self._runs(plan))

    def _replay(self, plan: RestorePlan) -> int:
        """Apply the records of the plan in chunks; return how many there were.

        Progress is told once there is a record: behind most checkpoints stands nothing but the marker
        of the transaction that wrote them.
        """
        total = plan.end - plan.start
        newest: dict[bytes, bytes | None] = {}
        position, record_count, fetch_count = plan.start, 0, 0
        for run in self._runs(plan):
            if self._progress is not None and len(run) and not record_count:
                self._progress(0, total)
            newest.update(self._changes(run))
            position = run.next_offset
            record_count += len(run)
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

    def _runs(self, plan: RestorePlan) -> Iterator[FetchedColumns]:
        """The runs of ``[start, end)``, the last one cut at the end."""
        source = self._target.source
        self._reader.assign({source: plan.start})
        position = plan.start
        while position < plan.end:
            run = self._reader.fetch(source, bytes_max=FETCH_BYTES)
            if run is None:
                return
            position = run.next_offset
            yield run if position <= plan.end else _cut(run, plan.end)

    def _changes(self, run: FetchedColumns) -> Iterator[tuple[bytes, bytes | None]]:
        """Store keys and values of a run, in its order. Records without a key change nothing."""
        keys = [key for key in run.keys if key is not None]
        values = run.values
        if len(keys) < len(run):
            values = [value for key, value in zip(run.keys, values, strict=True) if key is not None]
        if self._target.transform is not None:
            keys, values = self._target.transform(keys, values)
        return zip(keys, values, strict=True)

    def _apply(self, newest: dict[bytes, bytes | None], position: Offset) -> None:
        # Sorted, because RocksDB then puts each key next to the one before.
        keys = sorted(newest)
        self._engine.apply(
            [StoreWrites(self._target.store, keys, [newest[key] for key in keys])] if keys else [],
            changelog.checkpoints({self._target.store: position}, self._clock.now_ms()),
        )


def _cut(run: FetchedColumns, end: Offset) -> FetchedColumns:
    """The part of a run before ``end``."""
    count = bisect_left(run.offsets, end)
    kept = run.slice(0, count)
    return FetchedColumns(
        kept.keys,
        kept.values,
        kept.timestamps_ms,
        kept.headers,
        partition=run.partition,
        offsets=run.offsets[:count],
        next_offset=end,
    )
