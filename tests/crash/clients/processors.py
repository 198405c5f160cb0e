"""Members of a group that make one output of each input, in transactions with the positions after them."""

from __future__ import annotations

from typing import Final

from tests.crash.clients.client import Client, NoAnswer
from tests.crash.clients.groups import Membership
from tests.crash.clients.positions import read_positions
from tests.crash.clients.readers import PartitionReader
from tests.crash.clients.transactions import TransactionLost, TransactionSession
from tests.crash.clients.world import World
from tests.histories.operations import Isolation, Place, RecordId

_SESSION_MS: Final = 800


class Processor(Client):
    """Reads committed inputs, writes outputs, commits both; begins again at the position if that fails."""

    def __init__(
        self, world: World, name: str, group: str, inputs: str, outputs: str, *, newer_share: float
    ) -> None:
        super().__init__(world, name)
        self.answer_s = 4.0
        self._membership = Membership(self, group, (inputs,), session_ms=_SESSION_MS)
        self._session = TransactionSession(self, name, timeout_ms=2_000, newer_share=newer_share)
        self._reader = PartitionReader(self, Isolation.COMMITTED)
        self._outputs = world.places(outputs)
        self._positions: dict[Place, int] | None = None

    def step(self) -> None:
        membership = self._membership
        try:
            if not membership.is_joined:
                self._positions = None
                membership.join()
                if not membership.is_joined:
                    self.pause()
            elif self._positions is None:
                self._begin()
            else:
                membership.heartbeat()
                self._process(self._positions)
        except (TransactionLost, NoAnswer) as error:
            self._session.abandon()
            self._positions = None
            if isinstance(error, TransactionLost):
                membership.heartbeat()

    def _begin(self) -> None:
        """Take the transactional id over, so that nothing is undecided, then ask where to go on."""
        if self._session.identity is None:
            self._session.identify()
        found: dict[Place, int | None] | None = {}
        if self._membership.places:
            found = read_positions(self, self._membership.group, self._membership.places, stable=True)
        if found is None:
            self._membership.heartbeat()
            self.pause()
            return
        self._positions = {place: offset or 0 for place, offset in found.items()}

    def _process(self, positions: dict[Place, int]) -> None:
        if not positions:
            self.pause()
            return
        polls = self._reader.poll(positions, max_wait_ms=20, partition_bytes_max=2_000)
        moved = {poll.place: poll.end for poll in polls if poll.end > poll.start}
        if not moved or not self._membership.is_joined:
            return
        sources = [id_ for poll in polls for _, id_ in poll.records]
        self._session.begin()
        for part in self._parts(sources):
            ids = self.world.new_ids(len(part))
            self._session.send([(self.random.choice(self._outputs), ids, part)])
        if self.random.random() < 0.03:
            self.world.is_over.wait(self.random.choice((0.5, 1.5, 3.0)) * _SESSION_MS / 1000)
        membership = self._membership
        self._session.add_positions(membership.group, moved, membership.member_id, membership.generation)
        commit = self.random.random() < 0.9
        self._session.end(commit=commit)
        if not commit:
            self._positions = None

    def _parts(self, sources: list[RecordId]) -> list[tuple[RecordId, ...]]:
        size = self.random.choice((1, 3, 10))
        return [tuple(sources[start : start + size]) for start in range(0, len(sources), size)]

    def finish(self) -> None:
        self._session.abandon()
