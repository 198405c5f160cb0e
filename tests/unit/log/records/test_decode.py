"""Decoding of stored batches to columns of records."""

from __future__ import annotations

import pytest

from streamcore.errors import CorruptBatchError
from streamcore.log.records.batch import (
    HEADER_BYTES,
    check_batch,
    pack_batch,
    parse_header,
    patch_append_time,
    patch_offsets,
)
from streamcore.log.records.builder import BatchBuilder, encode_batch, encode_marker, rewrite_batch
from streamcore.log.records.decode import AbortedTransaction, batch_marker, batch_records, decode_columns
from streamcore.model import TopicPartition

SOURCE = TopicPartition("t", 0)


def placed(batch: bytearray, base_offset: int) -> bytes:
    patch_offsets(batch, base_offset, 0)
    return bytes(batch)


def plain(base_offset: int, *values: bytes) -> bytes:
    return placed(encode_batch([None] * len(values), list(values), [0] * len(values)), base_offset)


def transactional(base_offset: int, producer_id: int, value: bytes) -> bytes:
    batch = encode_batch(
        [None], [value], [0], producer_id=producer_id, producer_epoch=0, base_sequence=0, transactional=True
    )
    return placed(batch, base_offset)


def marker(base_offset: int, producer_id: int, *, commit: bool) -> bytes:
    return placed(encode_marker(producer_id, 0, commit, 1, 0), base_offset)


def test_columns_hold_what_was_encoded() -> None:
    headers = [(("h", b"1"), ("n", None)), ()]
    batch = encode_batch([b"a", None], [None, b"b"], [7, 5], headers)

    run = decode_columns(SOURCE, placed(batch, 10), 10)

    assert run.offsets == [10, 11]
    assert run.timestamps_ms == [7, 5]
    assert run.keys == [b"a", None]
    assert run.values == [None, b"b"]
    assert run.headers == headers
    assert run.next_offset == 12


def test_headers_are_none_when_no_record_has_any() -> None:
    assert decode_columns(SOURCE, plain(0, b"a"), 0).headers is None


def test_headers_that_begin_in_a_later_batch_leave_empty_ones_before() -> None:
    later = encode_batch([None], [b"b"], [0], [(("h", b"1"),)])

    run = decode_columns(SOURCE, plain(0, b"a") + placed(later, 1) + plain(2, b"c"), 0)

    assert run.headers == [(), (("h", b"1"),), ()]


def test_records_before_the_start_are_left_out() -> None:
    run = decode_columns(SOURCE, plain(0, b"a", b"b", b"c") + plain(3, b"d"), 2)

    assert run.offsets == [2, 3]
    assert run.values == [b"c", b"d"]


def test_the_logs_append_time_holds_for_all_records() -> None:
    batch = encode_batch([None] * 2, [b"a", b"b"], [1, 2])
    patch_append_time(batch, 50)

    assert decode_columns(SOURCE, bytes(batch), 0).timestamps_ms == [50, 50]


def test_aborted_records_and_markers_are_left_out_and_passed() -> None:
    data = (
        transactional(0, 1, b"aborted")
        + transactional(1, 2, b"committed")
        + marker(2, 1, commit=False)
        + transactional(3, 1, b"the next of the same producer")
        + marker(4, 2, commit=True)
        + marker(5, 1, commit=True)
    )

    run = decode_columns(SOURCE, data, 0, [AbortedTransaction(1, 0)])

    assert run.values == [b"committed", b"the next of the same producer"]
    assert run.next_offset == 6


def test_uncommitted_reading_leaves_out_only_markers() -> None:
    data = transactional(0, 1, b"aborted") + marker(1, 1, commit=False)

    run = decode_columns(SOURCE, data, 0)

    assert run.values == [b"aborted"]
    assert run.next_offset == 2


