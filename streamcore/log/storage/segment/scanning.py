"""Walks through the batches of a data file, in large reads, checking each one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from streamcore.errors import CorruptBatchError, UnsupportedVersionError, fact_text
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
    """A batch, its header, and where in the data file it stands."""

    position: int
    header: BatchHeader
    data: bytes


def scan_batches(
    file: File, position: int, end: int, *, check: bool = True, chunk_bytes: int = CHUNK_BYTES
) -> Iterator[StoredBatch]:
    """Yield the batches that stand in ``[position, end)`` of a data file.

    Args:
        file: the data file.
        position: where a batch starts.
        end: where the last batch ends.
        check: verify each batch's checksum.
        chunk_bytes: how much is read at a time; a larger batch is read as a whole.

    Raises:
        CorruptBatchError: what stands after the last batch yielded is not a whole, valid batch.
        UnsupportedVersionError: it is one, of a newer format.
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
                "a batch is cut off at the end of the file, " + fact_text(position=position)
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
            "no batch starts where one should, " + fact_text(position=position)
        ) from error
    except UnsupportedVersionError as error:
        # Rubbish may look like any version. It is one only if its checksum holds, which every
        # version since 2 has in the same place.
        length = int.from_bytes(chunk[start + 8 : start + LENGTH_END], "big")
        stop = start + LENGTH_END + length
        is_whole = stop <= len(chunk) and chunk[start + _MAGIC_AT] > MAGIC
        stored = int.from_bytes(chunk[start:][_CRC], "big")
        if is_whole and checksum(chunk, start, stop) == stored:
            raise
        raise CorruptBatchError(
            "no batch starts where one should, " + fact_text(position=position)
        ) from error


def _check(chunk: bytes, start: int, header: BatchHeader, position: int) -> None:
    try:
        check_batch(chunk, start, header)
    except CorruptBatchError as error:
        raise CorruptBatchError(
            "a stored batch is damaged, " + fact_text(position=position, base_offset=header.base_offset)
        ) from error
