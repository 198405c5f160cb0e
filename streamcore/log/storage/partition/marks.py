"""The four marks of a partition, computed from appends, syncs and deletions. Pure.

For readers of committed data a transaction is undecided until its marker is before the high watermark: until
then the last stable offset stays at the transaction's first offset. Otherwise a power cut could take a marker
that readers have already acted on.
"""

from __future__ import annotations

from streamcore.errors import OffsetOutOfRangeError, with_facts
from streamcore.log.storage.producers.producer_states import EndedTransaction
from streamcore.model import LogOffsets, Offset, TopicPartition


class Marks:
    """The marks of one partition, and the facts that they depend on."""

    def __init__(self, log_start: Offset, log_end: Offset) -> None:
        """Create the marks right after opening, when everything up to ``log_end`` is durable."""
        self.synced_end = log_end
        """Everything before it is on disk."""
        self._log_start = log_start
        self._log_end = log_end
        self._high_watermark = log_end
        self._first_open: Offset | None = None
        # Transactions that have ended, whose marker is not yet before the high watermark.
        # A list, because most partitions never have one and there may be thousands of partitions.
        self._undecided: list[EndedTransaction] = []
        self.offsets = LogOffsets(log_start, log_end, log_end, log_end)
        """The present marks."""

    def ensure_readable(self, start: Offset, partition: TopicPartition) -> LogOffsets:
        """Return the marks, if a read may start at ``start``.

        Raises:
            OffsetOutOfRangeError: ``start`` is before the log start or after the log end.
        """
        offsets = self.offsets
        if not offsets.log_start <= start <= offsets.log_end:
            raise OffsetOutOfRangeError(
                with_facts(
                    f"there is no such offset in {partition}",
                    offset=start,
                    log_start=offsets.log_start,
                    log_end=offsets.log_end,
                )
            )
        return offsets

    def ensure_deletable(self, end: Offset, partition: TopicPartition) -> None:
        """Raise ``OffsetOutOfRangeError`` if records before ``end`` are not all visible yet."""
        if end > self._high_watermark:
            raise OffsetOutOfRangeError(
                with_facts(
                    f"records of {partition} can be deleted only up to the high watermark",
                    offset=end,
                    high_watermark=self._high_watermark,
                )
            )

    def append(self, log_end: Offset) -> None:
        """Set the log end; readers see the records only after ``show``."""
        self._log_end = log_end
        self._update()

    def follow_transactions(self, first_open: Offset | None, ended: EndedTransaction | None = None) -> None:
        """Set the first offset of the earliest open transaction, and add the transaction that just ended,
        if any.
        """
        if ended is not None:
            self._undecided.append(ended)
        self._first_open = first_open
        self._update()

    def show(self, end: Offset) -> None:
        """Make everything before ``end`` visible."""
        self._high_watermark = max(self._high_watermark, end)
        if self._undecided:
            self._undecided = [
                ended for ended in self._undecided if ended.last_offset >= self._high_watermark
            ]
        self._update()

    def cut_start(self, log_start: Offset) -> None:
        """Set the log start: records before ``log_start`` can no longer be read."""
        self._log_start = log_start
        self._update()

    def _update(self) -> None:
        last_stable = self._high_watermark
        if self._first_open is not None and self._first_open < last_stable:
            last_stable = self._first_open
        for ended in self._undecided:
            last_stable = min(last_stable, ended.first_offset)
        self.offsets = LogOffsets(
            self._log_start, max(last_stable, self._log_start), self._high_watermark, self._log_end
        )
