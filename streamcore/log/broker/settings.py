"""The broker's settings, as values; limits on whatever a client can make us keep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

_INTERNAL_TOPIC = MappingProxyType(
    {
        "cleanup.policy": "compact",
        # Small segments: the active one is never compacted, and all of it is replayed at start.
        "segment.bytes": str(2 * 1024 * 1024),
        # Nobody follows these topics from outside, so no tombstone or marker has to wait for a slow reader.
        "delete.retention.ms": "0",
        "retention.ms": "-1",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerSettings:
    """What the broker allows, and how long it keeps what nobody uses."""

    auto_create_topics: bool = True
    """Whether a topic that a client asks for by name comes into being."""
    default_partition_count: int = 1
    """Partitions of topics for which nobody says how many."""
    fetch_bytes_max: int = 55 * 1024 * 1024
    """Records in one answer to a fetch, but for a first batch that is larger."""

    offsets_partition_count: int = 1
    """Partitions of ``__consumer_offsets``, when it is created."""
    transactions_partition_count: int = 1
    """Partitions of ``__transaction_state``, when it is created."""
    internal_topic_config: Mapping[str, str] = field(default_factory=lambda: _INTERNAL_TOPIC)

    transaction_timeout_ms: int = 60_000
    """For producers that do not say how long their transactions may stay open."""
    transaction_timeout_ms_max: int = 900_000
    transactional_id_expiration_ms: int = 7 * 24 * 3_600_000
    transactional_id_count_max: int = 100_000
    """Transactional ids that are remembered. For one more the id that is idle for longest is forgotten, and
    its producer has to begin anew; if none is idle, the new one is refused."""
    producer_id_block_count: int = 1_000
    """Producer ids reserved by one durable record; a restart skips what is left of a block."""

    session_timeout_ms_min: int = 10
    session_timeout_ms_max: int = 1_800_000
    initial_rebalance_delay_ms: int = 0
    new_member_timeout_ms: int = 300_000
    """How long somebody who joins a group for the first time may wait for the others."""
    group_size_max: int = 1_000
    group_count_max: int = 100_000
    """Groups with members, and as many with positions."""
    group_id_bytes_max: int = 8_192
    """Of the names of groups, members and static instances, each."""
    group_member_bytes_max: int = 1_048_576
    """Subscription bytes of one member, over all of its protocols."""
    group_bytes_max: int = 4 * 1_048_576
    """What the members of one group say of themselves. A generation also has to fit into one segment."""
    consumer_session_timeout_ms: int = 45_000
    """Members of the newer group protocol that are not heard of for so long are taken out."""
    consumer_heartbeat_interval_ms: int = 5_000
    """How often members of the newer group protocol are to be heard of."""
    unused_group_ms: int = 600_000
    """How long a group is kept that has neither members nor positions."""

    offsets_retention_ms: int | None = None
    """How long positions that nobody uses are kept; ``None`` keeps them until they are deleted. Kafka's
    seven days would make an application that rests for longer, or one quiet partition of it, begin anew
    on tables that know the past already."""
    position_metadata_length_max: int = 4_096
    """Characters of the note of a committed position."""
    unstable_wait_ms: int = 10_000
    """How long ``committed`` waits for an open transaction over the positions asked for."""

    retention_check_interval_ms: int = 300_000
    """How often retention looks for old segments, and for producers that are silent."""
    compaction_check_interval_ms: int = 15_000
    """How often compaction looks whether there is something to do."""
    recovery_points_interval_ms: int = 60_000
    """How often it is written down up to where partitions are synced."""
    offsets_retention_check_interval_ms: int = 600_000
    transaction_abort_interval_ms: int = 10_000
    """How often transactions whose time is over are looked for."""
    transactional_id_check_interval_ms: int = 3_600_000

    user_count_max: int = 10_000
    access_rule_count_max: int = 20_000
