"""One partition: appending, syncing, reading, cutting."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from streamcore.errors import (
    CorruptBatchError,
    InvalidRecordError,
    InvalidTransactionStateError,
    OffsetOutOfRangeError,
    OutOfOrderSequenceError,
    ProducerFencedError,
    StorageError,
)
from streamcore.log.records.batch import parse_header
from streamcore.log.records.builder import encode_batch, encode_marker
from streamcore.log.storage.files import remove_tree
from streamcore.log.storage.partition.offset_lookup import FoundOffset, offset_for_time
from streamcore.model import Isolation
from tests.support.partition_fixture import NOW_MS, OnePartition


def test_a_log_start_that_could_not_be_written_is_written_at_the_next_try() -> None:
    one = OnePartition(segment_bytes="200")
    for value in (b"a", b"b", b"c"):
        one.append(value * 100)
        one.log.sync()
    one.disk.fail_sync(1)
    with pytest.raises(StorageError):
        one.log.delete_records_before(2)
    one.log.delete_records_before(2)

    one.crash()

    assert one.log.offsets.log_start == 2
    assert one.values() == [b"c" * 100]


def test_nothing_is_visible_before_it_is_synced() -> None:
    one = OnePartition()
    one.append(b"a")
    assert one.values() == []

    one.log.sync()

    assert one.values() == [b"a"]
    assert not one.log.has_unsynced
    assert one.log.begin_sync() is None


def test_a_sync_that_a_deletion_has_broken_off_is_not_tried_again() -> None:
    one = OnePartition(flush="relaxed", segment_bytes="200")
    one.append(b"a" * 100)
    one.append(b"b" * 100)
    ticket = one.log.begin_sync()
    assert ticket is not None

    remove_tree(one.disk, one.log.directory)
    with pytest.raises(StorageError, match="folder"):
        ticket.sync()
    one.log.leave()

    assert not one.log.has_unsynced


def test_relaxed_flushing_shows_records_at_once_and_syncs_them_all_the_same() -> None:
    one = OnePartition(flush="relaxed")
    one.append(b"a")

    assert one.values() == [b"a"]
    assert one.log.shows_unsynced

    one.log.sync()
    assert not one.log.shows_unsynced


def test_a_ticket_covers_what_was_appended_before_it_and_no_more() -> None:
    one = OnePartition()
    one.append(b"a")
    ticket = one.log.begin_sync()
    assert ticket is not None
    one.append(b"b")

    ticket.sync()
    one.log.complete_sync(ticket)

    assert one.values() == [b"a"]
    assert one.log.has_unsynced


def test_tickets_may_come_back_in_any_order() -> None:
    one = OnePartition(segment_bytes="200")
    tickets = []
    for value in (b"a", b"b", b"c"):
        one.append(value * 100)
        ticket = one.log.begin_sync()
        assert ticket is not None
        ticket.sync()
        tickets.append(ticket)

    for ticket in reversed(tickets):
        one.log.complete_sync(ticket)

    assert len(one.values()) == 3
    assert len(one.log.closed_segments) == 2


def test_a_failed_sync_is_the_end_of_the_partition() -> None:
    one = OnePartition()
    one.append(b"a")
    one.disk.fail_sync(1)
    ticket = one.log.begin_sync()
    assert ticket is not None
    with pytest.raises(StorageError):
        ticket.sync()
    one.disk.fail_sync(None)

    with pytest.raises(StorageError, match="given up"):
        one.log.complete_sync(ticket)
    with pytest.raises(StorageError, match="given up"):
        one.append(b"b")
    with pytest.raises(StorageError, match="given up"):
        one.log.read(0, bytes_max=1, isolation=Isolation.READ_UNCOMMITTED)


def test_a_full_disk_refuses_a_batch_and_leaves_the_log_usable() -> None:
    one = OnePartition()
    one.append(b"a")
    one.disk.fill_after(30)
    with pytest.raises(StorageError, match="space"):
        one.append(b"b" * 100)
    one.disk.fill_after(None)

    one.append(b"c")
    one.log.sync()

    assert one.values() == [b"a", b"c"]
    one.reopen()
    assert one.values() == [b"a", b"c"]


def test_at_least_one_batch_is_returned_and_never_more_than_asked_beyond_it() -> None:
    one = OnePartition()
    for _ in range(5):
        one.append(b"x" * 100)
    one.log.sync()
    size = one.log.size_bytes // 5

    def read_bytes(bytes_max: int) -> int:
        return len(one.log.read(0, bytes_max=bytes_max, isolation=Isolation.READ_UNCOMMITTED).data)

    assert [read_bytes(n) // size for n in (1, size, 2 * size - 1, 2 * size, 100 * size)] == [1, 1, 1, 2, 5]


def test_a_read_from_inside_a_batch_returns_the_whole_batch() -> None:
    one = OnePartition()
    one.append(b"a", b"b", b"c")
    one.log.sync()

    result = one.log.read(1, bytes_max=1, isolation=Isolation.READ_COMMITTED)

    assert parse_header(result.data).base_offset == 0
    assert result.next_offset == 3


def test_offsets_outside_the_log_are_refused() -> None:
    one = OnePartition(segment_bytes="200")
    for value in (b"a", b"b", b"c"):
        one.append(value * 100)
    one.log.sync()
    one.log.delete_records_before(2)

    with pytest.raises(OffsetOutOfRangeError, match="log_start=2"):
        one.log.read(1, bytes_max=1, isolation=Isolation.READ_COMMITTED)
    with pytest.raises(OffsetOutOfRangeError, match="log_end=3"):
        one.log.read(4, bytes_max=1, isolation=Isolation.READ_COMMITTED)
    assert one.log.read(3, bytes_max=1, isolation=Isolation.READ_COMMITTED).data == b""


def test_segments_are_rolled_by_size_and_read_as_one_log() -> None:
    one = OnePartition(segment_bytes="400", index_interval_bytes="0")
    values = [b"%03d" % number * 20 for number in range(30)]
    for value in values:
        one.append(value)
    one.log.sync()

    assert len(one.log.closed_segments) > 5
    assert one.values() == values
    assert one.values(bytes_max=10_000) == values
    one.log.release_memory()
    assert one.values() == values


def test_segments_are_rolled_by_the_span_of_the_records_own_times() -> None:
    one = OnePartition(segment_ms="1000")

    for age_ms in (5000, 4500, 4000, 3999, 100):
        one.append(b"x", time_ms=NOW_MS - age_ms)

    assert [segment.base_offset for segment in one.log._segments] == [0, 3, 4]


def test_a_batch_sent_again_is_not_written_again() -> None:
    one = OnePartition()
    for number in range(7):
        one.append(b"x", b"y", producer_id=5, sequence=2 * number)

    again = one.append(b"x", b"y", producer_id=5, sequence=2 * 3)

    assert again.is_duplicate
    assert (again.base_offset, again.last_offset) == (6, 7)
    assert one.log.offsets.log_end == 14


def test_gaps_old_epochs_and_forgotten_batches_of_a_producer_are_refused() -> None:
    one = OnePartition()
    for number in range(7):
        one.append(b"x", producer_id=5, epoch=1, sequence=number)

    with pytest.raises(OutOfOrderSequenceError):
        one.append(b"x", producer_id=5, epoch=1, sequence=8)
    with pytest.raises(OutOfOrderSequenceError):
        one.append(b"x", producer_id=5, epoch=1, sequence=0)
    with pytest.raises(ProducerFencedError):
        one.append(b"x", producer_id=5, epoch=0, sequence=7)
    with pytest.raises(OutOfOrderSequenceError):
        one.append(b"x", producer_id=5, epoch=2, sequence=7)
    assert one.append(b"x", producer_id=5, epoch=2, sequence=0).base_offset == 7


def test_duplicates_are_recognised_after_a_clean_stop_and_after_a_crash() -> None:
    one = OnePartition(segment_bytes="300")
    for number in range(10):
        one.append(b"x" * 50, producer_id=5, sequence=number)
    one.log.sync()

    one.reopen()
    assert one.append(b"x" * 50, producer_id=5, sequence=9).is_duplicate
    one.crash()
    assert one.append(b"x" * 50, producer_id=5, sequence=9).is_duplicate
    assert one.append(b"x" * 50, producer_id=5, sequence=10).base_offset == 10


@pytest.mark.parametrize("end", [OnePartition.reopen, OnePartition.crash])
def test_every_batch_that_may_have_been_in_flight_is_recognised_after_a_stop(
    end: Callable[[OnePartition], None],
) -> None:
    one = OnePartition(segment_bytes="300")
    for number in range(10):
        one.append(b"x" * 50, producer_id=5, sequence=number)
    one.log.sync()

    end(one)

    for number in range(5, 10):
        again = one.append(b"x" * 50, producer_id=5, sequence=number)
        assert again.is_duplicate
        assert again.base_offset == number


def test_producers_are_forgotten_after_a_while_but_not_in_a_transaction() -> None:
    one = OnePartition()
    one.append(b"x", producer_id=5)
    one.append(b"x", producer_id=6, transactional=True)

    one.clock.advance(24 * 3600 * 1000)
    one.manager.maintain()

    assert list(one.log.producer_states) == [6]
    assert one.append(b"x", producer_id=5, sequence=77).base_offset == 2


def test_a_transaction_is_hidden_until_its_marker_is_durable() -> None:
    one = OnePartition()
    one.append(b"in", producer_id=5, transactional=True)
    one.append(b"after")
    one.log.sync()
    assert one.values() == []
    assert one.values(Isolation.READ_UNCOMMITTED) == [b"in", b"after"]

    one.end(5, commit=True)
    assert one.values() == []

    one.log.sync()
    assert one.values() == [b"in", b"after"]


@pytest.mark.parametrize("restart", ["stay", "reopen", "crash"])
def test_aborted_records_are_never_seen_by_committed_readers(restart: str) -> None:
    one = OnePartition(segment_bytes="300")
    for number in range(12):
        producer_id = 5 + number % 2
        one.append(b"%d" % number, producer_id=producer_id, sequence=number // 2, transactional=True)
        one.end(producer_id, commit=number % 3 == 0)
    one.log.sync()

    if restart != "stay":
        getattr(one, restart)()

    assert one.values() == [b"0", b"3", b"6", b"9"]
    assert one.values(bytes_max=10_000) == [b"0", b"3", b"6", b"9"]
    assert len(one.values(Isolation.READ_UNCOMMITTED)) == 12


def test_an_open_transaction_is_found_again_after_a_restart() -> None:
    one = OnePartition(segment_bytes="300")
    one.append(b"open", producer_id=5, transactional=True)
    for _ in range(10):
        one.append(b"x" * 100)
    one.log.sync()

    assert one.reopen().offsets.last_stable == 0
    assert one.crash().offsets.last_stable == 0
    one.end(5, commit=False)
    one.log.sync()
    assert one.values() == [b"x" * 100] * 10


def test_a_batch_outside_its_producers_open_transaction_is_refused() -> None:
    one = OnePartition()
    one.append(b"x", producer_id=5, transactional=True)

    with pytest.raises(InvalidTransactionStateError):
        one.append(b"y", producer_id=5, sequence=1)


def test_a_marker_may_be_repeated() -> None:
    one = OnePartition()
    one.append(b"x", producer_id=5, transactional=True)
    one.end(5, commit=True)
    one.end(5, commit=True)
    one.log.sync()

    assert one.values() == [b"x"]
    with pytest.raises(ProducerFencedError):
        one.log.append_marker(5, -1, True, 0, NOW_MS)


def test_batches_that_a_client_may_not_append_are_refused() -> None:
    one = OnePartition(max_message_bytes="200", cleanup_policy="compact")

    def refused(batch: bytes | bytearray, match: str) -> None:
        with pytest.raises(InvalidRecordError, match=match):
            one.log.append(bytearray(batch), now_ms=NOW_MS)

    refused(encode_marker(5, 0, True, 0, 0), "markers")
    refused(encode_batch([b"k"], [b"v" * 200], [NOW_MS]), "max_message_bytes=200")
    refused(encode_batch([b"k"], [b"v"], [NOW_MS + 3_600_001]), "future")
    refused(encode_batch([b"k", None], [b"v", b"v"], [NOW_MS] * 2), "record_index=1")
    refused(encode_batch([b"k"], [b"v"], [0], producer_id=1, producer_epoch=0), "sequence")
    damaged = encode_batch([b"k"], [b"v"], [NOW_MS])
    damaged[-2] ^= 1
    with pytest.raises(CorruptBatchError):
        one.log.append(damaged, now_ms=NOW_MS)
    with pytest.raises(CorruptBatchError, match="one complete batch"):
        one.log.append(encode_batch([b"k"], [b"v"], [NOW_MS]) * 2, now_ms=NOW_MS)
    assert one.log.offsets.log_end == 0


def test_a_topic_may_stamp_records_itself() -> None:
    one = OnePartition(message_timestamp_type="LogAppendTime")

    appended = one.append(b"x", time_ms=5)

    assert appended.log_append_time_ms == NOW_MS
    one.log.sync()
    assert offset_for_time(one.log, NOW_MS) == FoundOffset(0, NOW_MS, 0)
    assert offset_for_time(one.log, NOW_MS + 1) is None


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd", "uncompressed"])
def test_a_topic_may_ask_for_its_own_compression(codec: str) -> None:
    one = OnePartition(compression_type=codec)
    batch = encode_batch([b"k"] * 2, [b"v" * 500, b"w"], [NOW_MS] * 2, compression="gzip")
    one.log.append(batch, now_ms=NOW_MS)
    one.log.sync()

    assert one.values() == [b"v" * 500, b"w"]
    data = one.log.read(0, bytes_max=1, isolation=Isolation.READ_COMMITTED).data
    assert parse_header(data).compression == ["uncompressed", "gzip", "snappy", "lz4", "zstd"].index(codec)


def test_a_read_names_only_the_aborted_transactions_in_its_range() -> None:
    one = OnePartition(index_interval_bytes="0")
    for producer_id in range(20):
        one.append(b"x", producer_id=producer_id, transactional=True)
        one.end(producer_id, commit=False)
    one.log.sync()

    located = one.log.locate(10, bytes_max=400, isolation=Isolation.READ_COMMITTED)

    assert located.records is not None
    located.records.close()
    assert [each.first_offset for each in located.aborted] == [10, 12, 14]


def test_deleted_records_stay_deleted_and_whole_segments_go() -> None:
    one = OnePartition(segment_bytes="300")
    for number in range(20):
        one.append(b"%02d" % number * 30)
    one.log.sync()
    segment_count = len(one.log.closed_segments)

    one.log.delete_records_before(13)

    assert one.log.offsets.log_start == 13
    assert len(one.log.closed_segments) < segment_count
    assert one.crash().offsets.log_start == 13
    assert len(one.values()) == 7
    with pytest.raises(OffsetOutOfRangeError, match="high_watermark=20"):
        one.log.delete_records_before(21)


def test_retention_by_time_empties_a_log_and_never_reuses_offsets() -> None:
    one = OnePartition(retention_ms="1000")
    one.append(b"a")
    one.log.sync()
    one.clock.advance(1001)

    one.manager.maintain()

    assert one.values() == []
    offsets = one.crash().offsets
    assert (offsets.log_start, offsets.log_end) == (1, 1)
    assert one.append(b"b").base_offset == 1


def test_retention_by_size_keeps_at_least_that_much() -> None:
    one = OnePartition(segment_bytes="300", retention_bytes="1000")
    for _ in range(30):
        one.append(b"x" * 60)
    one.log.sync()

    one.manager.maintain()

    assert 1000 <= one.log.size_bytes < 1300
