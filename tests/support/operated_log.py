"""A log in this process with the broker's operations for producers as calls, for tests of coordinators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from streamcore.log.broker.requests import AppendedBatch, ProducerIdentity, TransactionDescription
from streamcore.log.broker.transactions.listing import TransactionFilter
from streamcore.log.client.embedded.log import EmbeddedLog
from streamcore.model import CommittedOffset, Membership, TopicPartition


class OperatedLog(EmbeddedLog):
    """An ``EmbeddedLog`` on which a test acts as the producers and as the server."""

    def append_encoded(
        self, batches: Sequence[tuple[TopicPartition, bytearray]], *, transactional_id: str | None = None
    ) -> list[AppendedBatch]:
        """Write encoded batches in this order, not durably yet."""
        return self._run(self._broker.batches.append_each(batches, transactional_id))

    def wait_durable(self, appended: Sequence[AppendedBatch]) -> None:
        """Wait until batches are on disk."""
        self._run(self._broker.batches.durable(appended))

    def init_producer_id(
        self, transactional_id: str | None = None, *, timeout_ms: int | None = None
    ) -> ProducerIdentity:
        """Give a producer an identity; fence older producers of its transactional id."""
        return self._run(self._broker.transactions.init_producer_id(transactional_id, timeout_ms))

    def commit_offsets_in_transaction(
        self,
        transactional_id: str,
        identity: ProducerIdentity,
        group: str,
        positions: Mapping[TopicPartition, CommittedOffset],
        *,
        membership: Membership | None = None,
    ) -> None:
        """Make positions part of the transaction."""
        self._run(
            self._broker.batches.commit_offsets(transactional_id, identity, group, positions, membership)
        )

    def end_transaction(self, transactional_id: str, identity: ProducerIdentity, *, commit: bool) -> None:
        """Commit or abort."""
        self._run(self._broker.transactions.end_transaction(transactional_id, identity, commit=commit))

    def transactions(self) -> list[TransactionDescription]:
        """All transactional ids."""
        with self._entered():
            return self._broker.list_transactions(TransactionFilter())
