"""A transactional producer outside of the log's process: it outlives its crashes, and asks until answered.

It does what Kafka's clients do, of either version of transactions. Up to version 1 it names partitions first,
keeps its epoch, and asks for the next one where it does not know what became of a batch; with version 2
producing is joining, and each ending gives it a new epoch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from streamcore.log.broker.api_errors import ApiError
from streamcore.log.broker.broker import Broker
from streamcore.log.broker.operations import Operation
from streamcore.log.broker.requests import AppendedBatch, ProducerIdentity
from streamcore.log.records.builder import encode_batch
from streamcore.model import CommittedOffset, TopicPartition

R = TypeVar("R")

Ask = Callable[[Broker], Operation[R]]


class Connection(Protocol):
    """What a producer needs of the world: its broker, whichever that is by now."""

    def ask(self, asked: Callable[[Broker], Operation[R]]) -> R:
        """Have a request answered, asking again after each crash. Raises ``ApiError``."""


@dataclass
class Transaction:
    """One transaction, what is in it, and how it ended, as far as its producer knows."""

    number: int
    producer: str
    records: dict[TopicPartition, list[bytes]] = field(default_factory=dict)
    has_offsets: bool = False
    outcome: bool | None = None


class RemoteProducer:
    """One instance of a producer, under a transactional id."""

    def __init__(self, connection: Connection, name: str, *, version: int) -> None:
        self._connection = connection
        self.name = name
        self.version = version
        self._sequences: dict[TopicPartition, int] = {}
        self._joined: set[TopicPartition] = set()
        self.identity = connection.ask(lambda broker: broker.transactions.init_producer_id(name, 60_000))

    @property
    def group(self) -> str:
        """The group whose positions it commits."""
        return f"group-of-{self.name}"

    def encoded(self, target: TopicPartition, values: list[bytes]) -> bytearray:
        """The next batch for a partition."""
        sequence = self._sequences.get(target, 0)
        self._sequences[target] = sequence + len(values)
        return encode_batch(
            [None] * len(values),
            values,
            [0] * len(values),
            producer_id=self.identity.producer_id,
            producer_epoch=self.identity.epoch,
            base_sequence=sequence,
            transactional=True,
        )

    def send(self, target: TopicPartition, batch: bytes) -> AppendedBatch:
        """Send a batch, and wait until it is durable. Raises ``ApiError``, or what else is wrong with it."""
        if self.version < 2 and target not in self._joined:
            identity = self.identity
            self._connection.ask(
                lambda broker: broker.transactions.add_partitions(self.name, identity, [target])
            )
            self._joined.add(target)
        return self._connection.ask(lambda broker: produced(broker, self.name, self.version, target, batch))

    def commit_position(self, source: TopicPartition, offset: int) -> None:
        """Make its group's position part of the transaction. Raises ``ApiError``."""
        identity = self.identity
        if self.version < 2:
            self._connection.ask(
                lambda broker: broker.transactions.add_partitions(
                    self.name, identity, [broker.groups.partition_for(self.group)]
                )
            )
        self._connection.ask(lambda broker: self._committed(broker, source, offset))

    def _committed(self, broker: Broker, source: TopicPartition, offset: int) -> Operation[None]:
        yield from broker.batches.commit_offsets(
            self.name,
            self.identity,
            self.group,
            {source: CommittedOffset(offset)},
            joins_as=2 if self.version >= 2 else None,
        )
        yield broker.written_to([broker.groups.partition_for(self.group)])

    def end(self, *, commit: bool) -> None:
        """Commit or abort. Raises ``ApiError``."""
        asked = self.identity
        identity = self._connection.ask(
            lambda broker: broker.transactions.end_transaction(
                self.name, asked, commit=commit, version=self.version
            )
        )
        self._joined.clear()
        self._go_on_as(identity)

    def recover(self) -> None:
        """Ask for the next epoch, after something went wrong. Raises ``ApiError`` if it was overtaken."""
        expected = self.identity
        identity = self._connection.ask(
            lambda broker: broker.transactions.init_producer_id(self.name, 60_000, expected)
        )
        self._joined.clear()
        self._go_on_as(identity)

    def _go_on_as(self, identity: ProducerIdentity) -> None:
        if identity != self.identity:
            self.identity = identity
            self._sequences.clear()


def produced(
    broker: Broker, name: str, version: int, target: TopicPartition, batch: bytes
) -> Operation[AppendedBatch]:
    """What a broker does with a batch that came over the wire."""
    joins_as = 2 if version >= 2 else None
    (appended,) = yield from broker.batches.append_each([(target, bytearray(batch))], name, joins_as=joins_as)
    if appended.error is not None:
        cause = appended.error.__cause__
        raise cause if isinstance(cause, ApiError) else appended.error
    yield from broker.batches.durable([appended])
    return appended
