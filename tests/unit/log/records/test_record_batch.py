"""The header of a record batch."""

from __future__ import annotations

import pytest

from streamcore.errors import CorruptBatchError, UnsupportedVersionError
from streamcore.log.records.batch import (
    check_batch,
    iter_batches,
    parse_header,
    patch_append_time,
    patch_offsets,
    whole_batches,
)
from streamcore.log.records.builder import encode_batch


def batch_at(base_offset: int, count: int = 3) -> bytes:
    batch = encode_batch([b"k"] * count, [b"v"] * count, [5] * count)
    patch_offsets(batch, base_offset, 0)
    return bytes(batch)


def test_the_bytes_of_a_batch_are_kafkas() -> None:
    batch = encode_batch([b"k"], [b"v"], [1_000], producer_id=7, producer_epoch=2, base_sequence=3)

    assert bytes(batch).hex(" ") == (
        "00 00 00 00 00 00 00 00 00 00 00 3a ff ff ff ff 02 "
        + bytes(batch[17:21]).hex(" ")
        + " 00 00 00 00 00 00 00 00 00 00 00 00 03 e8 00 00 00 00 00 00 03 e8 "
        "00 00 00 00 00 00 00 07 00 02 00 00 00 03 00 00 00 01 "
        "10 00 00 00 02 6b 02 76 00"
    )


def test_offsets_are_patched_without_touching_the_checksum() -> None:
    batch = bytearray(batch_at(0))
    crc = parse_header(batch).crc

    patch_offsets(batch, 1_000_000_000_000, 7)

    header = parse_header(batch)
    assert (header.base_offset, header.leader_epoch, header.crc) == (1_000_000_000_000, 7, crc)
    assert (header.last_offset, header.end_offset) == (1_000_000_000_002, 1_000_000_000_003)
    check_batch(batch, 0, header)


def test_the_append_time_holds_and_the_checksum_is_right() -> None:
    batch = bytearray(batch_at(0))

    patch_append_time(batch, 99)

    header = parse_header(batch)
    assert header.has_append_time
    assert header.max_timestamp_ms == 99
    check_batch(batch, 0, header)


@pytest.mark.parametrize("size", [65_536 - 60, 65_536, 65_537, 131_072 + 21, 200_000])
def test_the_checksum_of_a_large_batch_is_that_of_the_codec(size: int) -> None:
    batch = bytes(encode_batch([None], [bytes(range(256)) * (size // 256) + b"." * (size % 256)], [5]))
    check_batch(b"before" + batch, 6, parse_header(batch))

    changed = bytearray(batch)
    changed[-2] ^= 1
    with pytest.raises(CorruptBatchError, match="checksum"):
        check_batch(changed, 0, parse_header(changed))


@pytest.mark.parametrize("position", [21, 30, 60, 61, 70])
def test_a_changed_byte_fails_the_checksum(position: int) -> None:
    batch = bytearray(batch_at(0))
    batch[position] ^= 1

    with pytest.raises(CorruptBatchError, match="checksum"):
        check_batch(batch, 0, parse_header(batch))


@pytest.mark.parametrize("size", [0, 11, 60])
def test_a_header_that_is_cut_off_is_refused(size: int) -> None:
    with pytest.raises(CorruptBatchError):
        parse_header(batch_at(0)[:size])


def test_zeros_are_no_batch() -> None:
    with pytest.raises(CorruptBatchError, match="length"):
        parse_header(bytes(100))


def test_another_version_is_refused_with_its_number() -> None:
    batch = bytearray(batch_at(0))
    batch[16] = 3

    with pytest.raises(UnsupportedVersionError, match="version=3"):
        parse_header(batch)


def test_a_batch_cut_off_at_the_end_is_left_out() -> None:
    data = batch_at(0) + batch_at(3) + batch_at(6)[:-1]

    assert [batch.header.base_offset for batch in iter_batches(data, check=True)] == [0, 3]


@pytest.mark.parametrize(("end_offset", "expected"), [(0, 0), (1, 1), (3, 1), (4, 2), (9, 3), (99, 3)])
def test_whole_batches_end_before_the_visible_end(end_offset: int, expected: int) -> None:
    one = len(batch_at(0))
    data = batch_at(0) + batch_at(3) + batch_at(6) + b"rest"

    found = whole_batches(data, end_offset)

    assert found.end == expected * one
    assert found.last_position == max(0, expected - 1) * one


def test_sequences_wrap_to_zero() -> None:
    batch = encode_batch(
        [None] * 3, [b"v"] * 3, [0] * 3, producer_id=1, producer_epoch=0, base_sequence=2**31 - 2
    )

    assert parse_header(batch).last_sequence == 0
