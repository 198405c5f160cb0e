"""A consumer's membership in a group of the log in this process.

``consumer.membership`` talks to the coordinator in a thread of its own and reports events. This module
handles them in the consumer's thread: revoke, join, assign. With a cooperative assignor the consumer reads
during a rebalance.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

from streamcore.clock import Clock
from streamcore.errors import RebalanceInProgressError, StaleGenerationError, fact_text, with_facts
from streamcore.log.client.consumer.assignment import ConsumerAssignment
from streamcore.log.client.consumer.membership import (
    CoordinatedLog,
    Failed,
    GroupMembership,
    Joined,
    Lost,
    MustJoin,
    partition_counts,
)
from streamcore.log.client.consumer.settings import GroupSettings
from streamcore.model import CommittedOffset, Membership, TopicName, TopicPartition

_logger = logging.getLogger(__name__)

_COMMIT_WAIT_S = 30.0
_TOPICS_CHECK_S = 1.0


class EmbeddedMember:
    """One member of a group of the embedded log."""

    def __init__(
        self,
        log: CoordinatedLog,
        group: str,
        topics: Sequence[TopicName],
        settings: GroupSettings,
        clock: Clock,
        wake: Callable[[], None],
    ) -> None:
        self.wait_s_max = 0.5
        self._log = log
        self._group = group
        self._monotonic_s = clock.monotonic_s
        self._topics_checked_s = self._monotonic_s()
        self._membership = GroupMembership(log, group, topics, settings, clock, wake)
        self._membership.order_join(())

    @property
    def membership(self) -> Membership | None:
        """The credentials of the last generation joined."""
        return self._membership.membership

    def follow(self, owned: ConsumerAssignment) -> None:
        """Do what the group asks of this member."""
        membership = self._membership
        match membership.take_event():
            case None:
                self._follow_topics(owned)
            case Joined() as joined:
                self._accept(joined, owned)
            case MustJoin():
                if not membership.is_cooperative:
                    owned.revoke(owned.partitions())
                membership.order_join(owned.partitions())
            case Lost(reason):
                if owned.partitions():
                    facts = fact_text(group=self._group, reason=reason)
                    _logger.warning("the group has removed this member, joining again %s", facts)
                owned.lose(owned.partitions())
                membership.order_join(())
            case Failed(error):
                owned.lose(owned.partitions())
                raise error

    def _accept(self, joined: Joined, owned: ConsumerAssignment) -> None:
        """Take a new assignment; release the partitions that move, and join again to report that."""
        assigned = frozenset(joined.assignment)
        revoked = tuple(partition for partition in owned.partitions() if partition not in assigned)
        owned.revoke(revoked)
        if revoked and joined.assignor.is_cooperative:
            self._membership.order_join(owned.partitions())
        added = tuple(partition for partition in joined.assignment if partition not in owned)
        if added or not joined.assignor.is_cooperative:
            owned.accept(added)

    def _follow_topics(self, owned: ConsumerAssignment) -> None:
        """Ask for a rebalance if the member is the leader and its topics have other partitions."""
        now_s = self._monotonic_s()
        if now_s < self._topics_checked_s + _TOPICS_CHECK_S:
            return
        self._topics_checked_s = now_s
        joined = self._membership.joined
        if joined is None or not joined.is_leader or not self._membership.wait_joined(0):
            return
        counts = partition_counts(self._log.topics(), joined.partition_counts.keys())
        if counts != joined.partition_counts:
            if not self._membership.is_cooperative:
                owned.revoke(owned.partitions())
            self._membership.order_join(owned.partitions())

    def commit(self, offsets: Mapping[TopicPartition, CommittedOffset], owned: ConsumerAssignment) -> None:
        """Commit as a member; if a rebalance is being completed, wait for its result first."""
        membership = self._membership
        deadline_s = self._monotonic_s() + _COMMIT_WAIT_S
        while True:
            credentials = membership.membership
            if credentials is None:
                raise StaleGenerationError(
                    with_facts(
                        "the group has assigned these partitions to other members; poll to join again",
                        group=self._group,
                    )
                )
            try:
                self._log.commit_offsets(self._group, offsets, membership=credentials)
                return
            except (RebalanceInProgressError, StaleGenerationError):
                # A cooperative member may be between two generations. After the next one is stable, the
                # partitions it still reads may be committed in it: the group assigns a partition that the
                # generation revokes to no other member before this member has released it, in poll.
                left_s = deadline_s - self._monotonic_s()
                if left_s <= 0 or not membership.wait_joined(left_s) or membership.membership == credentials:
                    raise
                if not membership.is_cooperative or not all(partition in owned for partition in offsets):
                    raise

    def stop(self) -> None:
        """End the membership."""
        self._membership.stop()
