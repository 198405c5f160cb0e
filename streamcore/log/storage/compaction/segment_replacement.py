"""Replacement of segments by a cleaned one, so that a crash leaves the old segments or the new one.

1. The new data file is written under a name ending in ``.cleaned``, its indexes under names ending in
   ``.swap``, and all are synced. Any thread may run this step.
2. The data file is renamed to ``.swap``. From here on the replacement is decided, and
   ``complete_replacements`` at the next opening would finish it.
3. The old segments except the first are removed, data files before indexes.
4. The first segment's offset and time index are removed, then the ``.swap`` files are renamed to its
   names: the transaction index, the data file, and last the other indexes, so that these never stand
   beside a data file that they do not fit. If a crash loses them, they are rebuilt when needed.

The directory is synced between the steps, so that no step reaches the disk before an earlier one.

The new segment lists the aborted transactions whose markers it holds: compaction keeps a marker one
round longer than its data, because a crash may bring back an earlier segment that still holds the data.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from streamcore.errors import CorruptBatchError, with_facts
from streamcore.log.records.batch import BatchHeader, Bytes
from streamcore.log.storage.files import File, FileSystem, write_whole
from streamcore.log.storage.segment.log_files import (
    CLEANED,
    INDEX_KINDS,
    SWAP,
    FileKind,
    file_path,
    parse_name,
)
from streamcore.log.storage.segment.open_files import OpenFiles
from streamcore.log.storage.segment.scanning import scan_batches
from streamcore.log.storage.segment.segment import Segment
from streamcore.log.storage.segment.transaction_index import AbortedEntry
from streamcore.model import Offset


class CleanedSegment:
    """The segment that compaction writes: batches keep their offsets, some batches are missing."""

    def __init__(
        self,
        directory: Path,
        base_offset: Offset,
        *,
        file_system: FileSystem,
        open_files: OpenFiles,
        index_interval_bytes: int,
    ) -> None:
        self.segment = Segment(
            directory,
            base_offset,
            file_system=file_system,
            open_files=open_files,
            end_offset=base_offset,
            size_bytes=0,
        )
        self.segment.start_over()
        self._index_interval_bytes = index_interval_bytes
        self._directory = directory
        self._file_system = file_system
        self._path = file_path(directory, base_offset, FileKind.DATA, CLEANED)
        self._file: File = file_system.open(self._path, create=True)
        self._file.truncate(0)

    @property
    def base_offset(self) -> Offset:
        """The offset at which the segment begins."""
        return self.segment.base_offset

    @property
    def end_offset(self) -> Offset:
        """The offset after the last one that was written."""
        return self.segment.end_offset

    def append(self, batch: Bytes, header: BatchHeader) -> None:
        """Write a batch with its present offsets; ``header`` is the header of the batch as written."""
        assert header.base_offset >= self.end_offset
        self._file.append([batch])
        self.segment.note(header, self._index_interval_bytes)

    def finish(self, aborted: Sequence[AbortedEntry]) -> None:
        """Write the indexes and make everything written durable (step 1).

        Args:
            aborted: the aborted transactions whose markers were written.
        """
        self._file.sync()
        self._file.close()
        for entry in aborted:
            self.segment.note_aborted(entry)
        for kind, content in self.segment.encoded_indexes().items():
            path = file_path(self._directory, self.base_offset, kind, SWAP)
            write_whole(self._file_system, path, content)
        self._file_system.sync_directory(self._directory)

    def decide(self) -> None:
        """Decide the replacement, which the next opening would then finish (step 2)."""
        swap_path = file_path(self._directory, self.base_offset, FileKind.DATA, SWAP)
        self._file_system.rename(self._path, swap_path)
        self._file_system.sync_directory(self._directory)

    def discard(self) -> None:
        """Give up the replacement and remove its files."""
        self._file.close()
        swap_paths = [file_path(self._directory, self.base_offset, kind, SWAP) for kind in INDEX_KINDS]
        for path in (self._path, *swap_paths):
            if self._file_system.exists(path):
                self._file_system.remove(path)


def replace_segments(
    directory: Path,
    cleaned: CleanedSegment,
    old: Sequence[Segment],
    *,
    file_system: FileSystem,
    delay_ms: int,
) -> Segment:
    """Run steps 3 and 4 of a decided replacement of ``old``; return the new segment.

    The old data files stay on the disk for ``delay_ms``, under names that the log does not read.
    """
    for segment in old[1:]:
        segment.take_out_data(delay_ms=delay_ms)
    file_system.sync_directory(directory)
    for segment in old[1:]:
        segment.remove_indexes()
    old[0].take_out_data(delay_ms=delay_ms)
    _rename_swap(file_system, directory, cleaned.base_offset)
    cleaned.segment.end_offset = old[-1].end_offset
    return cleaned.segment


def complete_replacements(file_system: FileSystem, directory: Path, names: Iterable[str]) -> bool:
    """Finish replacements that a crash interrupted, remove undecided ones; return whether there were any."""
    found = [(name, parsed) for name in names if (parsed := parse_name(name)) is not None]
    decided = {base for _, (base, kind, suffix) in found if suffix == SWAP and kind is FileKind.DATA}
    has_any = False
    for name, (base, _, suffix) in found:
        if suffix and not (suffix == SWAP and base in decided):
            file_system.remove(directory / name)
            has_any = True
    for base in sorted(decided):
        end_offset = _end_offset(file_system, file_path(directory, base, FileKind.DATA, SWAP), base)
        replaced = [
            other
            for _, (other, kind, suffix) in found
            if kind is FileKind.DATA and not suffix and base < other < end_offset
        ]
        for other in replaced:
            file_system.remove(file_path(directory, other, FileKind.DATA))
        file_system.sync_directory(directory)
        for other in replaced:
            _remove_indexes(file_system, directory, other)
        _rename_swap(file_system, directory, base)
        has_any = True
    return has_any


def _rename_swap(file_system: FileSystem, directory: Path, base_offset: Offset) -> None:
    # The offset and time index belong to the old data file: remove them before the new one takes its name.
    for kind in (FileKind.OFFSET_INDEX, FileKind.TIME_INDEX):
        path = file_path(directory, base_offset, kind)
        if file_system.exists(path):
            file_system.remove(path)
    file_system.sync_directory(directory)
    for kinds in (
        (FileKind.TRANSACTION_INDEX,),
        (FileKind.DATA,),
        (FileKind.OFFSET_INDEX, FileKind.TIME_INDEX),
    ):
        present = [
            kind for kind in kinds if file_system.exists(file_path(directory, base_offset, kind, SWAP))
        ]
        for kind in present:
            file_system.rename(
                file_path(directory, base_offset, kind, SWAP), file_path(directory, base_offset, kind)
            )
        if present:
            file_system.sync_directory(directory)


def _remove_indexes(file_system: FileSystem, directory: Path, base_offset: Offset) -> None:
    for kind in INDEX_KINDS:
        path = file_path(directory, base_offset, kind)
        if file_system.exists(path):
            file_system.remove(path)


def _end_offset(file_system: FileSystem, path: Path, base_offset: Offset) -> Offset:
    end_offset = base_offset
    file = file_system.open(path)
    try:
        for batch in scan_batches(file, 0, file.size()):
            end_offset = batch.header.end_offset
    except CorruptBatchError as error:
        # The file was synced before it got this name.
        raise CorruptBatchError(
            with_facts(
                "a replacement written by compaction is damaged: restore the file from a copy", path=path
            )
        ) from error
    finally:
        file.close()
    return end_offset
