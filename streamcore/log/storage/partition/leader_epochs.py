"""Where the leader epochs of a partition begin: by this a reader finds out that what it has read is gone.

Every batch is stamped with the leader epoch in which it was written. A new epoch begins where a start of the
log may have lost records that somebody has seen (``leadership``). A reader knows the epoch of what it read
last; if that epoch ends, by what is here, before the reader's position, then other records stand there now.

File := version line (= 0) | count line | (epoch SP start offset) line *        ASCII, as Apache Kafka's

Invariants: epochs and start offsets both grow strictly. An epoch without a batch has no entry, unless Apache
Kafka wrote the file.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

from streamcore.errors import CorruptIndexError, UnsupportedVersionError, fact_text
from streamcore.log.storage.segment.segment import Segment
from streamcore.model import Offset

NO_EPOCH: Final = -1
_VERSION: Final = 0


class EpochEnd(NamedTuple):
    """The last epoch up to the one asked for, and the offset at which the next one begins."""

    epoch: int
    end_offset: Offset


UNKNOWN_END: Final = EpochEnd(NO_EPOCH, -1)


class LeaderEpochs:
    """The epochs of one partition."""

    __slots__ = ("_epochs", "_starts", "highest", "is_changed")

    def __init__(self, starts: Iterable[tuple[int, Offset]] = ()) -> None:
        """``starts`` are epochs with their first offsets, in order."""
        self._epochs: list[int] = []
        self._starts: list[Offset] = []
        for epoch, start in starts:
            self._epochs.append(epoch)
            self._starts.append(start)
        self.highest = self._epochs[-1] if self._epochs else NO_EPOCH
        """The highest epoch that was ever noted, even if all of its records are gone."""
        self.is_changed = False
        """Whether there is more, or less, than was read."""

    @property
    def starts(self) -> list[tuple[int, Offset]]:
        """The epochs with their first offsets, in order."""
        return list(zip(self._epochs, self._starts, strict=True))

    def note(self, epoch: int, offset: Offset) -> None:
        """A batch of an epoch stands at this offset. Batches are noted in their order."""
        if epoch <= (self._epochs[-1] if self._epochs else NO_EPOCH):
            return
        self.cut_end(offset)
        self._epochs.append(epoch)
        self._starts.append(offset)
        self.highest = max(self.highest, epoch)
        self.is_changed = True

    def epoch_at(self, offset: Offset) -> int:
        """The epoch of the batch at an offset that is in the log; -1 if it is not known."""
        index = bisect_right(self._starts, offset)
        return self._epochs[index - 1] if index else NO_EPOCH

    def end_of(self, epoch: int, *, current: int, log_end: Offset) -> EpochEnd:
        """Where an epoch ends.

        An epoch without records ends where the next one begins. The answer for an epoch from before
        the first entry is that very epoch, and for one that is yet to come it is ``UNKNOWN_END``.

        Args:
            current: the epoch in which batches are written now; it ends at ``log_end``.
        """
        if epoch == current:
            return EpochEnd(current, log_end)
        if epoch == NO_EPOCH or epoch > current:
            return UNKNOWN_END
        index = bisect_right(self._epochs, epoch)
        end_offset = self._starts[index] if index < len(self._starts) else log_end
        return EpochEnd(self._epochs[index - 1] if index else epoch, end_offset)

    def cut_end(self, end: Offset) -> None:
        """Nothing stands at this offset or after it."""
        index = bisect_left(self._starts, end)
        if index < len(self._starts):
            del self._epochs[index:], self._starts[index:]
            self.is_changed = True

    def cut_start(self, log_start: Offset) -> None:
        """Nothing before this offset can be read any more; the epoch there begins with it now."""
        index = bisect_right(self._starts, log_start) - 1
        if index >= 0 and self._starts[index] < log_start:
            del self._epochs[:index], self._starts[:index]
            self._starts[0] = log_start
            self.is_changed = True


def encode_epochs(epochs: LeaderEpochs) -> bytes:
    """The bytes of the file."""
    starts = epochs.starts
    lines = [str(_VERSION), str(len(starts)), *(f"{epoch} {start}" for epoch, start in starts)]
    return "".join(f"{line}\n" for line in lines).encode("ascii")


def decode_epochs(data: bytes, path: Path) -> LeaderEpochs:
    """Read the file.

    Raises:
        CorruptIndexError: it is damaged; the batches say the same.
        UnsupportedVersionError: a newer program wrote it.
    """
    try:
        version, count, *rows, end = data.decode("ascii").split("\n")
        if int(version) != _VERSION:
            raise UnsupportedVersionError(
                "the leader epochs of a partition have a newer format than this program reads: upgrade the "
                "program, " + fact_text(path=path, version=version)
            )
        starts = [(int(epoch), int(start)) for epoch, start in (row.split(" ") for row in rows)]
        if end or len(starts) != int(count):
            raise ValueError("rows are missing")
        if any(later[0] <= epoch or later[1] <= start for (epoch, start), later in pairwise(starts)):
            raise ValueError("rows are not in order")
    except ValueError as error:
        raise CorruptIndexError(
            "the leader epochs of a partition cannot be read, " + fact_text(path=path)
        ) from error
    return LeaderEpochs(starts)


def stored_epochs(segments: Sequence[Segment]) -> LeaderEpochs:
    """The epochs by the batches' own stamps; only segments with a change inside are read whole."""
    epochs = LeaderEpochs()
    for segment in segments:
        if segment.size_bytes == 0:
            continue
        first = next(segment.batches(check=False))
        last = next(segment.batches(start=segment.end_offset - 1, check=False), None)
        if last is not None and last.header.leader_epoch == first.header.leader_epoch:
            epochs.note(first.header.leader_epoch, first.header.base_offset)
            continue
        for batch in segment.batches(check=False):
            epochs.note(batch.header.leader_epoch, batch.header.base_offset)
    return epochs
