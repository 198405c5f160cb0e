"""Compression of a batch's records: gzip, snappy, lz4 and zstd, as Kafka's clients write them.

* snappy is written in xerial's framing, as by Kafka's Java client: a 16-byte header, then blocks, each after
  its length. Both this framing and the raw block that librdkafka writes are read.
* lz4 is the frame format with independent blocks; Kafka reads no other format.

The decompressed size is bounded: a small batch that claims to hold gigabytes is refused before it is
decompressed.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Final

import cramjam

from streamcore.errors import CorruptBatchError, InvalidConfigError, with_facts

NONE: Final = 0
GZIP: Final = 1
SNAPPY: Final = 2
LZ4: Final = 3
ZSTD: Final = 4

CODECS: Final[Mapping[str, int]] = {"none": NONE, "gzip": GZIP, "snappy": SNAPPY, "lz4": LZ4, "zstd": ZSTD}
"""The number of each codec in a batch's attributes, by the codec's name in settings."""

DECOMPRESSED_BYTES_MAX = 256 * 1024 * 1024

_XERIAL_MAGIC = b"\x82SNAPPY\x00"
_XERIAL_HEADER = _XERIAL_MAGIC + struct.pack(">ii", 1, 1)
_XERIAL_BLOCK_BYTES = 32 * 1024
_BLOCK_LENGTH = struct.Struct(">i")

_GZIP_LEVEL = 6
_LZ4_LEVEL = 1
_LZ4_LEVEL_OF_KAFKA = 9
_ZSTD_LEVEL = 3


def codec_number(name: str) -> int:
    """Return the number of a codec.

    Raises:
        InvalidConfigError: no codec has this name.
    """
    try:
        return CODECS[name]
    except KeyError as error:
        raise InvalidConfigError(
            with_facts(f"unknown compression, use one of {', '.join(CODECS)}", compression=name)
        ) from error


def compress(codec: int, data: bytes, level: int | None = None) -> bytes:
    """Compress a batch's records at Kafka's compression ``level``; ``None`` is the codec's default level."""
    match codec:
        case 1:
            return _compress_gzip(data, level)
        case 2:
            return _compress_snappy(data)
        case 3:
            return _compress_lz4(data, level)
        case 4:
            return _compress_zstd(data, level)
        case _:
            assert codec == NONE
            return data


def decompress(codec: int, data: bytes, *, bytes_max: int = DECOMPRESSED_BYTES_MAX) -> bytes:
    """Decompress a batch's records.

    Raises:
        CorruptBatchError: the records do not decompress, or would be larger than ``bytes_max``.
    """
    if codec == NONE:
        return data
    function = _DECOMPRESS.get(codec)
    if function is None:
        raise CorruptBatchError(with_facts("a batch has an unknown compression", codec=codec))
    try:
        return function(data, bytes_max)
    except (cramjam.DecompressionError, struct.error) as error:
        raise CorruptBatchError(
            with_facts("the records of a batch do not decompress", codec=codec, size_bytes=len(data))
        ) from error


def _compress_gzip(data: bytes, level: int | None) -> bytes:
    return bytes(cramjam.gzip.compress(data, level=_GZIP_LEVEL if level in (None, -1) else level))


def _compress_snappy(data: bytes) -> bytes:
    parts = [_XERIAL_HEADER]
    for start in range(0, len(data), _XERIAL_BLOCK_BYTES):
        block = bytes(cramjam.snappy.compress_raw(data[start : start + _XERIAL_BLOCK_BYTES]))
        parts.append(_BLOCK_LENGTH.pack(len(block)))
        parts.append(block)
    return b"".join(parts)


def _compress_lz4(data: bytes, level: int | None) -> bytes:
    # Kafka's default level 9 is the fast mode; any other number selects the high compression mode.
    chosen = _LZ4_LEVEL if level in (None, _LZ4_LEVEL_OF_KAFKA) else level
    compressor = cramjam.lz4.Compressor(level=chosen, content_checksum=False, block_linked=False)
    compressor.compress(data)
    return bytes(compressor.finish())


def _compress_zstd(data: bytes, level: int | None) -> bytes:
    return bytes(cramjam.zstd.compress(data, level=_ZSTD_LEVEL if level is None else level))


def _decompress_snappy(data: bytes, bytes_max: int) -> bytes:
    if not data.startswith(_XERIAL_MAGIC):
        return _decompress_block(data, bytes_max)
    parts: list[bytes] = []
    room = bytes_max
    position = len(_XERIAL_HEADER)
    while position < len(data):
        (length,) = _BLOCK_LENGTH.unpack_from(data, position)
        position += _BLOCK_LENGTH.size
        if length < 0 or position + length > len(data):
            raise CorruptBatchError(with_facts("a snappy block is cut off", position=position, length=length))
        parts.append(_decompress_block(data[position : position + length], room))
        room -= len(parts[-1])
        position += length
    return b"".join(parts)


def _decompress_block(block: bytes, bytes_max: int) -> bytes:
    if cramjam.snappy.decompress_raw_len(block) > bytes_max:
        raise _too_large(bytes_max)
    return bytes(cramjam.snappy.decompress_raw(block))


def _bounded(decompress_into: Callable[[bytes, bytearray], int]) -> Callable[[bytes, int], bytes]:
    """Decompress into a buffer that grows up to ``bytes_max``, because the size is not known before."""

    def decompress_bounded(data: bytes, bytes_max: int) -> bytes:
        size = min(bytes_max, max(64 * 1024, 6 * len(data)))
        while True:
            out = bytearray(size)
            try:
                written = decompress_into(data, out)
            except cramjam.DecompressionError as error:
                # The library has one error class; this text means that the buffer is too small.
                if "whole buffer" not in str(error):
                    raise
                if size == bytes_max:
                    raise _too_large(bytes_max) from error
                size = min(bytes_max, 4 * size)
                continue
            return bytes(memoryview(out)[:written])

    return decompress_bounded


def _too_large(bytes_max: int) -> CorruptBatchError:
    return CorruptBatchError(with_facts("the records of a batch would be too large", bytes_max=bytes_max))


_DECOMPRESS: Final[Mapping[int, Callable[[bytes, int], bytes]]] = {
    GZIP: _bounded(cramjam.gzip.decompress_into),
    SNAPPY: _decompress_snappy,
    LZ4: _bounded(cramjam.lz4.decompress_into),
    ZSTD: _bounded(cramjam.zstd.decompress_into),
}
