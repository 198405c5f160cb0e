"""What a partition must hold, told by what was asked of it: a list of batches and plain loops.

The model is slow and obvious on purpose. It knows every batch that was ever accepted, how much of
it is acknowledged, and from that says which records a reader may see, must see and must not see.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

Row = tuple[bytes | None, bytes | None, int]
"""Key, value and timestamp of a record."""


@dataclass(frozen=True)
class ModelBatch:
    """One accepted batch; a marker has no rows."""

    base_offset: int
    end_offset: int
    rows: tuple[Row, ...]
    producer_id: int = -1
    producer_epoch: int = -1
    base_sequence: int = -1
    is_transactional: bool = False
    marker: bool | None = None
    """``None`` for records, else whether the marker commits."""
    appended_ms: int = -1
    """When the log took it, by the clock of the world."""

    @property
    def next_sequence(self) -> int:
        return self.base_sequence + len(self.rows)

    @property
    def max_timestamp_ms(self) -> int:
        return max((row[2] for row in self.rows), default=-1)


class ProducerModel(NamedTuple):
    """Where a producer stands in a partition."""

    epoch: int
    last_data: ModelBatch | None
    open_since: int | None


@dataclass
class PartitionModel:
    """All that one incarnation of a partition was asked to hold."""

    config: dict[str, str]
    batches: list[ModelBatch] = field(default_factory=list)
    synced_end: int = 0
    log_start: int = 0
    session_start: int = 0
    """Log end when the log was last opened."""
    delete_requested: int = 0
    """Up to here records may be gone, because that was asked for."""
    bytes_seen: int = 0
    """Largest size since the last check: compaction or a crash may take what retention had counted."""
    ghosts: list[ModelBatch] = field(default_factory=list)
    """Batches that were refused but partly written: a crash may bring one back, until the next sync."""

    @property
    def is_compacted(self) -> bool:
        return "compact" in self.config.get("cleanup.policy", "delete")

    @property
    def log_end(self) -> int:
        return self.batches[-1].end_offset if self.batches else 0

    def rows(self, end: int) -> Iterator[tuple[int, Row, ModelBatch]]:
        """Every record below ``end`` with its offset and batch."""
        for batch in self.batches:
            for index, row in enumerate(batch.rows):
                if batch.base_offset + index < end:
                    yield batch.base_offset + index, row, batch

    def producers(self) -> dict[int, ProducerModel]:
        """Where each producer stands after all batches."""
        found: dict[int, ProducerModel] = {}
        for batch in self.batches:
            if batch.producer_id < 0:
                continue
            before = found.get(batch.producer_id, ProducerModel(-1, None, None))
            if batch.marker is not None:
                # A marker of a newer epoch begins an incarnation that has no data yet.
                last_data = before.last_data if batch.producer_epoch == before.epoch else None
                found[batch.producer_id] = ProducerModel(batch.producer_epoch, last_data, None)
                continue
            open_since = before.open_since
            if batch.is_transactional and open_since is None:
                open_since = batch.base_offset
            found[batch.producer_id] = ProducerModel(batch.producer_epoch, batch, open_since)
        return found

    def undecided(self, high_watermark: int) -> list[ModelBatch]:
        """The visible batches whose transaction has no visible marker yet, in order."""
        decided = self.decisions(high_watermark)
        return [
            batch
            for batch in self.batches
            if batch.base_offset < high_watermark
            and batch.is_transactional
            and batch.marker is None
            and batch.base_offset not in decided
        ]

    def decisions(self, end: int) -> dict[int, bool]:
        """For each decided transactional data batch, by base offset, whether it was committed."""
        waiting: dict[int, list[int]] = {}
        decided: dict[int, bool] = {}
        for batch in self.batches:
            if batch.end_offset > end:
                break
            if batch.marker is not None:
                decided.update(dict.fromkeys(waiting.pop(batch.producer_id, ()), batch.marker))
            elif batch.is_transactional:
                waiting.setdefault(batch.producer_id, []).append(batch.base_offset)
        return decided

    def committed(self, end: int, start: int) -> dict[int, Row]:
        """What a reader of committed data must see in ``[start, end)`` if nothing is compacted."""
        decided = self.decisions(self.log_end)
        return {
            offset: row
            for offset, row, batch in self.rows(end)
            if offset >= start and (not batch.is_transactional or decided.get(batch.base_offset, False))
        }

    def synced(self, end: int) -> None:
        """What is before ``end`` is acknowledged."""
        self.synced_end = max(self.synced_end, end)
        self.ghosts = [ghost for ghost in self.ghosts if ghost.base_offset >= self.synced_end]

    def settle(self, end: int, rows: Mapping[int, Row]) -> None:
        """Learn from an opened log what an interruption left: it ends at ``end`` and holds ``rows``."""
        for ghost in self.ghosts:
            stored = tuple(rows.get(offset) for offset in range(ghost.base_offset, ghost.end_offset))
            taken = [b for b in self.batches if b.base_offset == ghost.base_offset and b.end_offset <= end]
            is_other = not taken or taken[0].rows[: len(ghost.rows)] != stored[: len(taken[0].rows)]
            if ghost.base_offset >= self.synced_end and stored == ghost.rows and is_other:
                self.batches = [b for b in self.batches if b.end_offset <= ghost.base_offset]
                self.batches.append(ghost)
        kept = [batch for batch in self.batches if batch.end_offset <= end]
        kept_end = kept[-1].end_offset if kept else 0
        assert kept_end == end, f"the log ends at {end}, inside a batch or past all that was appended"
        self.batches = kept
        self.ghosts = []
        self.synced_end = self.session_start = end
