"""Compression of records."""

from __future__ import annotations

import gzip

import cramjam
import pytest

from streamcore.errors import CorruptBatchError, InvalidConfigError
from streamcore.log.records.compression import (
    CODECS,
    GZIP,
    LZ4,
    SNAPPY,
    ZSTD,
    codec_number,
    compress,
    decompress,
)

DATA = b"some text that repeats, " * 10_000


@pytest.mark.parametrize("codec", sorted(CODECS.values()))
@pytest.mark.parametrize("data", [b"", b"x", DATA], ids=["empty", "short", "long"])
def test_compressed_data_decompresses_to_the_same(codec: int, data: bytes) -> None:
    assert decompress(codec, compress(codec, data)) == data


@pytest.mark.parametrize("codec", [GZIP, SNAPPY, LZ4, ZSTD])
def test_more_than_the_bound_is_refused(codec: int) -> None:
    data = compress(codec, DATA)

    assert decompress(codec, data, bytes_max=len(DATA)) == DATA
    with pytest.raises(CorruptBatchError, match="too large"):
        decompress(codec, data, bytes_max=len(DATA) - 1)


@pytest.mark.parametrize("codec", [GZIP, SNAPPY, LZ4, ZSTD])
def test_damaged_data_is_refused(codec: int) -> None:
    data = compress(codec, DATA)

    with pytest.raises(CorruptBatchError):
        decompress(codec, data[: len(data) // 2])


def test_a_high_ratio_grows_the_buffer_as_far_as_needed() -> None:
    data = bytes(20_000_000)

    for codec in (GZIP, LZ4, ZSTD):
        assert decompress(codec, compress(codec, data)) == data


def test_snappy_is_written_in_javas_framing_and_read_raw_too() -> None:
    assert compress(SNAPPY, b"abc")[:16] == b"\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01"
    assert decompress(SNAPPY, bytes(cramjam.snappy.compress_raw(DATA))) == DATA


def test_lz4_frames_have_independent_blocks() -> None:
    magic, flags = compress(LZ4, DATA)[:4], compress(LZ4, DATA)[4]

    assert magic == b"\x04\x22\x4d\x18"
    assert flags & 0x20


def test_gzip_of_several_members_is_read_whole() -> None:
    assert decompress(GZIP, gzip.compress(b"one ") + gzip.compress(b"two")) == b"one two"


def test_unknown_codecs_are_refused() -> None:
    with pytest.raises(InvalidConfigError, match="gzip"):
        codec_number("brotli")
    with pytest.raises(CorruptBatchError, match="unknown compression"):
        decompress(6, b"x")
