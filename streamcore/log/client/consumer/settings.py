"""The settings by which a consumer reads and takes part in its group."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TypeAlias

from msgspec import Struct

from streamcore.log.client.consumer.fetch_state import Start
from streamcore.model import Isolation, TopicName, TopicPartition

PartitionLike: TypeAlias = TopicPartition | tuple[TopicName, int]
RebalanceCallback: TypeAlias = Callable[[Sequence[TopicPartition]], None]
Duration: TypeAlias = str | timedelta | int


class ConsumerSettings(Struct, frozen=True, kw_only=True):
    """How a consumer reads."""

    start: Start = "earliest"
    """Where to start without a committed offset: ``earliest``, ``latest``, an offset or a time. An offset
        outside the partition means the nearest offset inside it.
    """
    isolation: Isolation = Isolation.READ_COMMITTED
    fetch_bytes_max: int = 1024 * 1024
    """The bytes fetched of a partition at once. They bound the memory for records not returned yet."""
    records_max: int = 100_000
    """The most records that one ``poll`` returns."""
    on_assigned: RebalanceCallback | None = None
    """Called in ``poll`` with the partitions that were assigned; seek there."""
    on_revoked: RebalanceCallback | None = None
    """Called in ``poll`` with the partitions that are revoked, while they can still be committed."""
    on_lost: RebalanceCallback | None = None
    """Called instead of ``on_revoked`` when another member owns them already; by default ``on_revoked`` is
    called.
    """


class GroupSettings(Struct, frozen=True, kw_only=True):
    """How a consumer takes part in its group."""

    assignors: Sequence[str] = ("range",)
    """``range``, ``sticky`` or ``cooperative-sticky``; the first that all members have is used."""
    instance_id: str | None = None
    """A static member's name: the member keeps its partitions over a restart within the session timeout."""
    session_timeout: Duration = "45s"
    heartbeat_interval: Duration = "200ms"
    max_poll_interval: Duration = "5m"
    client_id: str = "streamcore"
