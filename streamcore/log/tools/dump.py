"""Listing of the contents of a log's files: ``streamcore log dump``.

The module reads the files batch by batch with its own code: it opens no log, changes no file and takes no
lock. A log that is being written may look torn at its end.

``verification.py`` uses these functions to check the files.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from streamcore.errors import CorruptDataError, UnsupportedVersionError, UsageError, with_facts
from streamcore.log.records.batch import (
    APPEND_TIME_FLAG,
    BatchHeader,
    check_batch,
)
from streamcore.log.records.compression import CODECS
from streamcore.log.records.decode import Marker, batch_marker, batch_records
from streamcore.log.storage.files import File, FileSystem, PosixFile, PosixFileSystem, storage_errors
from streamcore.log.storage.segment.log_files import FileKind, parse_name
from streamcore.log.storage.segment.scanning import StoredBatch, scan_batches
from streamcore.model import Headers, Offset, TimestampMs

_CODEC_NAMES = {number: name for name, number in CODECS.items()}


class ReadOnlyFileSystem(PosixFileSystem):
    """The files of the operating system, opened for reading only, so that a read-only folder is enough."""

    def open(self, path: Path, *, create: bool = False) -> File:
        """Open a file for reading."""
        assert not create
        with storage_errors("open", path):
            return PosixFile(path, os.open(path, os.O_RDONLY | os.O_CLOEXEC))


class DumpedRecord(Struct, frozen=True):
    """One stored record."""

    offset: Offset
    timestamp_ms: TimestampMs
    key: bytes | None
    value: bytes | None
    headers: Headers


class DumpedBatch(Struct, frozen=True):
    """One stored batch; ``problem`` says why the batch could not be read completely."""

    file: Path
    position: int
    header: BatchHeader
    records: tuple[DumpedRecord, ...] = ()
    marker: Marker | None = None
    problem: str | None = None

    @property
    def compression(self) -> str:
        """The name of the batch's codec."""
        return _CODEC_NAMES.get(self.header.compression, f"codec {self.header.compression}")


class BrokenTail(Struct, frozen=True):
    """The end of a file from byte ``position`` on, which holds no complete batch."""

    position: int
    text: str


def dump(
    path: Path, *, with_records: bool = True, file_system: FileSystem | None = None
) -> Iterator[DumpedBatch]:
    """Yield the batches of a segment's data file, or of all segments below a folder, in order.

    Bytes that are no batch end the file, because no batch can be found after them.

    Raises:
        UsageError: there is no data file at or below ``path``.
    """
    files = file_system or ReadOnlyFileSystem()
    for segment in data_files(files, path):
        for found in stored_batches(files, segment):
            if isinstance(found, StoredBatch):
                yield _dumped(segment, found, with_records=with_records)


def data_files(file_system: FileSystem, path: Path) -> list[Path]:
    """Return the data file itself, or all data files below a folder, sorted by folder name, then by offset.

    Raises:
        UsageError: there is none.
    """
    found: list[Path] = []
    if file_system.is_directory(path):
        found = list(_data_files_below(file_system, path))
    elif file_system.exists(path) and _is_data_file(path.name):
        found = [path]
    if not found:
        raise UsageError(
            with_facts(
                "no data file of a log found: give a .log file, a partition's folder or the log's folder",
                path=path,
            )
        )
    return found


def _data_files_below(file_system: FileSystem, directory: Path) -> Iterator[Path]:
    for name in file_system.list_directory(directory):
        path = directory / name
        if file_system.is_directory(path):
            yield from _data_files_below(file_system, path)
        elif _is_data_file(name):
            yield path


def _is_data_file(name: str) -> bool:
    parsed = parse_name(name)
    return parsed is not None and parsed[1] is FileKind.DATA and not parsed[2]


def stored_batches(file_system: FileSystem, path: Path) -> Iterator[StoredBatch | BrokenTail]:
    """Yield each batch of a data file; then, if other bytes follow, one ``BrokenTail``."""
    file = file_system.open(path)
    position = 0
    try:
        for batch in scan_batches(file, 0, file.size(), check=False):
            yield batch
            position = batch.position + batch.header.size_bytes
    except (CorruptDataError, UnsupportedVersionError) as error:
        yield BrokenTail(position, str(error))
    finally:
        file.close()


def decoded_records(batch: StoredBatch) -> tuple[DumpedRecord, ...]:
    """Return the records of a batch whose checksum the caller has checked.

    Raises:
        CorruptBatchError: the records do not decode.
    """
    is_append_time = bool(batch.header.attributes & APPEND_TIME_FLAG)
    return tuple(
        DumpedRecord(
            record.offset,
            batch.header.max_timestamp_ms if is_append_time else record.timestamp,
            record.key,
            record.value,
            tuple(record.headers),
        )
        for record in batch_records(batch.data, 0, batch.header)
    )


def decoded_marker(batch: StoredBatch) -> Marker | None:
    """Return the marker in a control batch; ``None`` for records, and for a marker emptied by compaction.

    Raises:
        CorruptBatchError: the control batch is no marker.
    """
    if not batch.header.is_control or batch.header.record_count == 0:
        return None
    return batch_marker(batch.data, 0, batch.header)


def _dumped(file: Path, batch: StoredBatch, *, with_records: bool) -> DumpedBatch:
    try:
        check_batch(batch.data, 0, batch.header)
        marker = decoded_marker(batch)
        is_readable = with_records and not batch.header.is_control
        records = decoded_records(batch) if is_readable else ()
    except CorruptDataError as error:
        return DumpedBatch(file, batch.position, batch.header, problem=str(error))
    return DumpedBatch(file, batch.position, batch.header, records, marker)
