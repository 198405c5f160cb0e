"""Marks: the progress of the tasks that write a repartition topic, written between its records.

The watermark of a task behind a repartition topic depends on tasks that it cannot see. So each of these
writes, with the transaction that commits its records, how far it is. A mark in a partition says: no record
that this task writes there later has an earlier source time, unless the task is idle.

A mark is a record without key and value, with one header, ``streamcore.mark``. Its value is text: three words
for each task, separated by blanks: the task's name, its watermark in milliseconds since 1970 (``-`` for
none), and ``active`` or ``idle``. Tasks that commit together share one record.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from streamcore.model import Headers
from streamcore.processing.topology.times import NO_TIME

HEADER_OF_MARK: Final = "streamcore.mark"

NOT_KNOWN: Final = NO_TIME + 1
"""The time of an input whose writers have not all written a mark: the watermark waits for them."""


class Mark(NamedTuple):
    """How far a task is that writes a repartition topic."""

    writer: str
    watermark_ms: int
    is_idle: bool
    """Whether no task waits for it: no input holds its watermark, and no step holds results back."""

    def held_back(self, held_ms: int) -> Mark:
        """Return the mark for a topic whose records can be so far behind the watermark."""
        if not held_ms or self.watermark_ms == NO_TIME:
            return self
        return self._replace(watermark_ms=self.watermark_ms - held_ms)


def headers_of(marks: Iterable[Mark]) -> Headers:
    """Return the headers of the record that holds these marks."""
    words = [
        f"{writer} {'-' if watermark_ms == NO_TIME else watermark_ms} {'idle' if is_idle else 'active'}"
        for writer, watermark_ms, is_idle in marks
    ]
    return ((HEADER_OF_MARK, " ".join(words).encode()),)


def marks_in(headers: Headers) -> tuple[Mark, ...]:
    """Return the marks of a record without key and value; none if it is not a record of marks."""
    if len(headers) != 1 or headers[0][0] != HEADER_OF_MARK or headers[0][1] is None:
        return ()
    return _decoded(headers[0][1])


@lru_cache(maxsize=256)
def _decoded(data: bytes) -> tuple[Mark, ...]:
    """Return the marks of a header. All partitions of a topic get the same bytes in one commit."""
    words = data.decode().split(" ")
    return tuple(
        Mark(writer, NO_TIME if time == "-" else int(time), state == "idle")
        for writer, time, state in zip(words[::3], words[1::3], words[2::3], strict=True)
    )


def rows_of_marks(
    keys: Sequence[bytes | None], values: Sequence[bytes | None], headers: Sequence[Headers] | None
) -> dict[int, tuple[Mark, ...]]:
    """Return which rows of the columns of a repartition topic are marks, in ascending order."""
    found: dict[int, tuple[Mark, ...]] = {}
    if headers is None or None not in keys:
        return found
    for row, key in enumerate(keys):
        if key is None and values[row] is None and (marks := marks_in(headers[row])):
            found[row] = marks
    return found


class WriterTimes:
    """How far the writers of a repartition topic are, as one partition of it says.

    Marks of other tasks are ignored: an earlier version of the application may have had them.
    """

    def __init__(self, writers: Iterable[str], marks: Iterable[Mark] = ()) -> None:
        """Start with the marks that are known."""
        self._marks: dict[str, Mark | None] = dict.fromkeys(writers)
        self.time_ms = NOT_KNOWN
        """The least watermark of the active writers; of idle ones the highest, if no writer is active.

        ``NOT_KNOWN`` before all writers have written a mark; ``NO_TIME`` if no writer has a time.
        """
        self.is_idle = False
        """Whether all writers are idle."""
        self.take(marks)

    @property
    def marks(self) -> tuple[Mark, ...]:
        """The last mark of each writer that has written one."""
        return tuple(mark for mark in self._marks.values() if mark is not None)

    @property
    def placing_ms(self) -> int:
        """The time of a mark in the order of all inputs: that of a record of the time that it brings."""
        return NO_TIME if self.is_idle or self.time_ms == NOT_KNOWN else self.time_ms

    def take(self, marks: Iterable[Mark]) -> None:
        """Note marks, which follow those that were taken before."""
        for mark in marks:
            if mark.writer in self._marks:
                self._marks[mark.writer] = mark
        known = self.marks
        if not known or len(known) < len(self._marks):
            return
        active = [mark.watermark_ms for mark in known if not mark.is_idle]
        self.is_idle = not active
        self.time_ms = min(active) if active else max(mark.watermark_ms for mark in known)
