"""Tells of transactions: all of them, or those that somebody looks for. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from streamcore.log.broker.requests import TransactionDescription
from streamcore.log.broker.transactions.records import TransactionRecord, TransactionState
from streamcore.log.broker.transactions.table import TransactionTable
from streamcore.model import ProducerId, TimestampMs

STATES_BY_NAME = {state.kafka_name: state for state in TransactionState}
"""The states by the names that Kafka's tools use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionFilter:
    """Which transactional ids are meant; what is ``None`` or empty lets all through."""

    states: Collection[TransactionState] | None = None
    producer_ids: Collection[ProducerId] = ()
    longer_than_ms: int | None = None
    """How long ago the transaction began; ids without one are let through, as Kafka does."""
    has_name: Callable[[str], bool] | None = None

    def lets_through(self, record: TransactionRecord, now_ms: TimestampMs) -> bool:
        """Whether a transactional id is among those."""
        if self.states is not None and record.state not in self.states:
            return False
        if self.producer_ids and record.identity.producer_id not in self.producer_ids:
            return False
        if self.longer_than_ms is not None and now_ms - record.started_ms <= self.longer_than_ms:
            return False
        return self.has_name is None or self.has_name(record.transactional_id)


def described(record: TransactionRecord) -> TransactionDescription:
    """What people are told of a transactional id."""
    return TransactionDescription(
        record.transactional_id,
        record.state.kafka_name,
        record.identity,
        record.timeout_ms,
        record.started_ms,
        tuple(sorted(record.partitions)),
    )


def listed(
    table: TransactionTable, wanted: TransactionFilter, now_ms: TimestampMs
) -> list[TransactionDescription]:
    """The transactional ids that are let through, sorted."""
    found = [described(record) for record in table if wanted.lets_through(record, now_ms)]
    return sorted(found, key=lambda each: each.transactional_id)
