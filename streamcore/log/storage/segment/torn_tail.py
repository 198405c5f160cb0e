"""Copies of bytes that recovery cuts off a data file, if valid batches are among them.

A torn tail usually holds no valid bytes. Valid batches after the bad bytes are either writes that reached the
disk out of order before a power cut, and were never acknowledged, or the sign that a byte in the middle was
damaged. The log cannot distinguish the two, so it keeps the bytes in ``<data file>.<position>.cut`` for an
operator to inspect. The log itself never reads that file.
"""

from __future__ import annotations

from pathlib import Path

from streamcore.errors import CorruptDataError, UnsupportedVersionError
from streamcore.log.records.batch import HEADER_BYTES, LENGTH_END
from streamcore.log.storage.files import File, FileSystem
from streamcore.log.storage.segment.scanning import scan_batches

_CHUNK_BYTES = 1024 * 1024


def keep_if_valuable(
    file_system: FileSystem, data_path: Path, file: File, position: int, end: int
) -> Path | None:
    """Copy ``[position, end)`` of a data file if a valid batch follows the bad one at its start.

    Returns:
        The path of the copy, which is durable, or ``None`` if no valid batch follows.

    Raises:
        StorageError: there is no room for the copy; nothing is cut off then.
    """
    if not _has_valid_batch_after(file, position, end):
        return None
    path = data_path.with_name(f"{data_path.name}.{position}.cut")
    kept = file_system.open(path, create=True)
    try:
        kept.truncate(0)
        for start in range(position, end, _CHUNK_BYTES):
            kept.append([file.read_at(start, min(_CHUNK_BYTES, end - start))])
        kept.sync()
    finally:
        kept.close()
    file_system.sync_directory(data_path.parent)
    return path


def _has_valid_batch_after(file: File, position: int, end: int) -> bool:
    length = int.from_bytes(file.read_at(position + 8, LENGTH_END - 8), "big", signed=True)
    following = position + LENGTH_END + length
    if length < HEADER_BYTES - LENGTH_END or following >= end:
        return False
    try:
        return any(True for _ in scan_batches(file, following, end))
    except (CorruptDataError, UnsupportedVersionError):
        return False
