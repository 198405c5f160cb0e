"""The broker's settings as values, with limits on everything that a client can make the broker keep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

_INTERNAL_TOPIC = MappingProxyType(
    {
        "cleanup.policy": "compact",
        # Small segments: the active one is never compacted, and all of it is replayed at start.
        "segment.bytes": str(2 * 1024 * 1024),
        # No client reads these topics, so no tombstone or marker has to wait for a slow reader.
        "delete.retention.ms": "0",
        "retention.ms": "-1",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerSettings:
    """The limits of the broker, and how long it keeps unused state."""

    auto_create_topics: bool = True
    """Whether a topic that a client requests by name is created."""
    default_partition_count: int = 1
    """The number of partitions of a new topic for which no number is given."""
    fetch_bytes_max: int = 55 * 1024 * 1024
    """The maximum size of the records in one answer to a fetch, except for a first batch that is larger."""

    offsets_partition_count: int = 1
    """The number of partitions of ``__consumer_offsets``, when it is created."""
    transactions_partition_count: int = 1
    """The number of partitions of ``__transaction_state``, when it is created."""
    internal_topic_config: Mapping[str, str] = field(default_factory=lambda: _INTERNAL_TOPIC)

    transaction_timeout_ms: int = 60_000
    """The transaction timeout of producers that do not give one."""
    transaction_timeout_ms_max: int = 900_000
    transactional_id_expiration_ms: int = 7 * 24 * 3_600_000
    transactional_id_count_max: int = 100_000
    """The maximum number of transactional ids. At the limit the id that was idle for the longest time is
    removed, and its producer has to begin again; if no id is idle, the new one is refused.
    """
    producer_id_block_count: int = 1_000
    """The number of producer ids reserved by one durable record; a restart skips the rest of a block."""

    session_timeout_ms_min: int = 10
    session_timeout_ms_max: int = 1_800_000
    initial_rebalance_delay_ms: int = 0
    new_member_timeout_ms: int = 300_000
    """The maximum time that the first members of a group wait for others."""
    group_size_max: int = 1_000
    group_count_max: int = 100_000
    """The maximum number of groups with members, and of groups with committed offsets."""
    group_id_bytes_max: int = 8_192
    """The maximum length of each name of a group, member and static instance."""
    group_member_bytes_max: int = 1_048_576
    """The maximum size of the subscriptions of one member, over all of its protocols."""
    group_bytes_max: int = 4 * 1_048_576
    """The maximum size of the metadata of the members of one group. A generation also has to fit into one
    segment.
    """
    consumer_session_timeout_ms: int = 45_000
    """The session timeout of members of the newer group protocol (KIP-848)."""
    consumer_heartbeat_interval_ms: int = 5_000
    """The heartbeat interval of members of the newer group protocol."""
    unused_group_ms: int = 600_000
    """How long a group is kept that has neither members nor committed offsets."""

    offsets_retention_ms: int | None = None
    """How long unused committed offsets are kept; ``None`` keeps them until they are deleted. With Kafka's
    seven days an application that rests for longer, or one quiet partition of it, would begin from the start
    on tables that already contain the past.
    """
    position_metadata_length_max: int = 4_096
    """The maximum number of characters of the note of a committed offset."""
    unstable_wait_ms: int = 10_000
    """How long ``committed`` waits for an open transaction that commits the requested offsets."""

    retention_check_interval_ms: int = 300_000
    """How often retention looks for old segments, and for producers to remove."""
    compaction_check_interval_ms: int = 15_000
    """How often compaction looks for partitions that are due."""
    recovery_points_interval_ms: int = 60_000
    """How often the recovery points are written."""
    offsets_retention_check_interval_ms: int = 600_000
    transaction_abort_interval_ms: int = 10_000
    """How often transactions after their timeout are looked for."""
    transactional_id_check_interval_ms: int = 3_600_000

    user_count_max: int = 10_000
    access_rule_count_max: int = 20_000
