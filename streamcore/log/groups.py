"""Summaries of consumer groups for people, and the offsets that a reset commits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias

from streamcore.durations import duration_ms, time_ms
from streamcore.errors import UsageError, with_facts
from streamcore.log.client import port
from streamcore.log.client.group_log import DescribedGroup, MemberSummary
from streamcore.model import CommittedOffset, LogOffsets, Offset, TopicPartition

ResetTarget: TypeAlias = "str | int | datetime | timedelta | Mapping[TopicPartition, Offset]"
"""``earliest``, ``latest``, an offset, ``+n`` or ``-n`` from the committed one, a time, a duration back from
now, or an offset for each partition."""


@dataclass(frozen=True, slots=True)
class PositionSummary:
    """A group's committed offset in a partition. ``lag`` is ``None`` without a committed offset; it does not
    count what lies behind the last stable offset.
    """

    partition: TopicPartition
    committed: Offset | None
    log_end: Offset
    lag: int | None
    member_id: str | None
    metadata: str = ""


@dataclass(frozen=True, slots=True)
class GroupSummary:
    """A group: its state by Kafka's names, its members and its committed offsets."""

    group: str
    state: str
    protocol: str
    generation: int
    members: tuple[MemberSummary, ...]
    positions: tuple[PositionSummary, ...]

    @property
    def lag(self) -> int:
        """How many offsets the group has not committed yet, over all partitions."""
        return sum(position.lag or 0 for position in self.positions)


def summarize(
    description: DescribedGroup,
    committed: Mapping[TopicPartition, CommittedOffset],
    marks: Mapping[TopicPartition, LogOffsets],
) -> GroupSummary:
    """Return the summary of a group.

    Args:
        description: from the coordinator.
        committed: the group's committed offsets.
        marks: of the partitions that still exist.
    """
    owners = {
        partition: member.member_id for member in description.members for partition in member.assignment
    }
    positions = []
    for partition in sorted(committed.keys() | owners.keys()):
        position, mark = committed.get(partition), marks.get(partition)
        end = -1 if mark is None else mark.log_end
        lag = None if position is None or mark is None else max(0, mark.last_stable - position.offset)
        positions.append(
            PositionSummary(
                partition,
                None if position is None else position.offset,
                end,
                lag,
                owners.get(partition),
                "" if position is None else position.metadata,
            )
        )
    return GroupSummary(
        description.group,
        description.state,
        description.protocol,
        description.generation,
        description.members,
        tuple(positions),
    )


def reset_offsets(
    log: port.Log,
    partitions: Iterable[TopicPartition],
    to: ResetTarget,
    *,
    committed: Mapping[TopicPartition, CommittedOffset],
    now_ms: int,
) -> dict[TopicPartition, CommittedOffset]:
    """Return the offsets that a reset commits; offsets outside the log are moved to its nearest end.

    Raises:
        UsageError: the target is not understood.
    """
    marks = log.offsets(partitions)
    if isinstance(to, Mapping):
        wanted = {partition: to[partition] for partition in marks if partition in to}
    else:
        wanted = _wanted(log, marks, to, committed, now_ms)
    return {
        partition: CommittedOffset(min(max(offset, marks[partition].log_start), marks[partition].last_stable))
        for partition, offset in wanted.items()
    }


def _wanted(
    log: port.Log,
    marks: Mapping[TopicPartition, LogOffsets],
    to: str | int | datetime | timedelta,
    committed: Mapping[TopicPartition, CommittedOffset],
    now_ms: int,
) -> dict[TopicPartition, Offset]:
    if isinstance(to, str):
        text = to.strip()
        if text == "earliest":
            return {partition: mark.log_start for partition, mark in marks.items()}
        if text == "latest":
            return {partition: mark.last_stable for partition, mark in marks.items()}
        if text[:1] in "+-" and text[1:].isdigit():
            shift = int(text)
            return {
                partition: committed[partition].offset + shift
                for partition in marks
                if partition in committed
            }
        if text.isdigit():
            to = int(text)
    if isinstance(to, int):
        return dict.fromkeys(marks, to)
    return log.offsets_for_time(dict.fromkeys(marks, _moment_ms(to, now_ms)))


def _moment_ms(to: str | datetime | timedelta, now_ms: int) -> int:
    if isinstance(to, timedelta):
        return now_ms - duration_ms(to)
    if isinstance(to, datetime):
        return time_ms(to)
    try:
        return time_ms(to)
    except UsageError:
        try:
            return now_ms - duration_ms(to)
        except UsageError:
            raise UsageError(
                with_facts(
                    "reset to earliest, latest, an offset, +n or -n, a time such as 2013-01-01T05:00Z, or a "
                    "duration back from now such as 2h",
                    given=repr(to),
                )
            ) from None
