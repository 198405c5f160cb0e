"""Compares a partition with its model, record by record."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from streamcore.log.records.decode import decode_columns
from streamcore.log.storage.partition.partition_log import PartitionLog
from streamcore.model import Isolation, Offset
from tests.simulation.partition_model import PartitionModel, Row


def rows_read(log: PartitionLog, isolation: Isolation, random: Random) -> dict[Offset, Row]:
    """Read from log start to the visible end, in steps of any size."""
    rows: dict[Offset, Row] = {}
    position = log.offsets.log_start
    end = log.offsets.visible_end(isolation)
    while position < end:
        result = log.read(position, bytes_max=random.choice((1, 200, 1000, 10_000)), isolation=isolation)
        run = decode_columns(log.topic_partition, result.data, position, result.aborted)
        assert max(run.next_offset, result.next_offset) > position, (
            f"reading at {position} does not get on towards {end}"
        )
        for offset, key, value, timestamp_ms in zip(
            run.offsets, run.keys, run.values, run.timestamps_ms, strict=True
        ):
            assert offset >= position
            assert offset < end, f"offset {offset} is read although only what is before {end} is visible"
            rows[offset] = (key, value, timestamp_ms)
        position = max(run.next_offset, result.next_offset)
    assert list(rows) == sorted(rows)
    return rows


def check_partition(log: PartitionLog, model: PartitionModel, random: Random, now_ms: int) -> None:
    """Assert everything that the model promises about what can be read now."""
    offsets = log.offsets
    assert offsets.log_end == model.log_end
    assert offsets.high_watermark >= model.synced_end, "acknowledged records are not visible"
    assert offsets.log_start >= model.log_start, "deleted records came back"
    _check_deleted(log, model, now_ms)
    start = model.log_start
    undecided = model.undecided(offsets.high_watermark)
    # Where a transaction began may be deleted already; its first batch that is left counts then.
    earliest = min([offsets.high_watermark, *(batch.base_offset for batch in undecided)])
    latest = min([offsets.high_watermark, *(b.base_offset for b in undecided if b.end_offset > start)])
    assert max(earliest, start) <= offsets.last_stable <= max(latest, start)

    uncommitted = rows_read(log, Isolation.READ_UNCOMMITTED, random)
    committed = rows_read(log, Isolation.READ_COMMITTED, random)

    all_rows = {o: row for o, row, _ in model.rows(offsets.high_watermark) if o >= start}
    committed_rows = model.committed(offsets.last_stable, start)
    _check_nothing_invented(uncommitted, all_rows, "uncommitted")
    _check_nothing_invented(committed, committed_rows, "committed")
    if not model.is_compacted:
        assert uncommitted == all_rows, f"records are missing: {sorted(all_rows.keys() - uncommitted.keys())}"
        assert committed == committed_rows, (
            f"committed records are missing: {sorted(committed_rows.keys() - committed.keys())}"
        )
        return
    _check_compacted(committed, committed_rows, model, now_ms)
    unstable = {o: row for o, row in all_rows.items() if o >= offsets.last_stable}
    assert unstable == {o: row for o, row in uncommitted.items() if o >= offsets.last_stable}


def _check_nothing_invented(actual: Mapping[Offset, Row], allowed: Mapping[Offset, Row], what: str) -> None:
    for offset, row in actual.items():
        assert offset in allowed, f"offset {offset} is visible to readers of {what} data and must not be"
        assert row == allowed[offset], f"offset {offset} holds {row} instead of {allowed[offset]}"


def _check_compacted(
    actual: Mapping[Offset, Row], committed: Mapping[Offset, Row], model: PartitionModel, now_ms: int
) -> None:
    """Only what a later record of its key replaces, or an old tombstone, may be gone."""
    newest = {row[0]: offset for offset, row in committed.items()}
    for offset, (key, value, timestamp_ms) in committed.items():
        if offset in actual or newest[key] > offset:
            continue
        assert value is None, f"the newest record of {key!r}, at {offset}, was compacted away"
        retention_ms = int(model.config["delete.retention.ms"])
        assert timestamp_ms <= now_ms - retention_ms, f"the tombstone at {offset} went too early"
    seen = {row[0]: offset for offset, row in actual.items()}
    for key, offset in seen.items():
        assert offset == newest[key], f"{key!r} reads as offset {offset}, but {newest[key]} replaced it"


def _check_deleted(log: PartitionLog, model: PartitionModel, now_ms: int) -> None:
    """The log start moved only past what retention lets go."""
    start = log.offsets.log_start
    if start > model.log_start:
        retention_ms = int(model.config.get("retention.ms", "-1"))
        retention_bytes = int(model.config.get("retention.bytes", "-1"))
        deletes = "delete" in model.config.get("cleanup.policy", "delete")
        for batch in model.batches:
            if not max(model.log_start, model.delete_requested) <= batch.base_offset < start:
                continue
            youngest_ms = max(batch.max_timestamp_ms, batch.appended_ms)
            is_old = retention_ms >= 0 and youngest_ms < now_ms - retention_ms
            is_beyond = 0 <= retention_bytes <= max(log.size_bytes, model.bytes_seen)
            is_expired = deletes and (is_old or is_beyond)
            assert is_expired, f"the batch at {batch.base_offset} was deleted too early"
        model.log_start = start
    model.bytes_seen = log.size_bytes
