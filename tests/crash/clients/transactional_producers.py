"""Producers that write in transactions, and do with them whatever may be done."""

from __future__ import annotations

from streamcore.log.api.error_codes import ErrorCode
from tests.crash.clients.client import Client
from tests.crash.clients.producing import (
    RETRIABLE,
    VERSION_MIN,
    VERSION_OF_NAMES_MAX,
    codes_and_offsets,
    new_batch,
    produce_request,
)
from tests.crash.clients.transactions import TransactionLost, TransactionSession
from tests.crash.clients.world import World
from tests.histories.operations import Outcome, RecordId


class TransactionalProducer(Client):
    """Writes in transactions to several places; commits, aborts, forgets, comes back as somebody else."""

    def __init__(self, world: World, name: str, topics: tuple[str, ...], *, newer_share: float) -> None:
        super().__init__(world, name)
        self._places = world.places(*topics)
        self._session = TransactionSession(
            self, name, timeout_ms=self.random.choice((300, 1_000, 5_000)), newer_share=newer_share
        )

    def step(self) -> None:
        session = self._session
        try:
            session.begin()
            for _ in range(self.random.choice((1, 2, 4))):
                places = self.random.sample(self._places, self.random.choice((1, 1, 2)))
                session.send([(place, self._ids(), ()) for place in places])
                if self.random.random() < 0.05:
                    self.world.is_over.wait(self.random.uniform(0.1, 1.5))
            if self.random.random() < 0.1:
                self._leave_behind()
                return
            session.end(commit=self.random.random() < 0.7)
        except TransactionLost:
            session.abandon()

    def _ids(self) -> tuple[RecordId, ...]:
        return self.world.new_ids(self.random.choice((1, 1, 2, 5)))

    def _leave_behind(self) -> None:
        """Leave it open; perhaps take the id over, and try what the one who was there before may not do."""
        session = self._session
        before = session.identity
        abandoned = session.name
        session.abandon()
        if self.random.random() < 0.5:
            return
        session.identify()
        place = self.random.choice(self._places)
        assert before is not None
        late = new_batch(
            self.world.topic(place.topic),
            place.partition,
            self._ids(),
            producer_id=before[0],
            epoch=before[1],
            sequence=self.random.choice((0, 1_000)),
            producer=f"{self.name} fenced {abandoned}",
            transaction=abandoned,
        )
        version = self.version_of("Produce", VERSION_MIN, VERSION_OF_NAMES_MAX)
        late.attempt_count = 1
        outcome, offset = Outcome.UNKNOWN, None
        try:
            request = produce_request([late], acks=-1, transactional_id=session.transactional_id)
            code, taken_at = codes_and_offsets(self.ask(request, version))[place]
            if code is ErrorCode.NONE:
                outcome, offset = Outcome.OK, taken_at
            elif code not in RETRIABLE:
                outcome = Outcome.FAILED
        finally:
            self.world.record(late.operation(self.name, outcome, offset))

    def finish(self) -> None:
        self._session.abandon()
