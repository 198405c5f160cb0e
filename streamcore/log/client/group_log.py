"""What programs need of a log's consumer groups, beside the port: to look at them and to be a member.

The two adapters join groups differently: the embedded log speaks the group protocol with its broker
(``embedded_member``), over a network librdkafka does (``kafka_member``). A consumer sees a ``Member``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from streamcore.clock import Clock
from streamcore.log.broker.requests import Membership
from streamcore.log.client import port
from streamcore.log.client.consumer.assignment import OwnedPartitions
from streamcore.log.client.consumer.settings import GroupSettings
from streamcore.model import CommittedPosition, TopicName, TopicPartition


@dataclass(frozen=True, slots=True)
class MemberSummary:
    """A member and what it was given."""

    member_id: str
    instance_id: str | None
    client_id: str
    host: str
    assignment: tuple[TopicPartition, ...]


@dataclass(frozen=True, slots=True)
class DescribedGroup:
    """A group as its coordinator knows it.

    ``state`` is one of Kafka's names, ``Dead`` for a group that is not there. ``generation``
    is -1 where the coordinator does not tell it.
    """

    group: str
    state: str
    protocol: str = ""
    generation: int = -1
    members: tuple[MemberSummary, ...] = ()
    kind: str = "classic"
    """Kafka's name for the group's protocol: ``classic`` or ``consumer``."""
    protocol_type: str = "consumer"
    """What the members agree on by the classic protocol: ``consumer`` for who reads, ``connect``, …"""


class Member(Protocol):
    """A consumer's membership in its group. Its methods are for the consumer's thread."""

    wait_s_max: float
    """How long the consumer may wait for records before it calls ``follow`` again."""

    @property
    def membership(self) -> Membership | None:
        """The credentials of the last generation joined."""

    def follow(self, owned: OwnedPartitions) -> None:
        """Do what the group asks; also says that the program is alive.

        Raises:
            StaleGenerationError: another member took this one's static instance id.
        """

    def commit(self, positions: Mapping[TopicPartition, CommittedPosition], owned: OwnedPartitions) -> None:
        """Commit positions as a member.

        Raises:
            StaleGenerationError: the partitions are another member's by now.
        """

    def stop(self) -> None:
        """End the membership. A static member keeps its place until its session is over."""


class GroupLog(port.Log, Protocol):
    """A log whose groups can be looked at, and joined."""

    def group_names(self) -> list[str]:
        """All groups that have members or committed positions, sorted."""

    def describe_group(self, group: str) -> DescribedGroup:
        """A group's state and members."""

    def delete_group(self, group: str) -> None:
        """Delete a group without members, with its positions. Raises ``UsageError``."""

    def delete_positions(self, group: str, partitions: Iterable[TopicPartition]) -> None:
        """Forget committed positions that no member is using."""

    def join(
        self,
        group: str,
        topics: Sequence[TopicName],
        settings: GroupSettings,
        clock: Clock,
        wake: Callable[[], None],
    ) -> Member:
        """Begin to be a member, which reads these topics.

        ``wake`` may be called, from any thread, when ``follow`` has something to do.
        """
