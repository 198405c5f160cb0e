"""Small text files that hold an offset for each partition, in Apache Kafka's format.

File := version line (= 0) | count line | line*        line := topic SP partition SP offset

The log has three of them in its root folder:

* ``recovery-point-offset-checkpoint``: everything before the offset was synced when it was written; bad
  bytes before it are corruption, bad bytes after it are a torn tail.
* ``log-start-offset-checkpoint``: the log start after retention and DeleteRecords.
* ``cleaner-offset-checkpoint``: the offset up to which compaction has cleaned.

Each is replaced in one step. A file with another version is refused.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable
from pathlib import Path

from streamcore.errors import CorruptDataError, UnsupportedVersionError, with_facts
from streamcore.log.storage.files import FileSystem, read_whole, write_whole
from streamcore.model import Offset, TopicPartition

RECOVERY_POINTS = "recovery-point-offset-checkpoint"
LOG_STARTS = "log-start-offset-checkpoint"
CLEANED_TO = "cleaner-offset-checkpoint"

CHECKPOINT_NAMES = (RECOVERY_POINTS, LOG_STARTS, CLEANED_TO)

_VERSION = 0


def read_checkpoint(file_system: FileSystem, path: Path) -> dict[TopicPartition, Offset]:
    """Return the offsets in a checkpoint file; empty if there is no file.

    Raises:
        CorruptDataError: the file is not a checkpoint.
        UnsupportedVersionError: a newer program wrote it.
    """
    try:
        data = read_whole(file_system, path)
    except FileNotFoundError:
        return {}
    rows = checkpoint_rows(data, path, columns=3)
    return {TopicPartition(topic, int(partition)): int(offset) for topic, partition, offset in rows}


def checkpoint_bytes(rows: Collection[str]) -> bytes:
    """Return the content of a checkpoint file with these rows; each row is fields separated by spaces."""
    return "".join((f"{_VERSION}\n{len(rows)}\n", *(f"{row}\n" for row in rows))).encode("ascii")


def checkpoint_rows(data: bytes, path: Path, *, columns: int) -> list[tuple[str, ...]]:
    """Return the rows of a checkpoint file's content; all columns but the first are whole numbers."""
    try:
        lines = data.decode("ascii").split("\n")
        version, count = int(lines[0]), int(lines[1])
        if version != _VERSION:
            raise UnsupportedVersionError(
                with_facts(
                    "a checkpoint file has a newer format than this program reads: upgrade the program",
                    path=path,
                    version=version,
                )
            )
        rows = [tuple(line.split(" ")) for line in lines[2 : 2 + count]]
        if len(rows) != count or any(len(row) != columns for row in rows):
            raise ValueError("rows are missing")
        for row in rows:
            for field in row[1:]:
                int(field)
    except (ValueError, IndexError) as error:
        raise CorruptDataError(
            with_facts(
                "a checkpoint file cannot be read: remove it, then the log is checked from its start",
                path=path,
            )
        ) from error
    return rows


class LogCheckpoints:
    """The three checkpoint files of one log, and the offset of each partition in them.

    Rows are kept in written form, because a file with many thousands of rows is written every few seconds.
    Writing, and the deletion of topics, runs outside the owner's lock: every method may be called from any
    thread, and notes are taken while a file is being written.
    """

    def __init__(self, file_system: FileSystem, root: Path) -> None:
        self._file_system = file_system
        self._root = root
        self._turn = threading.Lock()
        self._write_turns = {name: threading.Lock() for name in CHECKPOINT_NAMES}
        self._offsets = {name: read_checkpoint(file_system, root / name) for name in CHECKPOINT_NAMES}
        self._rows = {
            name: {partition: _row(partition, offset) for partition, offset in offsets.items()}
            for name, offsets in self._offsets.items()
        }
        self._unwritten: set[str] = set()

    def get(self, name: str, partition: TopicPartition) -> Offset:
        """Return a partition's offset in a checkpoint; 0 if it has none."""
        return self._offsets[name].get(partition, 0)

    def note(self, name: str, partition: TopicPartition, offset: Offset) -> None:
        """Change a partition's offset in a checkpoint, in memory."""
        if self._offsets[name].get(partition, 0) != offset:
            with self._turn:
                self._offsets[name][partition] = offset
                self._rows[name][partition] = _row(partition, offset)
                self._unwritten.add(name)

    def put(self, name: str, partition: TopicPartition, offset: Offset) -> None:
        """Change a partition's offset in a checkpoint, durably."""
        self.note(name, partition, offset)
        self.write(name)

    def forget(self, partitions: Iterable[TopicPartition]) -> None:
        """Remove partitions, in memory."""
        with self._turn:
            for partition in partitions:
                for name, offsets in self._offsets.items():
                    if offsets.pop(partition, None) is not None:
                        del self._rows[name][partition]
                        self._unwritten.add(name)

    def write(self, name: str) -> None:
        """Write one of the files, durably, unless its content is unchanged."""
        with self._write_turns[name]:
            with self._turn:
                if name not in self._unwritten:
                    return
                rows = list(self._rows[name].values())
                self._unwritten.remove(name)
            try:
                write_whole(self._file_system, self._root / name, checkpoint_bytes(rows))
            except BaseException:
                # The next call has to write, even if no offset changes in between.
                with self._turn:
                    self._unwritten.add(name)
                raise


def _row(partition: TopicPartition, offset: Offset) -> str:
    return f"{partition.topic} {partition.partition} {offset}"
