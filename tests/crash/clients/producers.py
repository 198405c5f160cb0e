"""Producers without transactions: plain ones, and idempotent ones with several requests on their way."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from time import monotonic
from typing import Final

from streamcore.log.api.error_codes import ErrorCode
from streamcore.log.protocol.messages.init_producer_id import InitProducerIdRequest
from streamcore.log.protocol.messages.produce import ProduceRequest
from tests.crash.clients.client import Client, NoAnswer
from tests.crash.clients.producing import (
    RETRIABLE,
    VERSION_MIN,
    VERSION_OF_NAMES_MAX,
    Batch,
    codes_and_offsets,
    new_batch,
    produce_request,
)
from tests.crash.clients.world import Topic, World
from tests.histories.operations import Outcome, Place

_IN_FLIGHT_MAX: Final = 5
"""A broker recognises so many batches of a producer when they come again."""
_SETTLING_S: Final = 10.0


class PlainProducer(Client):
    """Sends one batch at a time and perhaps sends it again; copies may remain. Some batches are damaged."""

    def __init__(self, world: World, name: str, topics: tuple[str, ...]) -> None:
        super().__init__(world, name)
        self._topics = [world.topic(topic) for topic in topics]

    def step(self) -> None:
        topic = self.random.choice(self._topics)
        ids = self.world.new_ids(self.random.choice((1, 1, 2, 5, 20)))
        batch = new_batch(topic, self.random.randrange(topic.partition_count), ids)
        acks = self.random.choice((-1, -1, 1, 1, 0))
        request = produce_request([batch], acks=acks)
        version = self.version_of("Produce", VERSION_MIN, VERSION_OF_NAMES_MAX)
        is_damaged = self.random.random() < 0.05
        if is_damaged:
            records = batch.records
            records[-1] ^= 1
            request.topic_data[0].partition_data[0].records = records
        for _ in range(self.random.choice((1, 3))):
            batch.attempt_count += 1
            if self._is_settled(batch, request, version, acks, is_damaged):
                return
            self.pause()
        self.world.record(batch.operation(self.name, Outcome.UNKNOWN))

    def _is_settled(
        self, batch: Batch, request: ProduceRequest, version: int, acks: int, is_damaged: bool
    ) -> bool:
        try:
            if not acks:
                self.send(request, version)
                return False
            code, offset = codes_and_offsets(self.ask(request, version))[batch.place]
        except NoAnswer:
            return False
        if code in RETRIABLE:
            return False
        assert is_damaged == (code is ErrorCode.CORRUPT_MESSAGE), f"{code!r} for {batch}"
        assert is_damaged or code is ErrorCode.NONE, f"{code!r} for {batch}"
        if is_damaged:
            self.world.record(batch.operation(self.name, Outcome.FAILED))
        else:
            self.world.record(batch.operation(self.name, Outcome.OK, offset))
        return True


@dataclass
class _InFlight:
    """A request whose answer is to come; its batches go to different places."""

    request: ProduceRequest
    version: int
    batches: list[Batch]


class IdempotentProducer(Client):
    """Sends the same again until it is acknowledged, in the same order; several requests are on their way."""

    def __init__(self, world: World, name: str, topics: tuple[str, ...]) -> None:
        super().__init__(world, name)
        self._topics = [world.topic(topic) for topic in topics]
        self._identity: tuple[int, int] | None = None
        self._sequences: dict[Place, int] = {}
        self._in_flight: deque[_InFlight] = deque()
        self._sent_count = 0
        """How many of those in flight went out on this connection."""
        self._depth = self.random.randint(1, _IN_FLIGHT_MAX)

    def step(self) -> None:
        if self._identity is None:
            self._identify()
            return
        if len(self._in_flight) < self._depth and not self.world.is_over.is_set():
            self._in_flight.append(self._next())
        self._send_all()
        if len(self._in_flight) >= self._depth or self.random.random() < 0.3:
            self._take_answer()

    def finish(self) -> None:
        deadline_s = monotonic() + _SETTLING_S
        while self._in_flight and monotonic() < deadline_s:
            try:
                self._send_all()
                self._take_answer()
            except NoAnswer:
                self.pause()
        for flight in self._in_flight:
            for batch in flight.batches:
                self.world.record(batch.operation(self.name, Outcome.UNKNOWN))

    def drop(self) -> None:
        self._sent_count = 0
        super().drop()

    def _identify(self) -> None:
        version = self.version_of("InitProducerId", 0, 5)
        answer = self.ask(InitProducerIdRequest(transactional_id=None, transaction_timeout_ms=0), version)
        if answer.error_code == ErrorCode.NONE:
            self._identity = answer.producer_id, answer.producer_epoch

    def _next(self) -> _InFlight:
        places = [(topic, partition) for topic in self._topics for partition in range(topic.partition_count)]
        chosen = self.random.sample(places, self.random.choice((1, 1, 2)))
        batches = [self._batch(topic, partition) for topic, partition in chosen]
        request = produce_request(batches, acks=self.random.choice((-1, -1, 1)))
        return _InFlight(request, self.version_of("Produce", VERSION_MIN, VERSION_OF_NAMES_MAX), batches)

    def _batch(self, topic: Topic, partition: int) -> Batch:
        assert self._identity is not None
        ids = self.world.new_ids(self.random.choice((1, 1, 2, 3, 10, 20)))
        place = Place(topic.name, partition)
        sequence = self._sequences.get(place, 0)
        self._sequences[place] = sequence + len(ids)
        producer_id, epoch = self._identity
        return new_batch(
            topic, partition, ids, producer_id=producer_id, epoch=epoch, sequence=sequence, producer=self.name
        )

    def _send_all(self) -> None:
        while self._sent_count < len(self._in_flight):
            flight = self._in_flight[self._sent_count]
            for batch in flight.batches:
                batch.attempt_count += 1
            self.send(flight.request, flight.version)
            self._sent_count += 1

    def _take_answer(self) -> None:
        if not self._sent_count:
            return
        flight = self._in_flight[0]
        results = codes_and_offsets(self.receive(flight.request, flight.version))
        if any(code in RETRIABLE for code, _ in results.values()):
            # What was sent after it may be refused as out of order: begin again with this one.
            self.drop()
            self.pause()
            return
        for batch in flight.batches:
            code, offset = results[batch.place]
            assert code is ErrorCode.NONE, f"{code!r} for {batch}"
            self.world.record(batch.operation(self.name, Outcome.OK, offset))
        self._in_flight.popleft()
        self._sent_count -= 1
