"""Listing and description of transactions. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection

from msgspec import Struct

from streamcore.log.broker.requests import TransactionDescription
from streamcore.log.broker.transactions.records import TransactionRecord, TransactionState
from streamcore.log.broker.transactions.table import TransactionTable
from streamcore.model import ProducerId, TimestampMs

STATES_BY_NAME = {state.kafka_name: state for state in TransactionState}
"""The states by the names that Kafka's tools use."""


class TransactionFilter(Struct, frozen=True, kw_only=True):
    """A filter of transactional ids; a criterion that is ``None`` or empty accepts all ids."""

    states: Collection[TransactionState] | None = None
    producer_ids: Collection[ProducerId] = ()
    longer_than_ms: int | None = None
    """The minimum age of the transaction; ids without a transaction are accepted, as in Kafka."""
    has_name: Callable[[str], bool] | None = None

    def lets_through(self, record: TransactionRecord, now_ms: TimestampMs) -> bool:
        """Whether the filter accepts a transactional id."""
        if self.states is not None and record.state not in self.states:
            return False
        if self.producer_ids and record.identity.producer_id not in self.producer_ids:
            return False
        if self.longer_than_ms is not None and now_ms - record.started_ms <= self.longer_than_ms:
            return False
        return self.has_name is None or self.has_name(record.transactional_id)


def described(record: TransactionRecord) -> TransactionDescription:
    """Return the description of a transactional id."""
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
    """Return the transactional ids that the filter accepts, sorted."""
    found = [described(record) for record in table if wanted.lets_through(record, now_ms)]
    return sorted(found, key=lambda each: each.transactional_id)
