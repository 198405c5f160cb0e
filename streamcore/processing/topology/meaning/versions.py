"""The meaning of tables with a history, and of joins as of a time.

The versions of a key are taken out of the stores as one list, and are put back: the base, then buckets.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from streamcore.processing.topology.meaning.joins import MeaningOfJoins
from streamcore.processing.topology.meaning.outputs import Event, Results, Stored
from streamcore.processing.topology.meaning.tables import keep
from streamcore.processing.topology.meaning.time import TaskMeaning, held_ms, key_bytes
from streamcore.processing.topology.nodes import AsOfJoin, TableHistory, TableSource
from streamcore.processing.topology.times import NO_TIME, NO_TIMESTAMP
from streamcore.processing.topology.versions import HistorySpan, KeyHistory, Version, time_of


def horizon_ms(task: TaskMeaning, node: TableSource, history: TableHistory, watermark_ms: int) -> int:
    """Return the horizon of a table. The joins that read it may get records which other steps held back."""
    return history.span.horizon_ms(watermark_ms, task.sub_topology.held_ms_of_joins(node))


def keep_version(task: TaskMeaning, node: TableSource, key: bytes, version: Version) -> bool:
    """Add a version to the history of its key; return whether it counts."""
    history = node.history
    assert history is not None
    bound_ms = horizon_ms(task, node, history, task.watermark_before_ms)
    known = known_versions(task, history, key)
    before = [found for found in known if found.time_ms < bound_ms]
    if version.time_ms < bound_ms:
        if before and before[-1].data is not None and before[-1].time_ms > version.time_ms:
            return False
        known = [version, *known[len(before) :]]
    else:
        known = sorted(
            [version, *(found for found in known if found.time_ms != version.time_ms)], key=time_of
        )
    put_versions(task, history, key, known, bound_ms if version.time_ms < bound_ms else 0)
    return True


def forget_versions(task: TaskMeaning, node: TableSource) -> None:
    """Forget the versions that the watermark has left behind."""
    history = node.history
    assert history is not None
    bound_ms = horizon_ms(task, node, history, task.watermark_ms)
    for key in list(task.stores[history.keys.name]):
        put_versions(task, history, key, known_versions(task, history, key), bound_ms)


def value_as_of(task: TaskMeaning, node: AsOfJoin, key: bytes | None, event: Event) -> bytes | None:
    """Return the encoded value that a key had at the time of an event; ``None`` for none."""
    time_ms = max(event.source_time_ms, task.watermark_before_ms - held_ms(task, node))
    if key is None or node.history.span.is_too_old(event.timestamp_ms, time_ms):
        return None
    held = [
        version
        for version in known_versions(task, node.history, key)
        if version.time_ms <= event.timestamp_ms
    ]
    return held[-1].data if held else None


def known_versions(task: TaskMeaning, history: TableHistory, key: bytes) -> list[Version]:
    """Return the versions of a key, by time."""
    found: KeyHistory | None = task.stores[history.keys.name].get(key)
    if found is None:
        return []
    buckets = task.stores[history.versions.name]
    base = [] if found.base is None else [found.base]
    return base + [version for start_ms in found.starts_ms for version in buckets[key, start_ms]]


def put_versions(
    task: TaskMeaning, history: TableHistory, key: bytes, versions: list[Version], bound_ms: int
) -> None:
    """Write the versions of a key, by time, to the stores; of those before a horizon the newest is the base.

    A base stays the base, whatever its time.
    """
    keys, buckets = task.stores[history.keys.name], task.stores[history.versions.name]
    before = keys.pop(key, None)
    for start_ms in [] if before is None else before.starts_ms:
        del buckets[key, start_ms]
    is_base = [
        version.time_ms < bound_ms or (before is not None and version is before.base) for version in versions
    ]
    ended = [version for version, found in zip(versions, is_base, strict=True) if found]
    base = ended[-1] if ended and ended[-1].data is not None else None
    for version in versions[len(ended) :]:
        buckets.setdefault((key, _start_of(history.span, version)), []).append(version)
    starts_ms = sorted({_start_of(history.span, version) for version in versions[len(ended) :]})
    if base is not None or starts_ms:
        keys[key] = KeyHistory(base, starts_ms)


def _start_of(span: HistorySpan, version: Version) -> int:
    return span.start_of(version.time_ms)


class MeaningOfVersions(MeaningOfJoins):
    """The tables that follow topics, with or without a history, and the joins that read histories."""

    def _kept_in_table(
        self,
        task: TaskMeaning,
        node: TableSource,
        event: Event,
        stored: Stored,
        call: Callable[..., Results[Any]],
    ) -> list[Event]:
        if event.key is None:
            return []
        for key in call(key_bytes, node.store, event.key):
            keep(task.stores[node.store.name], key, event.value)
            if node.history is not None:
                self._kept_in_history(task, node, key, event, stored, call)
            return [event]
        return []

    def _kept_in_history(
        self,
        task: TaskMeaning,
        node: TableSource,
        key: bytes,
        event: Event,
        stored: Stored,
        call: Callable[..., Results[Any]],
    ) -> None:
        """Keep a row as a version. A deletion without a time holds from the time of its partition."""
        if event.value is None and event.timestamp_ms == NO_TIMESTAMP and task.event_time_ms != NO_TIME:
            event = replace(event, timestamp_ms=task.event_time_ms)
        if not self._has_time(task, node, event, stored):
            return
        for data in [None] if event.value is None else call(node.store.value_serde.encode, event.value):
            self.late_count += not keep_version(task, node, key, Version(event.timestamp_ms, data))

    def _joined_as_of(
        self,
        task: TaskMeaning,
        node: AsOfJoin,
        event: Event,
        stored: Stored,
        call: Callable[..., Results[Any]],
    ) -> list[Event]:
        if event.value is None or (event.key is None and not node.left):
            return []
        if not self._has_time(task, node, event, stored):
            return []
        joined = []
        for key in call(key_bytes, node.store, event.key):
            data = value_as_of(task, node, key, event)
            if data is not None:
                joined += call(lambda found: node.function(event.value, node.decode(found)), data)
            elif node.left:
                joined += call(node.function, event.value, None)
        return [replace(event, value=value) for value in joined]
