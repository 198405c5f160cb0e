"""Iteration over the batches of a data file, in large reads, with a check of each batch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from streamcore.errors import CorruptBatchError, UnsupportedVersionError, with_facts
from streamcore.log.records.batch import (
    HEADER_BYTES,
    LENGTH_END,
    MAGIC,
    BatchHeader,
    check_batch,
    checksum,
    parse_header,
)
from streamcore.log.storage.files import File

CHUNK_BYTES = 1024 * 1024
_MAGIC_AT = 16
_CRC = slice(17, 21)


class StoredBatch(NamedTuple):
    """A batch, its header, and its byte position in the data file."""

    position: int
    header: BatchHeader
    data: bytes


def scan_batches(
    file: File, position: int, end: int, *, check: bool = True, chunk_bytes: int = CHUNK_BYTES
) -> Iterator[StoredBatch]:
    """Yield the batches in ``[position, end)`` of a data file.

    Args:
        file: the data file.
        position: the byte position where a batch starts.
        end: the byte position where the last batch ends.
        check: verify each batch's checksum.
        chunk_bytes: the number of bytes to read at a time; a larger batch is read as a whole.

    Raises:
        CorruptBatchError: the bytes after the last yielded batch are not a complete, valid batch.
        UnsupportedVersionError: they are a batch of a newer format.
    """
    chunk = b""
    chunk_at = position
    while position < end:
        start = position - chunk_at
        if start + HEADER_BYTES > len(chunk):
            chunk, chunk_at, start = _read(file, position, end, chunk_bytes), position, 0
        header = _header(chunk, start, position)
        batch_end = start + header.size_bytes
        if batch_end > len(chunk):
            size = max(chunk_bytes, header.size_bytes)
            chunk, chunk_at, start = _read(file, position, end, size), position, 0
            batch_end = header.size_bytes
        if check:
            _check(chunk, start, header, position)
        elif batch_end > len(chunk):
            raise CorruptBatchError(
                with_facts("a batch is cut off at the end of the file", position=position)
            )
        yield StoredBatch(position, header, chunk[start:batch_end])
        position += header.size_bytes


def _read(file: File, position: int, end: int, size: int) -> bytes:
    return file.read_at(position, min(size, end - position))


def _header(chunk: bytes, start: int, position: int) -> BatchHeader:
    try:
        return parse_header(chunk, start)
    except CorruptBatchError as error:
        raise CorruptBatchError(
            with_facts("there is no batch at a position where one should start", position=position)
        ) from error
    except UnsupportedVersionError as error:
        # Random bytes may look like any version. They are one only if the checksum is right, which
        # every version since 2 has in the same place.
        length = int.from_bytes(chunk[start + 8 : start + LENGTH_END], "big")
        stop = start + LENGTH_END + length
        is_whole = stop <= len(chunk) and chunk[start + _MAGIC_AT] > MAGIC
        stored = int.from_bytes(chunk[start:][_CRC], "big")
        if is_whole and checksum(chunk, start, stop) == stored:
            raise
        raise CorruptBatchError(
            with_facts("there is no batch at a position where one should start", position=position)
        ) from error


def _check(chunk: bytes, start: int, header: BatchHeader, position: int) -> None:
    try:
        check_batch(chunk, start, header)
    except CorruptBatchError as error:
        raise CorruptBatchError(
            with_facts("a stored batch is damaged", position=position, base_offset=header.base_offset)
        ) from error
