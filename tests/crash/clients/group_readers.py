"""Members of groups that read what is assigned to them, and commit how far they are."""

from __future__ import annotations

from typing import Final, Protocol

from streamcore.log.api.error_codes import ErrorCode
from streamcore.log.protocol.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
)
from tests.crash.clients.client import Client, NoAnswer
from tests.crash.clients.groups import Membership
from tests.crash.clients.newer_groups import NewerMembership
from tests.crash.clients.positions import read_positions
from tests.crash.clients.producing import RETRIABLE
from tests.crash.clients.readers import PartitionReader
from tests.crash.clients.world import World, now_us
from tests.histories.operations import Isolation, Outcome, Place, PositionsCommitted

_GENERATIONS_FROM: Final = 2
_EPOCHS_FROM: Final = 9
_NAMES_MAX: Final = 9


class GroupMembership(Protocol):
    """A client's place in a group, by whichever protocol."""

    group: str
    member_id: str
    generation: int
    """The generation, where all members are in the same one; -1 where each has an epoch of its own."""
    places: list[Place]
    silence_ms: int
    """After so much silence others may take its places."""

    @property
    def is_joined(self) -> bool:
        """Whether the broker knows it as a member."""

    @property
    def epoch(self) -> int:
        """What the member shows with each request: its generation, or its own epoch."""

    @property
    def round(self) -> int:
        """Another number whenever its places may have changed."""

    def join(self) -> None:
        """Do the next thing that makes one a member. Raises ``NoAnswer``."""

    def heartbeat(self) -> None:
        """Show that one is alive, now and then, and learn what has changed. Raises ``NoAnswer``."""

    def learn(self, code: ErrorCode) -> None:
        """Take an answer as news of one's membership."""

    def leave(self) -> None:
        """Go, with a word. Raises ``NoAnswer``."""


class GroupReader(Client):
    """Reads what its group assigns to it, and commits how far it is: in time, late, or back again."""

    def __init__(
        self,
        world: World,
        name: str,
        group: str,
        topics: tuple[str, ...],
        isolation: Isolation,
        *,
        is_newer: bool = False,
    ) -> None:
        super().__init__(world, name)
        self.answer_s = 4.0
        self._membership: GroupMembership
        if is_newer:
            self._membership = NewerMembership(self, group, topics)
        else:
            session_ms = self.random.choice((500, 1_000, 3_000))
            self._membership = Membership(self, group, topics, session_ms=session_ms)
        self._reader = PartitionReader(self, isolation)
        self._positions: dict[Place, int] = {}
        self._round = -1

    def step(self) -> None:
        membership = self._membership
        if not membership.is_joined:
            membership.join()
            self._round = -1
            if not membership.is_joined:
                self.pause()
            return
        if self._round != membership.round and not self._begin_round():
            return
        membership.heartbeat()
        if self._round != membership.round:
            return
        if self._positions:
            self._reader.poll(self._positions, max_wait_ms=20)
        else:
            self.pause()
        choice = self.random.random()
        if choice < 0.3:
            self._commit()
        elif choice < 0.31:
            membership.leave()
        elif choice < 0.32:
            # Others take over meanwhile; what is committed then has to be refused.
            self.world.is_over.wait(self.random.choice((0.2, 2.0)) * membership.silence_ms / 1000)
            self._commit()

    def _begin_round(self) -> bool:
        membership = self._membership
        begun = membership.round
        found: dict[Place, int | None] | None = {}
        if membership.places:
            found = read_positions(self, membership.group, membership.places, stable=False)
        if found is None:
            membership.heartbeat()
            self.pause()
            return False
        self._positions = {place: offset or 0 for place, offset in found.items()}
        self._round = begun
        return True

    def _commit(self) -> None:
        if not self._positions:
            return
        membership = self._membership
        positions = dict(self._positions)
        if self.random.random() < 0.05:
            positions = {place: self.random.randint(0, offset) for place, offset in positions.items()}
        request = OffsetCommitRequest(
            group_id=membership.group,
            generation_id_or_member_epoch=membership.epoch,
            member_id=membership.member_id,
            topics=[
                OffsetCommitRequestTopic(
                    name=place.topic,
                    partitions=[
                        OffsetCommitRequestPartition(
                            partition_index=place.partition, committed_offset=offset, committed_metadata=""
                        )
                    ],
                )
                for place, offset in positions.items()
            ],
        )
        version_min = _EPOCHS_FROM if membership.generation < 0 else _GENERATIONS_FROM
        begun_us = now_us()
        outcome = Outcome.UNKNOWN
        try:
            answer = self.ask(request, self.version_of("OffsetCommit", version_min, _NAMES_MAX))
            codes = {ErrorCode(each.error_code) for topic in answer.topics for each in topic.partitions}
            if codes == {ErrorCode.NONE}:
                outcome = Outcome.OK
            elif not codes & RETRIABLE:
                outcome = Outcome.FAILED
                membership.learn(codes.pop())
        finally:
            self.world.record(
                PositionsCommitted(
                    client=self.name,
                    begun_us=begun_us,
                    ended_us=None if outcome is Outcome.UNKNOWN else now_us(),
                    group=membership.group,
                    positions={str(place): offset for place, offset in positions.items()},
                    outcome=outcome,
                    generation=membership.generation,
                )
            )

    def finish(self) -> None:
        try:
            if self._membership.member_id and self.random.random() < 0.5:
                self._membership.leave()
        except NoAnswer:
            return