def test_offsets_with_gaps_are_kept() -> None:
    whole = plain(5, b"a", b"b", b"c")
    header = parse_header(whole)
    records = [record for record in batch_records(whole, 0, header) if record.value != b"b"]

    rewritten = rewrite_batch(header, records, compression=4)

    run = decode_columns(SOURCE, bytes(rewritten), 0)
    assert run.offsets == [5, 7]
    assert run.next_offset == 8


def test_a_rewritten_batch_keeps_times_although_its_base_is_a_horizon() -> None:
    whole = placed(encode_batch([b"k"] * 2, [None, b"v"], [1_000, 900]), 0)
    header = parse_header(whole)

    rewritten = rewrite_batch(
        header, batch_records(whole, 0, header), compression=0, delete_horizon_ms=10**12
    )

    assert parse_header(rewritten).delete_horizon_ms == 10**12
    assert decode_columns(SOURCE, bytes(rewritten), 0).timestamps_ms == [1_000, 900]


def test_a_batch_may_be_rewritten_to_nothing_and_keeps_its_place() -> None:
    whole = plain(3, b"a", b"b")

    rewritten = rewrite_batch(parse_header(whole), [], compression=0)

    run = decode_columns(SOURCE, bytes(rewritten), 0)
    assert len(run) == 0
    assert run.next_offset == 5


def test_a_marker_states_whether_it_commits_or_aborts() -> None:
    data = encode_marker(9, 3, True, 12, 77)
    header = parse_header(data)

    assert header.is_control
    assert header.is_transactional
    assert (header.producer_id, header.producer_epoch) == (9, 3)
    assert batch_marker(data, 0, header) == (True, 12)


def test_a_damaged_batch_is_never_returned() -> None:
    data = bytearray(plain(0, b"a" * 100))
    data[90] ^= 0xFF

    with pytest.raises(CorruptBatchError):
        decode_columns(SOURCE, bytes(data), 0)


@pytest.mark.parametrize("record_count", [1, 3])
def test_records_that_do_not_fill_their_batch_are_refused(record_count: int) -> None:
    batch = encode_batch([None] * 2, [b"a", b"b"], [5, 5])
    wrong = pack_batch(parse_header(batch)._replace(record_count=record_count), batch[HEADER_BYTES:])

    with pytest.raises(CorruptBatchError, match="do not decode"):
        decode_columns(SOURCE, bytes(wrong), 0)
    with pytest.raises(CorruptBatchError, match="do not decode"):
        batch_records(bytes(wrong), 0, parse_header(wrong))


def test_a_refused_record_leaves_the_builder_usable() -> None:
    builder = BatchBuilder()
    builder.append(1, b"k", b"v")
    with pytest.raises(TypeError):
        builder.append(2, b"k", "text")  # type: ignore[arg-type]
    builder.append(3, b"k", b"w")

    run = decode_columns(SOURCE, bytes(builder.build()), 0)

    assert run.values == [b"v", b"w"]
    assert run.timestamps_ms == [1, 3]


def test_records_without_a_time_have_none_after_decoding() -> None:
    run = decode_columns(SOURCE, bytes(encode_batch([None] * 2, [b"a", b"b"], [-1, -1])), 0)

    assert run.timestamps_ms == [-1, -1]


@pytest.mark.parametrize(
    "timestamps_ms", [[-1, 5], [5, -1], [-1, -1], [-1, 0, 7, -1], [0, -1], [-5, 5], [-5, -5]]
)
@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_records_with_and_without_a_time_share_a_batch(timestamps_ms: list[int], compression: str) -> None:
    values: list[bytes | None] = [b"%d" % index for index in range(len(timestamps_ms))]
    batch = bytes(encode_batch([None] * len(values), values, timestamps_ms, compression=compression))
    header = parse_header(batch)
    check_batch(batch, 0, header)
    assert header.record_count == header.last_offset_delta + 1 == len(values)
    assert header.max_timestamp_ms == max(timestamps_ms)
    run = decode_columns(SOURCE, batch, 0)
    assert (run.timestamps_ms, run.values, run.offsets) == (timestamps_ms, values, list(range(len(values))))
