"""How a consumer reads, and how it takes part in its group: values only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeAlias

from streamcore.log.client.consumer.fetch_state import Start
from streamcore.model import Isolation, TopicName, TopicPartition

PartitionLike: TypeAlias = TopicPartition | tuple[TopicName, int]
RebalanceCallback: TypeAlias = Callable[[Sequence[TopicPartition]], None]
Duration: TypeAlias = str | timedelta | int


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumerSettings:
    """How a consumer reads."""

    start: Start = "earliest"
    """Where to begin where nothing is committed: ``earliest``, ``latest``, an offset or a time. An offset
    that a partition does not have, or has no more, means the nearest that it has."""
    isolation: Isolation = Isolation.READ_COMMITTED
    fetch_bytes_max: int = 1024 * 1024
    """How much is fetched of a partition at once; what is not handed out yet bounds memory by this."""
    records_max: int = 100_000
    """How many records one ``poll`` returns at most."""
    on_assigned: RebalanceCallback | None = None
    """Called in ``poll`` with the partitions that came; the place to seek."""
    on_revoked: RebalanceCallback | None = None
    """Called in ``poll`` with the partitions that go, while they can still be committed."""
    on_lost: RebalanceCallback | None = None
    """Called instead of ``on_revoked`` when they are already somebody else's; ``on_revoked`` by default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupSettings:
    """How a consumer takes part in its group."""

    assignors: Sequence[str] = ("range",)
    """``range``, ``sticky`` or ``cooperative-sticky``; the first that all members have is used."""
    instance_id: str | None = None
    """A static member's name: it keeps its partitions over a restart within the session time-out."""
    session_timeout: Duration = "45s"
    heartbeat_interval: Duration = "200ms"
    max_poll_interval: Duration = "5m"
    client_id: str = "streamcore"
