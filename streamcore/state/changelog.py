"""The changelog of a store: the compacted topic whose replay gives the store.

::

    topic   <app>-<store>-changelog, one partition per task, compacted
    record  key := store key bytes   value := store value bytes, null for a deleted key

Key and value are the engine's own bytes, so a restore copies without decoding. Key-value stores write a
tombstone for each deleted key. Windowed stores drop windows without writing anything; their changelogs also
have retention, and old windows that a restore brings back are dropped by the first drop after it
(``windowed``).

The time of changelog records is the log's (``LogAppendTime``). Event time can be years old, and retention by
it would delete the changelog of a replayed history at once; it can also be in the future, and the log would
refuse it.

An engine keeps, for each store::

    position  changelog/<store>        the checkpoint: the next offset that the store does not have
    position  changelog-time/<store>   the time of the checkpoint, ms since 1970
    note      changelog/<store>        the topic's id: a checkpoint of another topic id is void
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

MESSAGE_BYTES: Final = 8 << 20
"""The largest record of a changelog: one stored value with its key. Hosted brokers permit no more."""

RETENTION_SLACK_MS: Final = 7 * 86_400_000
"""How much longer than its windows a windowed changelog keeps records: the application may be stopped
meanwhile.
"""

DELETE_RETENTION_MS: Final = 86_400_000
"""How long tombstones are kept. A store that is older cannot use the tail (``restoring``)."""


def changelog_topic(app: str, store: str) -> TopicName:
    """Return the name of a store's changelog."""
    return f"{app}-{store}-changelog"


def changelog_config(*, window_retention_ms: int | None = None) -> dict[str, str]:
    """Return the settings of a changelog; only a windowed store has a ``window_retention_ms``."""
    config = {
        "cleanup.policy": "compact",
        "message.timestamp.type": "LogAppendTime",
        "segment.bytes": str(SEGMENT_BYTES),
        "delete.retention.ms": str(DELETE_RETENTION_MS),
        "max.message.bytes": str(MESSAGE_BYTES),
    }
    if window_retention_ms is not None:
        config["cleanup.policy"] = "compact,delete"
        config["retention.ms"] = str(window_retention_ms + RETENTION_SLACK_MS)
    return config


def columns(writes: StoreWrites, now_ms: TimestampMs) -> RecordColumns:
    """Return the changelog records of writes, one per key."""
    return RecordColumns([*writes.keys], writes.values, [now_ms] * len(writes.keys))


def checkpoints(ends: Mapping[str, Offset], now_ms: TimestampMs) -> dict[str, int]:
    """Return the positions to stamp when stores have reached these ends of their changelogs."""
    positions: dict[str, int] = {}
    for store, end in ends.items():
        positions[_checkpoint_name(store)] = end
        positions[_time_name(store)] = now_ms
    return positions


def topic_notes(topic_ids: Mapping[str, UUID]) -> dict[str, bytes]:
    """Return the notes that tie stores to the ids of their changelog topics."""
    return {_checkpoint_name(store): topic_id.bytes for store, topic_id in topic_ids.items()}


def checkpoint(engine: KeyValueEngine, store: str) -> Checkpoint | None:
    """Return the changelog offset that a store's data reaches; ``None`` if it has none, or is being
    rebuilt.
    """
    offset = engine.position(_checkpoint_name(store))
    topic_id = engine.note(_checkpoint_name(store))
    if offset is None or offset == REBUILDING or topic_id is None or len(topic_id) != 16:
        return None
    return Checkpoint(offset, UUID(bytes=topic_id), engine.position(_time_name(store)))


def _checkpoint_name(store: str) -> str:
    return f"changelog/{store}"


def _time_name(store: str) -> str:
    return f"changelog-time/{store}"
