"""A log as plain lists, sound but for one fault that can be asked for.

A fault happens only where it leaves a trace, so that a checker that stays silent is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

from tests.histories.anomalies import Kind
from tests.histories.operations import Isolation, Place, RecordId

LOST: Final = frozenset({Kind.LOST_WRITE, Kind.UNSEEN})


class Fault(Enum):
    """One thing that a log may do wrong."""

    TRUNCATE = auto()
    """A crash takes what was acknowledged; its offsets are used again."""
    HOLE = auto()
    APPEND_TWICE = auto()
    SWAP = auto()
    """Two batches of one producer that were on their way at once change places."""
    INVENT = auto()
    KEEP_REFUSED = auto()
    SKIP = auto()
    SHOW_ABORTED = auto()
    SHOW_OPEN = auto()
    TEAR = auto()
    POSITION_ONLY = auto()
    OUTPUTS_ONLY = auto()
    OLD_POSITION = auto()
    OLD_WATERMARK = auto()
    RESURRECT = auto()
    COMPACT_TOO_MUCH = auto()


TRACES: Final[dict[Fault, frozenset[Kind]]] = {
    Fault.TRUNCATE: LOST | {Kind.OFFSET_REUSED},
    Fault.HOLE: frozenset({Kind.LOST_WRITE}),
    Fault.APPEND_TWICE: frozenset({Kind.DUPLICATE}),
    Fault.SWAP: frozenset({Kind.REORDERED}),
    Fault.INVENT: frozenset({Kind.PHANTOM}),
    Fault.KEEP_REFUSED: frozenset({Kind.FAILED_WRITE_READ}),
    Fault.SKIP: frozenset({Kind.SKIPPED}),
    Fault.SHOW_ABORTED: frozenset({Kind.ABORTED_READ}),
    Fault.SHOW_OPEN: frozenset({Kind.DIRTY_READ, Kind.ABORTED_READ}),
    Fault.TEAR: frozenset({Kind.TORN_TRANSACTION}),
    Fault.POSITION_ONLY: frozenset({Kind.NOT_PROCESSED}),
    Fault.OUTPUTS_ONLY: frozenset({Kind.PROCESSED_TWICE, Kind.PROCESSED_AHEAD}),
    Fault.OLD_POSITION: frozenset({Kind.STALE_POSITION}),
    Fault.OLD_WATERMARK: frozenset({Kind.WENT_BACK}),
    Fault.RESURRECT: frozenset({Kind.DELETED_CAME_BACK}),
    Fault.COMPACT_TOO_MUCH: frozenset({Kind.LOST_WRITE}),
}
"""What the checker must say of each, or at least one of these."""


@dataclass
class Slot:
    """What is at one offset: a record, or a marker or a hole, which nobody is given."""

    id_: RecordId | None
    transaction: str | None = None
    key: str | None = None


@dataclass
class ModelPartition:
    """Its offsets from 0 on; what is before ``start`` is deleted."""

    slots: list[Slot] = field(default_factory=list)
    start: int = 0


class ModelLog:
    """Partitions, transactions and positions; one fault at most, once ``is_due`` is set."""

    def __init__(self, places: tuple[Place, ...], fault: Fault | None) -> None:
        self.partitions = {place: ModelPartition() for place in places}
        self.decided: dict[str, bool] = {}
        """Transactions that have ended: whether they are committed."""
        self.positions: dict[tuple[str, Place], int] = {}
        self.told: set[RecordId] = set()
        """Records that were acknowledged or seen."""
        self._fault = fault
        self._torn: set[tuple[str, Place]] = set()
        self.is_due = False
        self.is_harmed = False

    def fails(self, fault: Fault, can_be_seen: bool = True) -> bool:
        """Whether this is the moment for the fault. It comes once, where it leaves a trace."""
        if self._fault is not fault or not self.is_due or self.is_harmed or not can_be_seen:
            return False
        self.is_harmed = True
        return True

    def append(
        self,
        place: Place,
        ids: tuple[RecordId, ...],
        transaction: str | None = None,
        keys: tuple[str | None, ...] = (),
    ) -> int:
        """Add records at the end; return the first offset."""
        slots = self.partitions[place].slots
        offset = len(slots)
        slots += [
            Slot(id_, transaction, key) for id_, key in zip(ids, keys or (None,) * len(ids), strict=True)
        ]
        return offset

    def end_transaction(
        self, name: str, *, commit: bool, group: str | None = None, positions: dict[Place, int] | None = None
    ) -> None:
        """Decide a transaction; its markers take an offset in each partition that it wrote to."""
        written = [
            place
            for place, partition in self.partitions.items()
            if any(slot.transaction == name for slot in partition.slots)
        ]
        in_one = written[0] if written else None
        has_records = any(self._kept_records(name, place) for place in written[1:])
        if commit and in_one and self._kept_records(name, in_one) and has_records and self.fails(Fault.TEAR):
            self._torn.add((name, in_one))
        takes_positions = commit
        if commit and positions and written:
            if self.fails(Fault.POSITION_ONLY):
                commit = False
            elif self.fails(Fault.OUTPUTS_ONLY):
                takes_positions = False
        self.decided[name] = commit
        for place in written:
            self.partitions[place].slots.append(Slot(None))
        if takes_positions and group is not None:
            self.positions.update({(group, place): offset for place, offset in (positions or {}).items()})

    def _kept_records(self, name: str, place: Place) -> bool:
        partition = self.partitions[place]
        return any(slot.transaction == name for slot in partition.slots[partition.start :])

    def last_stable(self, place: Place) -> int:
        """The first offset whose transaction is not decided."""
        partition = self.partitions[place]
        slots = partition.slots
        undecided = (
            offset
            for offset, slot in enumerate(slots[partition.start :], partition.start)
            if slot.transaction is not None and slot.transaction not in self.decided
        )
        return next(undecided, len(slots))

    def visible(
        self, place: Place, start: int, end: int, isolation: Isolation
    ) -> Iterator[tuple[int, RecordId]]:
        """What a reader is given of ``[start, end)``."""
        for offset, slot in enumerate(self.partitions[place].slots[start:end], start):
            if slot.id_ is not None and (
                isolation is Isolation.UNCOMMITTED or self._is_committed(place, slot)
            ):
                yield offset, slot.id_

    def _is_committed(self, place: Place, slot: Slot) -> bool:
        if slot.transaction is None:
            return True
        if (slot.transaction, place) in self._torn:
            return False
        return self.decided[slot.transaction] or self.fails(Fault.SHOW_ABORTED)

    def shows_open(self, place: Place) -> bool:
        """Whether a reader of committed records is shown what is not decided, to the end of the log."""
        undecided = self.partitions[place].slots[self.last_stable(place) :]
        return self.fails(Fault.SHOW_OPEN, can_be_seen=bool(undecided))

    def crash(self) -> None:
        """Nothing happens, if the log is sound."""
        for partition in self.partitions.values():
            last = next((slot for slot in reversed(partition.slots) if slot.id_ is not None), None)
            if last is None:
                continue
            place = partition.slots.index(last)
            can_be_seen = place >= partition.start and last.id_ in self.told
            if self.fails(Fault.TRUNCATE, can_be_seen):
                del partition.slots[place:]
            elif self.fails(Fault.HOLE, can_be_seen):
                partition.slots[place] = Slot(None, last.transaction)

    def compact(self, place: Place) -> None:
        """Keep the newest record of each key."""
        slots = self.partitions[place].slots
        newest = {slot.key: offset for offset, slot in enumerate(slots) if slot.id_ is not None}
        for offset, slot in enumerate(slots):
            is_newest = newest.get(slot.key) == offset
            can_be_seen = is_newest and slot.id_ in self.told
            if not is_newest or self.fails(Fault.COMPACT_TOO_MUCH, can_be_seen):
                slots[offset] = Slot(None)

    def delete_records(self, place: Place, before: int) -> int:
        """Move a log start; return it."""
        partition = self.partitions[place]
        partition.start = max(partition.start, before)
        return partition.start
