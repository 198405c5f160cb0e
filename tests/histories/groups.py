"""Rules about consumer groups: positions are read as they were last committed, a partition has one owner.

A group's position in a place is a register. What is read must have been written, and must not have been
overwritten before the reading began. In a transaction a position is written at one moment and counts from
another one, its commit; which of two positions counts is decided by when they were written.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tests.histories.anomalies import Anomaly, Kind
from tests.histories.known import NEVER_US, Known
from tests.histories.operations import (
    Assigned,
    Operation,
    Outcome,
    PositionsCommitted,
    PositionsRead,
    Transaction,
)


class _Write(NamedTuple):
    """A position that may have been committed; certainly, if its client was told so."""

    position: int
    written_from_us: int
    counts_from_us: int
    ended_us: float
    """It was written, and counts, before this moment."""
    is_certain: bool
    operation: Operation


def wrong_positions(known: Known) -> Iterator[Anomaly]:
    """Each position that is read is one that was committed, and not one that was replaced."""
    writes = _writes(known)
    for read in known.of(PositionsRead):
        for place, position in read.positions.items():
            if place.rpartition("-")[0] not in known.deleted_topics:
                yield from _wrong_position(read, place, position, writes.get((read.group, place), []))


def _wrong_position(
    read: PositionsRead, place: str, position: int | None, writes: Sequence[_Write]
) -> Iterator[Anomaly]:
    ended_us = NEVER_US if read.ended_us is None else read.ended_us
    certain = [write for write in writes if write.is_certain and write.ended_us < read.begun_us]
    if position is None:
        if certain:
            text = f"{read.group} has no position in {place}, and {certain[-1].position} was committed"
            yield Anomaly(Kind.STALE_POSITION, text, (certain[-1].operation, read))
        return
    sources = [write for write in writes if write.position == position and write.counts_from_us < ended_us]
    if not sources:
        text = f"the position of {read.group} in {place} is {position}, which nobody committed"
        yield Anomaly(Kind.PHANTOM_POSITION, text, (read,))
        return
    replaced_by = [
        next((later for later in certain if source.ended_us < later.written_from_us), None)
        for source in sources
    ]
    if replaced_by and None not in replaced_by:
        later = replaced_by[-1]
        assert later is not None
        text = f"the position of {read.group} in {place} is {position}, which {later.position} replaced"
        yield Anomaly(Kind.STALE_POSITION, text, (sources[-1].operation, later.operation, read))


def _writes(known: Known) -> dict[tuple[str, str], list[_Write]]:
    found: dict[tuple[str, str], list[_Write]] = defaultdict(list)
    for committed in known.of(PositionsCommitted):
        if committed.outcome is not Outcome.FAILED:
            is_certain = committed.outcome is Outcome.OK
            for place, position in committed.positions.items():
                found[committed.group, place].append(
                    _Write(
                        position,
                        committed.begun_us,
                        committed.begun_us,
                        _end_us(committed),
                        is_certain,
                        committed,
                    )
                )
    for transaction in known.of(Transaction):
        group, commit_us = transaction.group, transaction.commit_begun_us
        if group is None or commit_us is None or transaction.outcome is Outcome.FAILED:
            continue
        is_certain = transaction.outcome is Outcome.OK
        for place, position in transaction.positions.items():
            found[group, place].append(
                _Write(
                    position,
                    transaction.begun_us,
                    commit_us,
                    _end_us(transaction),
                    is_certain,
                    transaction,
                )
            )
    return found


def _end_us(operation: Operation) -> float:
    return NEVER_US if operation.ended_us is None else operation.ended_us


def assigned_twice(known: Known) -> Iterator[Anomaly]:
    """In one generation a place has one owner."""
    owners: dict[tuple[str, int, str], Assigned] = {}
    for assigned in known.of(Assigned):
        for place in assigned.places:
            owner = owners.setdefault((assigned.group, assigned.generation, place), assigned)
            if owner.member != assigned.member:
                text = f"generation {assigned.generation} of {assigned.group}: two members own {place}"
                yield Anomaly(Kind.ASSIGNED_TWICE, text, (owner, assigned))


def stale_commits(known: Known) -> Iterator[Anomaly]:
    """Once a member knows of a generation, no position is taken from one before it."""
    for commit in known.of(PositionsCommitted):
        if commit.outcome is Outcome.OK and commit.generation >= 0:
            for assigned in known.of(Assigned):
                is_newer = assigned.group == commit.group and assigned.generation > commit.generation
                if is_newer and assigned.ended_us is not None and assigned.ended_us < commit.begun_us:
                    text = f"a position of generation {commit.generation} of {commit.group} was taken"
                    yield Anomaly(Kind.STALE_COMMIT, text, (assigned, commit))
                    break
