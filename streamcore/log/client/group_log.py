"""What programs need of a log's consumer groups, besides the port: descriptions and memberships.

The two adapters join groups differently: the embedded log speaks the group protocol with its broker
(``embedded.member``); over a network librdkafka does (``kafka.member``). A consumer uses a ``Member``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from streamcore.clock import Clock
from streamcore.log.client import port
from streamcore.log.client.consumer.assignment import ConsumerAssignment
from streamcore.log.client.consumer.settings import GroupSettings
from streamcore.model import CommittedOffset, Membership, TopicName, TopicPartition


class MemberSummary(Struct, frozen=True):
    """A member and its assignment."""

    member_id: str
    instance_id: str | None
    client_id: str
    host: str
    assignment: tuple[TopicPartition, ...]


class DescribedGroup(Struct, frozen=True):
    """A group as its coordinator knows it.

    ``state`` is one of Kafka's names, ``Dead`` for a group that does not exist. ``generation``
    is -1 where the coordinator does not return it.
    """

    group: str
    state: str
    protocol: str = ""
    generation: int = -1
    members: tuple[MemberSummary, ...] = ()
    kind: str = "classic"
    """Kafka's name for the group's protocol: ``classic`` or ``consumer``."""
    protocol_type: str = "consumer"
    """The protocol type of a classic group: ``consumer`` for readers, ``connect``, …"""


class Member(Protocol):
    """A consumer's membership in its group. Its methods are for the consumer's thread."""

    wait_s_max: float
    """How long the consumer may wait for records before it calls ``follow`` again."""

    @property
    def membership(self) -> Membership | None:
        """The credentials of the last generation joined."""

    def follow(self, owned: ConsumerAssignment) -> None:
        """Do what the group asks. A call also counts as a poll of the program.

        Raises:
            StaleGenerationError: another member has taken over this one's static instance id.
        """

    def commit(self, offsets: Mapping[TopicPartition, CommittedOffset], owned: ConsumerAssignment) -> None:
        """Commit offsets as a member.

        Raises:
            StaleGenerationError: another member owns the partitions now.
        """

    def stop(self) -> None:
        """End the membership. The group keeps a static member until its session ends."""


class GroupLog(port.Log, Protocol):
    """A log whose groups can be described and joined."""

    def group_names(self) -> list[str]:
        """Return all groups that have members or committed offsets, sorted."""

    def describe_group(self, group: str) -> DescribedGroup:
        """Return a group's state and members."""

    def delete_group(self, group: str) -> None:
        """Delete a group without members, with its committed offsets. Raises ``UsageError``."""

    def delete_offsets(self, group: str, partitions: Iterable[TopicPartition]) -> None:
        """Delete committed offsets that no member uses."""

    def join(
        self,
        group: str,
        topics: Sequence[TopicName],
        settings: GroupSettings,
        clock: Clock,
        wake: Callable[[], None],
    ) -> Member:
        """Start a membership that reads these topics.

        ``wake`` may be called, from any thread, when ``follow`` has work.
        """
