"""The first offsets of a partition's leader epochs, by which a reader detects that records it has read are
lost.

Every batch is stamped with the leader epoch in which it was written. A new epoch begins where a start of the
log may have lost records that a reader has seen (``leadership``). A reader knows the epoch of the last record
that it read; if that epoch ends before the reader's position, then other records are there now (KIP-101,
KIP-320).

File := version line (= 0) | count line | (epoch SP start offset) line *        ASCII, as Apache Kafka's

Invariants: epochs and start offsets both ascend strictly. An epoch without a batch has no entry, unless
Apache Kafka wrote the file.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

from streamcore.errors import CorruptIndexError, UnsupportedVersionError, with_facts
from streamcore.log.storage.segment.segment import Segment
from streamcore.model import Offset

NO_EPOCH: Final = -1
_VERSION: Final = 0


class EpochEnd(NamedTuple):
    """The last epoch not after the requested one, and the offset at which the next epoch begins."""

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
        """Whether the entries differ from those that were read."""

    @property
    def starts(self) -> list[tuple[int, Offset]]:
        """The epochs with their first offsets, in order."""
        return list(zip(self._epochs, self._starts, strict=True))

    def note(self, epoch: int, offset: Offset) -> None:
        """Record the epoch of a batch at this offset. Batches are noted in order."""
        if epoch <= (self._epochs[-1] if self._epochs else NO_EPOCH):
            return
        self.cut_end(offset)
        self._epochs.append(epoch)
        self._starts.append(offset)
        self.highest = max(self.highest, epoch)
        self.is_changed = True

    def epoch_at(self, offset: Offset) -> int:
        """Return the epoch of the batch at an offset in the log; -1 if unknown."""
        index = bisect_right(self._starts, offset)
        return self._epochs[index - 1] if index else NO_EPOCH

    def end_of(self, epoch: int, *, current: int, log_end: Offset) -> EpochEnd:
        """Return the end of an epoch.

        An epoch without records ends where the next one begins. The answer for an epoch from before
        the first entry is that same epoch, and for a future epoch it is ``UNKNOWN_END``.

        Args:
            current: the epoch of new batches; it ends at ``log_end``.
        """
        if epoch == current:
            return EpochEnd(current, log_end)
        if epoch == NO_EPOCH or epoch > current:
            return UNKNOWN_END
        index = bisect_right(self._epochs, epoch)
        end_offset = self._starts[index] if index < len(self._starts) else log_end
        return EpochEnd(self._epochs[index - 1] if index else epoch, end_offset)

    def cut_end(self, end: Offset) -> None:
        """Remove the entries at this offset and after it."""
        index = bisect_left(self._starts, end)
        if index < len(self._starts):
            del self._epochs[index:], self._starts[index:]
            self.is_changed = True

    def cut_start(self, log_start: Offset) -> None:
        """Remove the entries before a new log start; the epoch at that offset begins there now."""
        index = bisect_right(self._starts, log_start) - 1
        if index >= 0 and self._starts[index] < log_start:
            del self._epochs[:index], self._starts[:index]
            self._starts[0] = log_start
            self.is_changed = True


def encode_epochs(epochs: LeaderEpochs) -> bytes:
    """Return the bytes of the file."""
    starts = epochs.starts
    lines = [str(_VERSION), str(len(starts)), *(f"{epoch} {start}" for epoch, start in starts)]
    return "".join(f"{line}\n" for line in lines).encode("ascii")


def decode_epochs(data: bytes, path: Path) -> LeaderEpochs:
    """Decode the file.

    Raises:
        CorruptIndexError: it is damaged; the batches hold the same facts.
        UnsupportedVersionError: a newer program wrote it.
    """
    try:
        version, count, *rows, end = data.decode("ascii").split("\n")
        if int(version) != _VERSION:
            raise UnsupportedVersionError(
                with_facts(
                    "the leader epochs of a partition have a newer format than this program reads: "
                    "upgrade the program",
                    path=path,
                    version=version,
                )
            )
        starts = [(int(epoch), int(start)) for epoch, start in (row.split(" ") for row in rows)]
        if end or len(starts) != int(count):
            raise ValueError("rows are missing")
        if any(later[0] <= epoch or later[1] <= start for (epoch, start), later in pairwise(starts)):
            raise ValueError("rows are not in order")
    except ValueError as error:
        raise CorruptIndexError(
            with_facts("the leader epochs of a partition cannot be read", path=path)
        ) from error
    return LeaderEpochs(starts)


def stored_epochs(segments: Sequence[Segment]) -> LeaderEpochs:
    """Return the epochs by the stamps in the batches; only segments with a change inside are read
    completely.
    """
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
