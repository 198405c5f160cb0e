"""The note beside a committed offset of an input: the times from which a restart continues exactly.

Note := version | watermark of the task | partition time of the last record done [| record time [| marks]],
separated by blanks; times are in milliseconds since 1970, decimal. Version 1 ends with the partition time.
Version 2 is of a repartition topic with marks: the record time is the highest of a record, which marks do not
move. Behind it is the last mark of each task that writes the topic: so a task that another worker takes over,
or that starts alone, waits for no other worker to write its mark again.

Marks := group {";" group}; group := sub-topology "=" mark {"," mark}, the marks of its tasks by partition
number from 0; mark := [time relative to the partition time, or "-" for none] ["i" if the task is idle], or
nothing for a task without a mark.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from streamcore.errors import UsageError, fact_text
from streamcore.processing.topology.marks import Mark
from streamcore.processing.topology.plan import task_name
from streamcore.processing.topology.times import NO_TIME

NOTE_LENGTH_MAX: Final = 4_000
"""The longest note in characters, below the limit of brokers (``offset.metadata.max.bytes``, 4,096)."""

_TIMES_ONLY: Final = "1"
_WITH_MARKS: Final = "2"


class InputNote(NamedTuple):
    """How far a task and one of its inputs are."""

    watermark_ms: int = NO_TIME
    partition_time_ms: int = NO_TIME
    record_time_ms: int | None = None
    """The highest time of a record done, of an input with marks; others have the partition time."""
    marks: tuple[Mark, ...] = ()
    """The last marks of the tasks that write the input."""

    def text(self) -> str:
        """Return the note. Marks that make it too long are left out: the writers write them again."""
        times = f"{self.watermark_ms} {self.partition_time_ms}"
        if self.record_time_ms is None:
            return f"{_TIMES_ONLY} {times}"
        start = f"{_WITH_MARKS} {times} {self.record_time_ms}"
        if self.marks:
            note = f"{start} {_text_of(self.marks, self.partition_time_ms)}"
            if len(note) <= NOTE_LENGTH_MAX:
                return note
        return start


def note_in(text: str) -> InputNote:
    """Return the note of a committed offset; before all times without one.

    Raises:
        UsageError: the note was written by a newer version, or by another program.
    """
    if not text:
        return InputNote()
    words = text.split(" ")
    if (words[0], len(words)) not in ((_TIMES_ONLY, 3), (_WITH_MARKS, 4), (_WITH_MARKS, 5)):
        raise UsageError(
            "the group's positions were committed by another program or a newer version; use that, or "
            f"another application id: {fact_text(note=repr(text))}"
        )
    watermark_ms, partition_time_ms = int(words[1]), int(words[2])
    record_time_ms = int(words[3]) if len(words) > 3 else None
    marks = tuple(_marks_in(words[4], partition_time_ms)) if len(words) == 5 else ()
    return InputNote(watermark_ms, partition_time_ms, record_time_ms, marks)


def _text_of(marks: Iterable[Mark], base_ms: int) -> str:
    groups: dict[str, dict[int, Mark]] = {}
    for mark in marks:
        sub_topology, _, partition = mark.writer.rpartition("-")
        groups.setdefault(sub_topology, {})[int(partition)] = mark
    return ";".join(
        f"{sub_topology}={','.join(_word_of(found.get(number), base_ms) for number in range(max(found) + 1))}"
        for sub_topology, found in groups.items()
    )


def _word_of(mark: Mark | None, base_ms: int) -> str:
    if mark is None:
        return ""
    time = "-" if mark.watermark_ms == NO_TIME else str(mark.watermark_ms - base_ms)
    return f"{time}i" if mark.is_idle else time


def _marks_in(text: str, base_ms: int) -> Iterable[Mark]:
    for group in text.split(";"):
        sub_topology, _, words = group.rpartition("=")
        for partition, word in enumerate(words.split(",")):
            if word:
                time = word.removesuffix("i")
                time_ms = NO_TIME if time == "-" else int(time) + base_ms
                yield Mark(task_name(sub_topology, partition), time_ms, word.endswith("i"))
