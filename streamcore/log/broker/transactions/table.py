"""Every transactional id with its newest record, and the lookups of records.

Records are in the order in which they were written, so the ids that were not used for the longest time are
first. Ids with a prepared ending are also kept separately: there are few, and none must be missed.
"""

from __future__ import annotations

from collections.abc import Iterator

from streamcore.log.broker.transactions.records import TransactionRecord
from streamcore.model import ProducerId, TimestampMs


class TransactionTable:
    """Records by transactional id; only ``put`` changes it."""

    def __init__(self) -> None:
        self._records: dict[str, TransactionRecord] = {}
        self._preparing: dict[str, None] = {}
        self._names: dict[ProducerId, str] = {}

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[TransactionRecord]:
        """Iterate over all records, the oldest first."""
        return iter(self._records.values())

    def __getitem__(self, transactional_id: str) -> TransactionRecord:
        return self._records[transactional_id]

    def get(self, transactional_id: str) -> TransactionRecord | None:
        """Return the record of an id, or ``None``."""
        return self._records.get(transactional_id)

    def put(self, transactional_id: str, record: TransactionRecord | None) -> None:
        """Replace the record of an id; ``None`` removes the id."""
        before = self._records.pop(transactional_id, None)
        if before is not None:
            self._names.pop(before.identity.producer_id, None)
            self._preparing.pop(transactional_id, None)
        if record is not None:
            self._records[transactional_id] = record
            self._names[record.identity.producer_id] = transactional_id
            if record.is_preparing:
                self._preparing[transactional_id] = None

    def of_producer(self, producer_id: ProducerId) -> TransactionRecord | None:
        """Return the record of the id to which a producer id belongs now."""
        name = self._names.get(producer_id)
        return None if name is None else self._records[name]

    def preparing(self) -> list[TransactionRecord]:
        """Return the records of endings that are decided and not complete."""
        return [self._records[name] for name in self._preparing]

    def not_written_since(self, moment_ms: TimestampMs) -> list[TransactionRecord]:
        """Yield the records that were last written before a time."""
        return [record for record in self._records.values() if record.updated_ms < moment_ms]

    def put_in_order(self) -> None:
        """Sort the records by the time of writing, after a replay partition by partition."""
        self._records = dict(sorted(self._records.items(), key=lambda item: item[1].updated_ms))
