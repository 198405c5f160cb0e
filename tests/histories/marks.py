"""Rules about numbers that only grow: high watermarks, last stable offsets, log starts, and what is deleted.

``falls`` is their common core: once somebody was told a number, nobody who asks later is told a lower one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from heapq import heappop, heappush
from typing import Final, NamedTuple

from tests.histories.anomalies import Anomaly, Kind
from tests.histories.known import Known, KnownLog
from tests.histories.operations import Operation, Outcome, Poll, Send


class Told(NamedTuple):
    """An operation was told ``value``; from its end on nobody may be told less than ``floor``."""

    operation: Operation
    value: int | None
    floor: int


def falls(told: Iterable[Told]) -> Iterator[tuple[Told, Told]]:
    """Each that was told too little, with the one before it that rules that out."""
    ending: list[tuple[int, int, Told]] = []
    highest: Told | None = None
    in_order = sorted(told, key=lambda each: each.operation.begun_us)
    for index, each in enumerate(in_order):
        while ending and ending[0][0] < each.operation.begun_us:
            earlier = heappop(ending)[2]
            if highest is None or earlier.floor > highest.floor:
                highest = earlier
        if highest is not None and each.value is not None and each.value < highest.floor:
            yield highest, each
        if each.operation.ended_us is not None:
            heappush(ending, (each.operation.ended_us, index, each))


_MARKS: Final[dict[str, Callable[[Poll], int]]] = {
    "high watermark": lambda poll: poll.high_watermark,
    "last stable offset": lambda poll: poll.last_stable,
    "log start": lambda poll: poll.log_start,
}


def marks_gone_back(known: Known) -> Iterator[Anomaly]:
    """A mark is never lower than it was; and what is acknowledged is below the high watermark."""
    for log in known.logs.values():
        for name, mark in _MARKS.items():
            told = [Told(poll, mark(poll), mark(poll)) for poll in log.polls]
            if name == "high watermark":
                told += [
                    Told(send, None, send.offset + len(send.ids))
                    for send in log.sends
                    if send.outcome is Outcome.OK and send.offset is not None
                ]
            for earlier, later in falls(told):
                text = f"the {name} of {log.place} was to be {earlier.floor}, and is {later.value} later"
                yield Anomaly(Kind.WENT_BACK, text, (earlier.operation, later.operation))


def deleted_unasked(known: Known) -> Iterator[Anomaly]:
    """A partition begins at 0, unless somebody asked for another start, or its settings let it move."""
    for log in known.logs.values():
        made = known.topics.get(log.place.topic)
        if made is not None and made.may_expire:
            continue
        for poll in log.polls:
            if poll.log_start > log.deletion_asked:
                text = f"{log.place} begins at {poll.log_start}, and nobody asked for that"
                yield Anomaly(Kind.DELETED_UNASKED, text, (poll,))


def came_back(known: Known) -> Iterator[Anomaly]:
    """What was deleted stays deleted: records, and a topic in this incarnation."""
    for log in known.logs.values():
        yield from _records_came_back(log)
        deleted = known.deleted_topics.get(log.place.topic)
        if deleted is None or deleted.outcome is not Outcome.OK or deleted.ended_us is None:
            continue
        later: list[Operation] = [*_answered(log.sends), *log.polls]
        for operation in later:
            if operation.begun_us > deleted.ended_us:
                text = f"{log.place} answers although its topic was deleted"
                yield Anomaly(Kind.DELETED_CAME_BACK, text, (deleted, operation))


def _records_came_back(log: KnownLog) -> Iterator[Anomaly]:
    told = [Told(poll, poll.log_start, 0) for poll in log.polls]
    told += [
        Told(deletion, deletion.log_start, deletion.log_start)
        for deletion in log.deletions
        if deletion.outcome is Outcome.OK and deletion.log_start is not None
    ]
    for earlier, later in falls(told):
        text = f"{log.place} was to begin at {earlier.floor}, and begins at {later.value} later"
        yield Anomaly(Kind.DELETED_CAME_BACK, text, (earlier.operation, later.operation))


def _answered(sends: Iterable[Send]) -> Iterator[Send]:
    for send in sends:
        if send.outcome is Outcome.OK:
            yield send
