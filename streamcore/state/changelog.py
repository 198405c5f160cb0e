"""The changelog of a store: the compacted topic whose replay gives the store back.

::

    topic   <app>-<store>-changelog, one partition per task, compacted
    record  key := store key bytes   value := store value bytes, null for a deleted key

Key and value are the engine's own bytes, so a restore copies without decoding. Key-value stores write a
tombstone for what they delete. Windowed stores drop windows without saying so; their changelogs have
retention as well, and a restore that brings an old window back is mended by the first drop after it
(``windowed``).

Time in a changelog is the log's own (``LogAppendTime``). Event time may lie years back, and retention by
it would take the changelog of a replayed history away at once; or ahead, and the log would refuse it.

An engine keeps, for each store::

    position  changelog/<store>        the checkpoint: the next offset that the store does not have
    position  changelog-time/<store>   when it was stamped, ms since 1970
    note      changelog/<store>        the topic's id: the checkpoint of another incarnation means nothing
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from uuid import UUID

from streamcore.model import Offset, RecordColumns, TimestampMs, TopicName
from streamcore.state.engine import KeyValueEngine, StoreWrites
from streamcore.state.restoring import Checkpoint

REBUILDING: Final = -1
"""The checkpoint of a store that is being emptied: until it has another, it must be rebuilt."""

SEGMENT_BYTES: Final = 64 << 20
"""Only closed segments are compacted. Smaller ones than the log's default keep restores short."""

RETENTION_SLACK_MS: Final = 7 * 86_400_000
"""How much longer than its windows a windowed changelog lives: the app may be stopped for a while."""

DELETE_RETENTION_MS: Final = 86_400_000
"""How long tombstones stay. A store that was away for longer cannot trust the tail (``restoring``)."""


def changelog_topic(app: str, store: str) -> TopicName:
    """The name of a store's changelog."""
    return f"{app}-{store}-changelog"


def changelog_config(*, window_retention_ms: int | None = None) -> dict[str, str]:
    """The settings of a changelog: of a windowed store's if it says how long its windows are kept."""
    config = {
        "cleanup.policy": "compact",
        "message.timestamp.type": "LogAppendTime",
        "segment.bytes": str(SEGMENT_BYTES),
        "delete.retention.ms": str(DELETE_RETENTION_MS),
    }
    if window_retention_ms is not None:
        config["cleanup.policy"] = "compact,delete"
        config["retention.ms"] = str(window_retention_ms + RETENTION_SLACK_MS)
    return config


def columns(writes: StoreWrites, now_ms: TimestampMs) -> RecordColumns:
    """Return the changelog's records of writes, one a key."""
    return RecordColumns([*writes.keys], writes.values, [now_ms] * len(writes.keys))


def checkpoints(ends: Mapping[str, Offset], now_ms: TimestampMs) -> dict[str, int]:
    """The positions to stamp when stores have reached these ends of their changelogs."""
    positions: dict[str, int] = {}
    for store, end in ends.items():
        positions[_checkpoint_name(store)] = end
        positions[_time_name(store)] = now_ms
    return positions


def topic_notes(topic_ids: Mapping[str, UUID]) -> dict[str, bytes]:
    """The notes that tie stores to the incarnation of their changelogs."""
    return {_checkpoint_name(store): topic_id.bytes for store, topic_id in topic_ids.items()}


def checkpoint(engine: KeyValueEngine, store: str) -> Checkpoint | None:
    """How far a store's data reaches; ``None`` if it was never stamped or is being rebuilt."""
    offset = engine.position(_checkpoint_name(store))
    topic_id = engine.note(_checkpoint_name(store))
    if offset is None or offset == REBUILDING or topic_id is None or len(topic_id) != 16:
        return None
    return Checkpoint(offset, UUID(bytes=topic_id), engine.position(_time_name(store)))


def _checkpoint_name(store: str) -> str:
    return f"changelog/{store}"


def _time_name(store: str) -> str:
    return f"changelog-time/{store}"
