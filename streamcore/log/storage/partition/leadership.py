"""The leader epoch of new batches, and the files that prevent a second use of an epoch.

After an unclean stop, records that a reader has seen may be missing: in relaxed mode all that were not
synced, and more if the disk did not keep what it reported as synced. The log cannot know which, so each
unclean start begins a new epoch for all partitions, and readers detect the loss by asking for the end of the
epoch that they know (``leader_epochs``, KIP-101).

An epoch must be on disk before the first batch is written in it: if a power cut took both, the next start
would give the same number to other records. One file in the log's folder holds the epoch for all partitions,
so that a start costs one sync, however many partitions there are.

File ``start-leader-epoch`` := version line (= 0) | epoch line                                         ASCII

The partitions' own files (``leader-epoch-checkpoint``, as Apache Kafka's) are written when a segment is
closed. That is enough, because an unclean start reads each batch of the segments after that.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

from streamcore.errors import (
    CorruptDataError,
    CorruptIndexError,
    UnsupportedVersionError,
    with_facts,
)
from streamcore.log.storage.files import FileSystem, read_whole, write_whole
from streamcore.log.storage.partition.leader_epochs import (
    EpochEnd,
    LeaderEpochs,
    decode_epochs,
    encode_epochs,
)
from streamcore.log.storage.sync_batch import SyncBatch
from streamcore.model import Offset

_log = logging.getLogger(__name__)

START_EPOCH_NAME: Final = "start-leader-epoch"
EPOCHS_NAME: Final = "leader-epoch-checkpoint"
_VERSION: Final = 0


class Leadership:
    """The epoch that this start of the log uses, for all of its partitions."""

    def __init__(self, epoch: int = 0) -> None:
        self.epoch = epoch

    def begin_next(self, highest: int, *, file_system: FileSystem, root: Path) -> None:
        """Begin an epoch above all earlier ones, of which ``highest`` is one; durable when it returns."""
        epoch = max(self.epoch, highest) + 1
        write_whole(file_system, root / START_EPOCH_NAME, f"{_VERSION}\n{epoch}\n".encode("ascii"))
        self.epoch = epoch


def read_leadership(file_system: FileSystem, root: Path) -> Leadership:
    """Return the epoch of the last unclean start; the first epoch if there was none.

    Raises:
        CorruptDataError: the file cannot be read.
        UnsupportedVersionError: a newer program wrote it.
    """
    path = root / START_EPOCH_NAME
    try:
        lines = read_whole(file_system, path).decode("ascii").split("\n")
    except FileNotFoundError:
        return Leadership()
    try:
        version, epoch, _ = (*map(int, lines[:2]), lines[2])
    except (ValueError, IndexError) as error:
        raise CorruptDataError(
            with_facts(
                "the leader epoch of the log cannot be read: restore the file from a copy, or write two "
                "lines into it: 0, and a number larger than any epoch that clients have seen",
                path=path,
            )
        ) from error
    if version != _VERSION:
        raise UnsupportedVersionError(
            with_facts(
                "the leader epoch of the log has a newer format than this program reads: upgrade the program",
                path=path,
                version=version,
            )
        )
    return Leadership(epoch)


class PartitionEpochs:
    """The epochs of one partition, its current epoch, and their file."""

    __slots__ = ("_directory", "_epochs", "_file_system", "_leadership")

    def __init__(
        self, epochs: LeaderEpochs, leadership: Leadership, file_system: FileSystem, directory: Path
    ) -> None:
        self._epochs = epochs
        self._leadership = leadership
        self._file_system = file_system
        self._directory = directory

    @property
    def current(self) -> int:
        """The epoch of new batches."""
        return max(self._epochs.highest, self._leadership.epoch)

    def note(self, epoch: int, offset: Offset) -> None:
        """Record the epoch of a written batch."""
        self._epochs.note(epoch, offset)

    def epoch_at(self, offset: Offset, log_end: Offset) -> int:
        """Return the epoch of the batch at an offset, or of the next batch at the log end."""
        return self._epochs.epoch_at(offset) if offset < log_end else self.current

    def end_of(self, epoch: int, log_end: Offset) -> EpochEnd:
        """Return the end of an epoch; see ``LeaderEpochs``."""
        return self._epochs.end_of(epoch, current=self.current, log_end=log_end)

    def cut_start(self, log_start: Offset) -> None:
        """Remove the epochs before a new log start."""
        self._epochs.cut_start(log_start)

    def save(self) -> None:
        """Write the file if its content has changed; durable when it returns."""
        if self._epochs.is_changed:
            write_whole(self._file_system, self._directory / EPOCHS_NAME, encode_epochs(self._epochs))
            self._epochs.is_changed = False

    def save_with(self, syncs: SyncBatch) -> None:
        """As ``save``, but durable once the batch has run; the caller adds the partition's folder to the
        batch.
        """
        if self._epochs.is_changed:
            syncs.add_whole(self._directory / EPOCHS_NAME, encode_epochs(self._epochs))
            self._epochs.is_changed = False


def read_epochs(file_system: FileSystem, directory: Path) -> LeaderEpochs | None:
    """Return the epochs in a partition's file; ``None`` if there is no file, or it is damaged."""
    path = directory / EPOCHS_NAME
    try:
        return decode_epochs(read_whole(file_system, path), path)
    except FileNotFoundError:
        return None
    except CorruptIndexError as error:
        _log.warning("the leader epochs of a partition are read from its batches: %s", error)
        return None
