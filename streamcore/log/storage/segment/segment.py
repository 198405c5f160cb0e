"""One data file of a partition and its indexes.

A segment is *active* while it is the last one and receives appends; then it is closed and only read, until
retention removes it or compaction replaces it.

Files (names in ``log_files``): the data file is consecutive record batches and nothing else. Its indexes are
caches of the data file. The transaction index is a cache, too, but rebuilding it needs the state of the
producers before the segment, so it is made durable before any data after the segment is.

Invariants:

* ``[base_offset, end_offset)`` holds the offsets of all its batches; they ascend strictly.
* ``size_bytes`` is the end of a complete batch. A failed append is cut off again.
* While any byte is unsynced the segment owns its open file; a closed, synced segment is read
  through the shared ``OpenFiles``.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from streamcore.errors import (
    CorruptBatchError,
    CorruptDataError,
    CorruptIndexError,
    StorageError,
    with_facts,
)
from streamcore.log.records.batch import (
    HEADER_BYTES,
    LENGTH_END,
    NO_TIMESTAMP,
    BatchHeader,
    Bytes,
    parse_header,
    whole_batches,
)
from streamcore.log.storage.files import File, FileSystem, read_whole, write_whole
from streamcore.log.storage.segment.log_files import INDEX_KINDS, FileKind, file_path
from streamcore.log.storage.segment.offset_index import OffsetIndex
from streamcore.log.storage.segment.open_files import OpenFiles
from streamcore.log.storage.segment.scanning import CHUNK_BYTES, StoredBatch, scan_batches
from streamcore.log.storage.segment.time_index import TimeIndex
from streamcore.log.storage.segment.transaction_index import AbortedEntry, decode_entries, encode_entries
from streamcore.model import Offset, TimestampMs

_OFFSET_FIELDS = struct.Struct(">qi11xi")
"""Base offset, batch length and last offset delta: the header fields needed to find an offset."""

_LOOKUP_CHUNK_BYTES = 16 * 1024


class StoredRange(NamedTuple):
    """Bytes of a data file: consecutive complete batches."""

    position: int
    size_bytes: int
    end_offset: Offset
    """No offset in the batches is after this one; not always the first offset that is not in them."""


class Segment:
    """A data file with its indexes. One owner; not for sharing between threads."""

    def __init__(
        self,
        directory: Path,
        base_offset: Offset,
        *,
        file_system: FileSystem,
        open_files: OpenFiles,
        end_offset: Offset,
        size_bytes: int,
    ) -> None:
        self.base_offset = base_offset
        self.end_offset = end_offset
        self.size_bytes = size_bytes
        self.is_damaged = False
        self.last_append_ms: TimestampMs = NO_TIMESTAMP
        """The time of the last append, by the broker's clock; -1 until ``AppendTimes`` has looked it up."""
        self.data_path = file_path(directory, base_offset, FileKind.DATA)
        self._directory = directory
        self._file_system = file_system
        self._open_files = open_files
        self._file: File | None = None
        self._offset_index: OffsetIndex | None = None
        self._time_index: TimeIndex | None = None
        self._aborted: list[AbortedEntry] | None = None
        self._max_timestamp_ms: TimestampMs | None = None
        self._max_timestamp_offset = base_offset
        self._first_timestamp_ms: TimestampMs | None = None
        self._bytes_since_entry = 0
        # The end of the last read: the next read of the same reader starts there.
        self._read_on: tuple[Offset, int] = (base_offset, 0)

    @classmethod
    def create(
        cls, directory: Path, base_offset: Offset, *, file_system: FileSystem, open_files: OpenFiles
    ) -> Segment:
        """Create an empty segment. Its name is durable once the folder is synced."""
        segment = cls(
            directory,
            base_offset,
            file_system=file_system,
            open_files=open_files,
            end_offset=base_offset,
            size_bytes=0,
        )
        segment._file = file_system.open(segment.data_path, create=True)
        # A file that exists already is left from a roll that failed after this step.
        segment._file.truncate(0)
        segment._start_indexes()
        return segment

    # Writing

    def append(
        self, batches: Sequence[Bytes], headers: Sequence[BatchHeader], index_interval_bytes: int
    ) -> None:
        """Write batches at the end, in one piece; ``headers`` have their final offsets and times.

        Raises:
            StorageError: the file system refused. The segment is unchanged, unless ``is_damaged`` says that
            it could not be restored.
        """
        file = self.file_to_write()
        try:
            file.append(batches)
        except StorageError:
            self.is_damaged = True
            file.truncate(self.size_bytes)
            self.is_damaged = False
            raise
        for header in headers:
            self.note(header, index_interval_bytes)

    def note(self, header: BatchHeader, index_interval_bytes: int) -> None:
        """Count a batch at ``size_bytes`` of the data file as part of the segment."""
        last_offset = header.base_offset + header.last_offset_delta
        size_bytes = header.batch_length + LENGTH_END
        if self.size_bytes == 0:
            self._first_timestamp_ms = header.max_timestamp_ms
        if header.max_timestamp_ms > self.max_timestamp_ms:
            self._max_timestamp_ms = header.max_timestamp_ms
            self._max_timestamp_offset = last_offset
        if self._bytes_since_entry > index_interval_bytes:
            offset_index, time_index = self._indexes()
            offset_index.append(last_offset, self.size_bytes)
            time_index.maybe_append(self.max_timestamp_ms, self._max_timestamp_offset)
            self._bytes_since_entry = 0
        self._bytes_since_entry += size_bytes
        self.size_bytes += size_bytes
        self.end_offset = last_offset + 1

    def note_aborted(self, entry: AbortedEntry) -> None:
        """Record an aborted transaction whose marker is in this segment."""
        self.aborted().append(entry)

    def file_to_write(self) -> File:
        """Return the data file, which the segment owns until ``release_file``."""
        if self._file is None:
            self._open_files.forget(self.data_path)
            self._file = self._file_system.open(self.data_path)
        return self._file

    def release_file(self) -> None:
        """Release the open file; all its bytes are synced or will not be needed."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def encoded_indexes(self) -> dict[FileKind, bytes]:
        """Return the content of the index files; an empty transaction index only if it replaces a file."""
        offset_index, time_index = self._indexes()
        time_index.maybe_append(self.max_timestamp_ms, self._max_timestamp_offset)
        contents = {FileKind.OFFSET_INDEX: offset_index.encode(), FileKind.TIME_INDEX: time_index.encode()}
        aborted = encode_entries(self.aborted())
        if aborted or self._file_system.exists(self._path(FileKind.TRANSACTION_INDEX)):
            contents[FileKind.TRANSACTION_INDEX] = aborted
        return contents

    def write_indexes(self) -> list[File]:
        """Write the index files; return them open, for the caller to sync and close."""
        files: list[File] = []
        try:
            for kind, content in self.encoded_indexes().items():
                files.append(self._file_system.open(self._path(kind), create=True))
                files[-1].truncate(0)
                files[-1].append([content])
        except StorageError:
            for file in files:
                file.close()
            raise
        return files

    def index_entry_count(self) -> int:
        """The number of entries of the larger index."""
        offset_index, time_index = self._indexes()
        return max(len(offset_index), len(time_index))

    # Reading

    @property
    def max_timestamp_ms(self) -> TimestampMs:
        """The largest timestamp in the segment, -1 if it has no record."""
        if self._max_timestamp_ms is None:
            _, time_index = self._indexes()
            self._max_timestamp_ms = time_index.last_timestamp_ms()
            self._max_timestamp_offset = time_index.last_offset()
        return self._max_timestamp_ms

    def first_timestamp_ms(self) -> TimestampMs | None:
        """The largest timestamp of the first batch, from which the segment's age counts; ``None`` if
        empty.
        """
        if self._first_timestamp_ms is None and self.size_bytes:
            header = self._parse(self.file_to_read().read_at(0, HEADER_BYTES), 0)
            self._first_timestamp_ms = header.max_timestamp_ms
        return self._first_timestamp_ms

    def read(self, start: Offset, *, end: Offset, bytes_max: int) -> tuple[Bytes, Offset]:
        """Read complete batches that begin before ``end``, from the one that holds or follows ``start``.

        Returns:
            The batches, at least one if there is any, and the offset after the last of them.
        """
        position = self._position_of(start)
        if position >= self.size_bytes:
            return b"", start
        file = self.file_to_read()
        size = min(max(bytes_max, HEADER_BYTES), self.size_bytes - position)
        data = file.read_at(position, size)
        found = whole_batches(data, end)
        if found.end == 0:
            header = self._parse(data, position)
            if header.base_offset >= end:
                return b"", start
            data = file.read_at(position, header.size_bytes)
            found = whole_batches(data, end)
            if found.end == 0:
                raise self._damaged(position)
        next_offset = self._parse(data, position, found.last_position).end_offset
        self._read_on = (next_offset, position + found.end)
        # A view: the bytes that were read are not copied once more to leave out a batch cut off at their end.
        return (data if found.end == len(data) else memoryview(data)[: found.end]), next_offset

    def locate(self, start: Offset, *, end: Offset, bytes_max: int) -> StoredRange:
        """Return the range of the complete batches that begin before ``end``, from the one with or after
        ``start``.

        At least one batch, if there is any; otherwise as many as fit, counted in steps of the offset index.
        """
        position = self._position_of(start)
        limit = self.size_bytes if end >= self.end_offset else self._position_of(end)
        end = min(end, self.end_offset)
        if limit - position > bytes_max:
            limit, end = self._indexes()[0].last_entry_until(position + bytes_max)
            if limit <= position:
                header = self._parse(self.file_to_read().read_at(position, HEADER_BYTES), position)
                limit, end = position + header.size_bytes, header.end_offset
        return StoredRange(position, max(0, limit - position), end)

    def batches(
        self, *, start: Offset | None = None, check: bool = True, chunk_bytes: int = CHUNK_BYTES
    ) -> Iterator[StoredBatch]:
        """Yield the stored batches, from the one that holds or follows ``start``.

        The file is opened only for this iteration, so the segment may be read in parallel. ``chunk_bytes``
        are read at a time: pass the wanted number of bytes if it is less than the whole.

        Raises:
            CorruptDataError: a batch is damaged, or the file is missing; the message says what to do.
        """
        position = 0 if start is None else self._position_of(start)
        try:
            file = self._file_system.open(self.data_path)
        except FileNotFoundError as error:
            raise self._missing() from error
        try:
            yield from scan_batches(file, position, self.size_bytes, check=check, chunk_bytes=chunk_bytes)
        except CorruptBatchError as error:
            raise self._damaged(position) from error
        finally:
            file.close()

    def batches_from_time(self, timestamp_ms: TimestampMs) -> Iterator[StoredBatch]:
        """Yield the stored batches, from a batch before which no record has this time or a later one."""
        if self.max_timestamp_ms >= timestamp_ms:
            _, time_index = self._indexes()
            # The entry itself may be the wanted batch: its offset is inclusive.
            start = time_index.lookup(timestamp_ms - 1)
            yield from self.batches(start=start, chunk_bytes=_LOOKUP_CHUNK_BYTES)

    def aborted(self) -> list[AbortedEntry]:
        """Return the aborted transactions whose markers are in this segment."""
        if self._aborted is None:
            try:
                data = read_whole(self._file_system, self._path(FileKind.TRANSACTION_INDEX))
            except FileNotFoundError:
                data = b""
            self._aborted = decode_entries(data, base_offset=self.base_offset)
        return self._aborted

    def file_to_read(self) -> File:
        """Return the data file; it is valid until the next call.

        Raises:
            CorruptDataError: the file is missing.
        """
        if self._file is not None:
            return self._file
        try:
            return self._open_files.get(self.data_path)
        except FileNotFoundError as error:
            raise self._missing() from error

    def modified_ms(self) -> TimestampMs:
        """Return the time of the data file's last write.

        Raises:
            CorruptDataError: the file is missing.
        """
        try:
            return self._file_system.modified_ms(self.data_path)
        except FileNotFoundError as error:
            raise self._missing() from error

    def forget_indexes(self) -> None:
        """Free the memory of a closed segment's indexes; they are read again when needed."""
        self._offset_index = self._time_index = self._aborted = None

    # Opening, cutting, removing

    def load_end(self) -> None:
        """Find ``end_offset`` of a cleanly closed last segment, and prepare the segment for appends."""
        if not self.size_bytes:
            self._start_indexes()
            return
        offset_index, _ = self._indexes()
        position = offset_index.last_position()
        self._bytes_since_entry = 0
        file = self._file_system.open(self.data_path)
        try:
            for batch in scan_batches(file, position, self.size_bytes, check=False):
                self.end_offset = batch.header.end_offset
                if batch.position > position or not len(offset_index):
                    self._bytes_since_entry += batch.header.size_bytes
        finally:
            file.close()
        assert self.max_timestamp_ms >= NO_TIMESTAMP

    def start_over(self) -> None:
        """Clear all facts about the data file; the caller notes its batches again, one by one."""
        self.size_bytes = 0
        self.end_offset = self.base_offset
        self._start_indexes()

    def remove_data(self) -> None:
        """Remove the data file. Remove the indexes only when that is durable, see ``remove_indexes``.

        A data file without its transaction index would show aborted records.
        """
        self.release_file()
        self._open_files.forget(self.data_path)
        self._file_system.remove(self.data_path)

    def take_out_data(self, *, delay_ms: int) -> None:
        """As ``remove_data``, but the space is freed later, in any thread."""
        self.release_file()
        self._open_files.forget(self.data_path)
        self._open_files.removed.take_out(self.data_path, delay_ms=delay_ms)

    def remove_indexes(self) -> None:
        """Remove the existing index files."""
        for kind in INDEX_KINDS:
            if self._file_system.exists(self._path(kind)):
                self._file_system.remove(self._path(kind))

    def _path(self, kind: FileKind) -> Path:
        return file_path(self._directory, self.base_offset, kind)

    def _start_indexes(self) -> None:
        self._offset_index = OffsetIndex(self.base_offset)
        self._time_index = TimeIndex(self.base_offset)
        self._aborted = []
        self._max_timestamp_ms = NO_TIMESTAMP
        self._max_timestamp_offset = self.base_offset
        self._first_timestamp_ms = None
        self._bytes_since_entry = 0
        self._read_on = (self.base_offset, 0)

    def _indexes(self) -> tuple[OffsetIndex, TimeIndex]:
        if self._offset_index is None or self._time_index is None:
            try:
                offset_data = read_whole(self._file_system, self._path(FileKind.OFFSET_INDEX))
                time_data = read_whole(self._file_system, self._path(FileKind.TIME_INDEX))
                if self.size_bytes and not time_data:
                    raise CorruptIndexError(with_facts("a time index is empty", path=self.data_path))
                self._offset_index = OffsetIndex.decode(
                    self.base_offset, offset_data, data_file_bytes=self.size_bytes
                )
                self._time_index = TimeIndex.decode(self.base_offset, time_data)
            except (FileNotFoundError, CorruptIndexError):
                self._offset_index, self._time_index = self._rebuilt_indexes()
        return self._offset_index, self._time_index

    def _rebuilt_indexes(self) -> tuple[OffsetIndex, TimeIndex]:
        """Read the whole data file and write its indexes."""
        rebuilt = Segment(
            self._directory,
            self.base_offset,
            file_system=self._file_system,
            open_files=self._open_files,
            end_offset=self.base_offset,
            size_bytes=0,
        )
        rebuilt._start_indexes()
        for batch in self.batches():
            rebuilt.note(batch.header, _REBUILD_INTERVAL_BYTES)
        offset_index, time_index = rebuilt._indexes()
        time_index.maybe_append(rebuilt.max_timestamp_ms, rebuilt._max_timestamp_offset)
        write_whole(self._file_system, self._path(FileKind.OFFSET_INDEX), offset_index.encode())
        write_whole(self._file_system, self._path(FileKind.TIME_INDEX), time_index.encode())
        return offset_index, time_index

    def _position_of(self, offset: Offset) -> int:
        """Return the byte position of the batch that holds or follows ``offset``; the size if there is
        none.
        """
        read_on_offset, position = self._read_on
        if offset != read_on_offset:
            position = self._indexes()[0].lookup(offset)
        file = self.file_to_read()
        while position < self.size_bytes:
            prefix = file.read_at(position, _OFFSET_FIELDS.size)
            if len(prefix) < _OFFSET_FIELDS.size:
                raise self._damaged(position)
            base_offset, length, last_offset_delta = _OFFSET_FIELDS.unpack(prefix)
            if base_offset + last_offset_delta >= offset:
                break
            if length < HEADER_BYTES - LENGTH_END:
                raise self._damaged(position)
            position += LENGTH_END + length
        return position

    def _parse(self, data: bytes, position: int, at: int = 0) -> BatchHeader:
        try:
            return parse_header(data, at)
        except CorruptBatchError as error:
            raise self._damaged(position + at) from error

    def _missing(self) -> CorruptDataError:
        return CorruptDataError(
            with_facts("a data file of the log is missing: restore it from a copy", path=self.data_path)
        )

    def _damaged(self, position: int) -> CorruptDataError:
        return CorruptDataError(
            with_facts(
                "a data file of the log is damaged: restore it from a copy, or inspect it with "
                "`streamcore log verify`",
                path=self.data_path,
                position=position,
            )
        )


_REBUILD_INTERVAL_BYTES = 4096
