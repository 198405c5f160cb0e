"""The small files of the log: indexes, snapshots, checkpoints; bytes, limits and refusals."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamcore.errors import CorruptDataError, CorruptIndexError, UnsupportedVersionError
from streamcore.log.records.decode import AbortedTransaction
from streamcore.log.storage.checkpoints import RECOVERY_POINTS, LogCheckpoints, read_checkpoint
from streamcore.log.storage.files import write_whole
from streamcore.log.storage.producers.producer_snapshot import decode_snapshot, encode_snapshot
from streamcore.log.storage.producers.producer_states import NotedBatch, ProducerState
from streamcore.log.storage.segment.offset_index import OffsetIndex
from streamcore.log.storage.segment.time_index import TimeIndex
from streamcore.log.storage.segment.transaction_index import (
    AbortedEntry,
    decode_entries,
    encode_entries,
    overlapping,
)
from streamcore.model import TopicPartition
from streamcore.testing.sim_disk import SimDisk


def test_an_offset_index_finds_the_last_entry_at_or_before() -> None:
    index = OffsetIndex(100)
    index.append(109, 1000)
    index.append(119, 2000)

    assert [index.lookup(offset) for offset in (100, 108, 109, 118, 119, 500)] == [
        0,
        0,
        1000,
        1000,
        2000,
        2000,
    ]
    assert index.encode().hex() == "00000009000003e8" + "00000013000007d0"
    again = OffsetIndex.decode(100, index.encode(), data_file_bytes=2001)
    assert again.lookup(118) == 1000


def test_an_offset_index_that_cannot_be_is_refused() -> None:
    index = OffsetIndex(0)
    index.append(5, 100)
    index.append(9, 200)
    data = index.encode()

    for wrong in (data[:-1], data[8:] + data[:8], data + data):
        with pytest.raises(CorruptIndexError):
            OffsetIndex.decode(0, wrong, data_file_bytes=1000)
    with pytest.raises(CorruptIndexError, match="past its data file"):
        OffsetIndex.decode(0, data, data_file_bytes=200)


def test_a_time_index_gives_the_offset_up_to_which_no_record_is_later() -> None:
    index = TimeIndex(100)
    index.maybe_append(1_000, 105)
    index.maybe_append(1_000, 109)
    index.maybe_append(3_000, 120)

    assert [index.lookup(time_ms) for time_ms in (999, 1_000, 2_999, 3_000)] == [100, 105, 105, 120]
    assert (index.last_timestamp_ms(), index.last_offset()) == (3_000, 120)
    again = TimeIndex.decode(100, index.encode())
    assert again.encode() == index.encode()
    assert len(again) == 2
    with pytest.raises(CorruptIndexError):
        TimeIndex.decode(100, index.encode()[12:] + index.encode()[:12])


def test_a_reader_gets_the_aborted_transactions_that_overlap() -> None:
    entries = [AbortedEntry(1, 0, 10, 5), AbortedEntry(2, 5, 20, 21), AbortedEntry(3, 30, 40, 41)]

    assert overlapping([entries], start=0, end=6) == (AbortedTransaction(1, 0), AbortedTransaction(2, 5))
    assert overlapping([entries], start=11, end=21) == (AbortedTransaction(2, 5),)
    assert overlapping([entries], start=21, end=30) == ()
    assert decode_entries(encode_entries(entries), base_offset=0) == entries


def test_a_transaction_index_of_a_newer_version_is_refused() -> None:
    data = bytearray(encode_entries([AbortedEntry(1, 0, 10, 5)]))
    data[1] = 1

    with pytest.raises(UnsupportedVersionError, match="version=1"):
        decode_entries(bytes(data), base_offset=0)


def test_a_snapshot_holds_what_recognises_duplicates_and_open_transactions() -> None:
    state = ProducerState(7, epoch=3, coordinator_epoch=2, transaction_first_offset=40, last_seen_ms=99)
    state.batches += [NotedBatch(9, 9, 45, 45, -1), NotedBatch(10, 12, 50, 52, -1)]

    (again,) = decode_snapshot(encode_snapshot([state]), offset=0)

    assert again == state


def test_a_damaged_snapshot_and_a_newer_one_raise_different_errors() -> None:
    data = bytearray(encode_snapshot([ProducerState(7, epoch=3)]))

    for wrong in (b"", bytes(data[:-1]), bytes([*data[:-1], data[-1] ^ 1])):
        with pytest.raises(CorruptIndexError):
            decode_snapshot(wrong, offset=0)
    data[1] = 2
    with pytest.raises(UnsupportedVersionError, match="version=2"):
        decode_snapshot(bytes(data), offset=0)


def test_a_checkpoint_is_text_that_kafka_reads() -> None:
    disk = SimDisk()
    path = Path("/", RECOVERY_POINTS)
    offsets = {TopicPartition("b-x", 1): 7, TopicPartition("a", 0): 5}
    checkpoints = LogCheckpoints(disk, Path("/"))
    for target, offset in offsets.items():
        checkpoints.note(RECOVERY_POINTS, target, offset)

    checkpoints.write(RECOVERY_POINTS)

    assert disk.open(path).read_at(0, 100) == b"0\n2\nb-x 1 7\na 0 5\n"
    assert read_checkpoint(disk, path) == offsets
    assert read_checkpoint(disk, Path("/none")) == {}


@pytest.mark.parametrize(
    "data", [b"", b"0\n", b"0\n2\na 0 5\n", b"0\n1\na 0\n", b"0\n1\na x 5\n", b"\xff\n0\n"]
)
def test_a_damaged_checkpoint_is_refused(data: bytes) -> None:
    disk = SimDisk()
    write_whole(disk, Path("/c"), data)

    with pytest.raises(CorruptDataError, match="path=/c"):
        read_checkpoint(disk, Path("/c"))


def test_a_checkpoint_of_a_newer_version_is_refused() -> None:
    disk = SimDisk()
    write_whole(disk, Path("/c"), b"1\n0\n")

    with pytest.raises(UnsupportedVersionError, match="version=1"):
        read_checkpoint(disk, Path("/c"))
