"""A round of compaction over real segments, on a simulated disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamcore.clock import ManualClock
from streamcore.errors import StorageError
from streamcore.log.records.builder import encode_batch
from streamcore.log.records.decode import decode_columns
from streamcore.log.storage.compaction.compaction import Compaction, compact
from streamcore.log.storage.compaction.compaction_plan import NEWEST_OFFSET_BYTES
from streamcore.log.storage.files import read_whole
from streamcore.log.storage.partition.partition_log import PartitionLog
from streamcore.log.storage.segment.log_files import INDEX_KINDS, file_path
from streamcore.log.storage.segment.offset_index import OffsetIndex
from streamcore.log.storage.segment.time_index import TimeIndex
from streamcore.log.storage.settings import LogSettings
from streamcore.log.tools.verification import verify
from streamcore.model import Isolation, TopicPartition
from streamcore.testing.sim_disk import SimDisk
from tests.support.managed_log import ManagedLog

ROOT = Path("/data/log")
TARGET = TopicPartition("table", 0)
NOW_MS = 1_700_000_000_000
DAY_MS = 24 * 60 * 60 * 1000
ROOMY = 10**6
CONFIG = {
    "cleanup.policy": "compact",
    "segment.bytes": "1000",
    "min.cleanable.dirty.ratio": "0",
    "retention.ms": "-1",
}


@pytest.fixture
def disk() -> SimDisk:
    return SimDisk(1)


@pytest.fixture
def log(disk: SimDisk) -> PartitionLog:
    manager = ManagedLog.open(ROOT, file_system=disk, clock=ManualClock(NOW_MS), settings=LogSettings())
    manager.create_topic(TARGET.topic, 1, CONFIG)
    return manager.partition(TARGET)


def fill(log: PartitionLog, *, keys: int, rounds: int, producer_id: int = -1) -> None:
    """Write every key in every round, one batch a record."""
    for round_index in range(rounds):
        for key in range(keys):
            log.append(
                encode_batch(
                    [b"key%d" % key],
                    [b"round%d" % round_index],
                    [NOW_MS],
                    producer_id=producer_id,
                    producer_epoch=0 if producer_id >= 0 else -1,
                    base_sequence=round_index * keys + key if producer_id >= 0 else -1,
                ),
                now_ms=NOW_MS,
            )
    log.sync()


def rows(log: PartitionLog) -> list[tuple[int, bytes | None, bytes | None]]:
    found: list[tuple[int, bytes | None, bytes | None]] = []
    position = log.offsets.log_start
    while position < log.offsets.high_watermark:
        result = log.read(position, bytes_max=500, isolation=Isolation.READ_COMMITTED)
        run = decode_columns(log.topic_partition, result.data, position, result.aborted)
        found += zip(run.offsets, run.keys, run.values, strict=True)
        position = max(run.next_offset, result.next_offset)
    return found


def test_closed_segments_keep_the_newest_record_of_each_key_at_its_offset(log: PartitionLog) -> None:
    fill(log, keys=5, rounds=20)
    before = rows(log)
    closed_end = log.closed_segments[-1].end_offset

    assert compact(log, now_ms=NOW_MS, bytes_max=ROOMY)

    newest = {key: offset for offset, key, _ in before if offset < closed_end}
    assert rows(log) == [row for row in before if row[0] >= closed_end or newest[row[1]] == row[0]]
    assert log.cleaned_to == closed_end
    assert not compact(log, now_ms=NOW_MS, bytes_max=ROOMY)


def test_with_little_memory_a_round_cleans_a_part_and_the_next_continues(log: PartitionLog) -> None:
    fill(log, keys=6, rounds=20)
    wanted = {key: value for _, key, value in rows(log)}
    ends = [log.cleaned_to]

    while compact(log, now_ms=NOW_MS, bytes_max=4 * NEWEST_OFFSET_BYTES):
        ends.append(log.cleaned_to)
        assert {key: value for _, key, value in rows(log)} == wanted

    assert len(ends) > 3
    assert ends == sorted(set(ends))


def test_cleaned_segments_are_sound_and_survive_a_restart(disk: SimDisk, log: PartitionLog) -> None:
    fill(log, keys=5, rounds=20, producer_id=7)
    compact(log, now_ms=NOW_MS, bytes_max=ROOMY)
    kept = rows(log)

    disk.crash()
    manager = ManagedLog.open(ROOT, file_system=disk, clock=ManualClock(NOW_MS), settings=LogSettings())

    assert rows(manager.partition(TARGET)) == kept
    assert manager.partition(TARGET).producer_states[7].last_sequence == 99
    assert not [problem for problem in verify(ROOT, file_system=disk) if not problem.is_mended_at_start]


def test_a_cleaned_segment_has_its_indexes_before_it_is_read(disk: SimDisk) -> None:
    manager = ManagedLog.open(ROOT, file_system=disk, clock=ManualClock(NOW_MS), settings=LogSettings())
    config = CONFIG | {"segment.bytes": "9000", "index.interval.bytes": "300"}
    manager.create_topic(TARGET.topic, 1, config)
    log = manager.partition(TARGET)
    fill(log, keys=50, rounds=10)

    compact(log, now_ms=NOW_MS, bytes_max=ROOMY)

    cleaned = max(log.closed_segments, key=lambda segment: segment.size_bytes)
    paths = [file_path(log.directory, cleaned.base_offset, kind) for kind in INDEX_KINDS[:2]]
    offset_index = OffsetIndex.decode(
        cleaned.base_offset, read_whole(disk, paths[0]), data_file_bytes=cleaned.size_bytes
    )
    time_index = TimeIndex.decode(cleaned.base_offset, read_whole(disk, paths[1]))
    batches = {batch.header.last_offset: batch.position for batch in cleaned.batches()}
    assert len(offset_index) > 3
    assert all(offset_index.lookup(offset) <= position for offset, position in batches.items())
    assert offset_index.last_position() in batches.values()
    assert time_index.last_timestamp_ms() == NOW_MS
    assert not [problem for problem in verify(ROOT, file_system=disk) if not problem.is_mended_at_start]


def test_tombstones_go_after_their_time_and_the_key_stays_gone(log: PartitionLog) -> None:
    fill(log, keys=1, rounds=5)
    log.append(encode_batch([b"key0"], [None], [NOW_MS]), now_ms=NOW_MS)
    fill_others(log)
    compact(log, now_ms=NOW_MS, bytes_max=ROOMY)
    assert (5, b"key0", None) in rows(log)

    fill_others(log)
    compact(log, now_ms=NOW_MS + DAY_MS + 1, bytes_max=ROOMY)

    assert b"key0" not in {key for _, key, _ in rows(log)}


def fill_others(log: PartitionLog) -> None:
    for index in range(40):
        log.append(encode_batch([b"other"], [b"%d" % index], [NOW_MS]), now_ms=NOW_MS)
    log.sync()


def test_the_partition_is_used_while_a_round_runs(log: PartitionLog) -> None:
    fill(log, keys=5, rounds=20)
    round_ = Compaction.begin(log, now_ms=NOW_MS, bytes_max=ROOMY)
    assert round_ is not None
    log.append(encode_batch([b"key1"], [b"meanwhile"], [NOW_MS]), now_ms=NOW_MS)

    round_.run()
    log.sync()
    round_.complete()

    assert rows(log)[-1][1:] == (b"key1", b"meanwhile")


def test_records_deleted_during_a_round_stay_deleted(log: PartitionLog) -> None:
    fill(log, keys=5, rounds=40)
    round_ = Compaction.begin(log, now_ms=NOW_MS, bytes_max=ROOMY)
    assert round_ is not None
    round_.run()

    log.delete_records_before(log.closed_segments[-1].base_offset)
    log_start = log.offsets.log_start
    round_.complete()

    assert rows(log)[0][0] >= log_start
    assert log.offsets.log_start == log_start


def test_a_full_disk_ends_the_round_and_nothing_is_lost(disk: SimDisk, log: PartitionLog) -> None:
    fill(log, keys=30, rounds=5)
    before = rows(log)
    disk.fill_after(200)

    with pytest.raises(StorageError):
        compact(log, now_ms=NOW_MS, bytes_max=ROOMY)
    disk.fill_after(None)

    assert rows(log) == before
    assert not [name for name in disk.list_directory(ROOT / "table-0") if name.endswith(".cleaned")]
    assert compact(log, now_ms=NOW_MS, bytes_max=ROOMY)


def test_records_of_aborted_transactions_go_and_do_not_hide_older_ones(log: PartitionLog) -> None:
    log.append(encode_batch([b"a"], [b"good"], [NOW_MS]), now_ms=NOW_MS)
    for sequence, commit in enumerate((False, True)):
        log.append(
            encode_batch(
                [b"b" if commit else b"a"],
                [b"x"],
                [NOW_MS],
                producer_id=3,
                producer_epoch=0,
                base_sequence=sequence,
                transactional=True,
            ),
            now_ms=NOW_MS,
        )
        log.append_marker(3, 0, commit, 0, NOW_MS)
    for now_ms in (NOW_MS, NOW_MS + DAY_MS + 1, NOW_MS + 3 * DAY_MS, NOW_MS + 5 * DAY_MS):
        fill_others(log)
        compact(log, now_ms=now_ms, bytes_max=ROOMY)
        assert [row for row in rows(log) if row[1] != b"other"] == [(0, b"a", b"good"), (3, b"b", b"x")]
