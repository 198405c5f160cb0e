"""A log on a simulated disk with one topic, and producers that speak to its coordinator by hand."""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar

import pytest

from streamcore.clock import ManualClock
from streamcore.log.broker.api_errors import ApiError, ErrorName
from streamcore.log.broker.broker import Broker
from streamcore.log.broker.operations import Operation, Wait
from streamcore.log.broker.requests import AppendedBatch, ProducerIdentity
from streamcore.log.broker.settings import BrokerSettings
from streamcore.log.records.builder import encode_batch
from streamcore.model import TopicPartition
from streamcore.testing.sim_disk import SimDisk
from tests.support.operated_log import OperatedLog

R = TypeVar("R")

NOW_MS = 1_700_000_000_000
TARGET = TopicPartition("events", 0)


class House:
    """A log on a simulated disk, and its clock."""

    def __init__(self, settings: BrokerSettings | None = None) -> None:
        self.disk = SimDisk(3)
        self.settings = settings or BrokerSettings(unstable_wait_ms=0, producer_id_block_count=3)
        self.clock = ManualClock(NOW_MS)
        self.log = self.open()
        self.log.create_topic("events", config={"retention.ms": "-1"})

    def open(self) -> OperatedLog:
        self.log = OperatedLog.open(
            "/data",
            file_system=self.disk,
            clock=self.clock,
            settings=self.settings,
            maintenance=False,
        )
        return self.log

    def crash(self) -> OperatedLog:
        self.disk.crash()
        return self.open()

    def batch(self, identity: ProducerIdentity, sequence: int = 0) -> bytearray:
        return encode_batch(
            [b"k"],
            [b"v"],
            [NOW_MS],
            producer_id=identity.producer_id,
            producer_epoch=identity.epoch,
            base_sequence=sequence,
            transactional=True,
        )

    def append(self, name: str, identity: ProducerIdentity, sequence: int = 0) -> None:
        (appended,) = self.log.append_encoded(
            [(TARGET, self.batch(identity, sequence))], transactional_id=name
        )
        if appended.error is not None:
            raise appended.error

    def visible_count(self) -> int:
        reader = self.log.reader()
        reader.assign({TARGET: 0})
        count = 0
        while (run := reader.fetch(TARGET, bytes_max=1000)) is not None:
            count += len(run)
        return count

    def state(self, name: str) -> str:
        return next(each.state for each in self.log.transactions() if each.transactional_id == name)

    # --- as a client of the protocol would ask --------------------------------------------------

    @property
    def broker(self) -> Broker:
        return self.log.node.broker

    def run(self, operation: Operation[R]) -> R:
        """Drive an operation as the server does: what is refused keeps Kafka's name."""
        wait: Wait | None = None
        while True:
            try:
                wait = next(operation)
            except StopIteration as stop:
                reply: R = stop.value
                return reply
            self.wait_for(wait)

    def wait_for(self, wait: Wait) -> None:
        self.log.node.driver.run(_once(wait))

    def init(
        self, name: str = "t", expected: ProducerIdentity | None = None, timeout_ms: int = 60_000
    ) -> ProducerIdentity:
        return self.run(self.broker.transactions.init_producer_id(name, timeout_ms, expected))

    def produce(
        self,
        identity: ProducerIdentity,
        sequence: int = 0,
        name: str = "t",
        *,
        target: TopicPartition = TARGET,
        joins_as: int | None = 2,
    ) -> AppendedBatch:
        """One batch, of a client of transactions 2; the answer waits for the disk."""
        batches = [(target, self.batch(identity, sequence))]
        (appended,) = self.run(self.broker.batches.append_each(batches, name, joins_as=joins_as))
        self.run(self.broker.batches.durable([appended]))
        return appended

    def end(
        self, identity: ProducerIdentity, name: str = "t", *, commit: bool = True, version: int = 2
    ) -> ProducerIdentity:
        ending = self.broker.transactions.end_transaction(name, identity, commit=commit, version=version)
        return self.run(ending)


def _once(wait: Wait) -> Operation[None]:
    yield wait


def refusal_of(operation: Generator[Wait, None, object]) -> ErrorName:
    """Why an operation is refused at its first step."""
    with pytest.raises(ApiError) as caught:
        next(operation)
    return caught.value.refusal


def refusal_in(appended: AppendedBatch) -> ErrorName | None:
    """Why a batch was refused, if Kafka has a name for it."""
    cause = None if appended.error is None else appended.error.__cause__
    return cause.refusal if isinstance(cause, ApiError) else None
