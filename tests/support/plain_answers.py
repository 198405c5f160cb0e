"""What windows, joins and limits give, computed in plain Python from all records at once.

Nothing here knows the engine: each function is the definition of its step, over lists, without stores and
without an order of rounds. A record counts by the stream time of its source partition, which the records of
the partition alone decide.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

Window = tuple[str, int, int]
"""A key, the start, the exclusive end."""


@dataclass(frozen=True, slots=True)
class Event:
    """A record of a source: ``source_ms`` is the highest time of its partition, this record included."""

    key: str
    value: Any
    at_ms: int
    source_ms: int


def events_of(sent: Iterable[tuple[int, str, Any, int]]) -> list[Event]:
    """The records of one topic, given as (partition, key, value, time) in the order of each partition.

    Records without a value move the stream time and are no events.
    """
    highest_ms: dict[int, int] = {}
    events = []
    for partition, key, value, at_ms in sent:
        highest_ms[partition] = max(highest_ms.get(partition, 0), at_ms)
        if value is not None:
            events.append(Event(key, value, at_ms, highest_ms[partition]))
    return events


def in_windows(
    events: Iterable[Event], size_ms: int, advance_ms: int, grace_ms: int
) -> dict[Window, list[Any]]:
    """The values of each window, in the order in which they came."""
    found: dict[Window, list[Any]] = defaultdict(list)
    for event in events:
        first_ms = max(0, event.at_ms - size_ms) // advance_ms * advance_ms
        for start_ms in range(first_ms, event.at_ms + 1, advance_ms):
            end_ms = start_ms + size_ms
            if start_ms <= event.at_ms < end_ms and end_ms + grace_ms > event.source_ms:
                found[event.key, start_ms, end_ms].append(event.value)
    return dict(found)


def in_days(events: Iterable[Event], zone: str, grace_ms: int) -> dict[Window, list[Any]]:
    """The values of each day of a time zone; the first one begins with 1970."""
    found: dict[Window, list[Any]] = defaultdict(list)
    for event in events:
        day = datetime.fromtimestamp(event.at_ms / 1000, UTC).astimezone(ZoneInfo(zone)).date()
        start_ms, end_ms = (
            max(0, round(datetime.combine(each, time.min, ZoneInfo(zone)).timestamp() * 1000))
            for each in (day, day + timedelta(days=1))
        )
        if end_ms + grace_ms > event.source_ms:
            found[event.key, start_ms, end_ms].append(event.value)
    return dict(found)


def in_sliding(events: Iterable[Event], size_ms: int, grace_ms: int) -> dict[Window, list[Any]]:
    """The values of each sliding window. One holds what is at most ``size_ms`` behind its start.

    A record is in all windows that were open when it came and hold its time. There is a window wherever, as
    the start moves on, a record comes in or goes out, if that leaves a record in it.
    """
    of_keys: dict[str, list[tuple[int, Event]]] = defaultdict(list)
    for event in events:
        first_ms = max(0, event.at_ms - size_ms, event.source_ms - grace_ms - size_ms)
        if first_ms <= event.at_ms:
            of_keys[event.key].append((first_ms, event))
    return {
        (key, start_ms, start_ms + size_ms + 1): values
        for key, found in of_keys.items()
        for start_ms in {first_ms for first_ms, _ in found} | {event.at_ms + 1 for _, event in found}
        if (values := [event.value for first_ms, event in found if first_ms <= start_ms <= event.at_ms])
    }


def in_sessions(events: Iterable[Event], gap_ms: int, grace_ms: int) -> dict[Window, list[Any]]:
    """The values of each session; those of an earlier session come first where two are united."""
    sessions: dict[str, list[tuple[int, int, list[Any]]]] = defaultdict(list)
    for event in events:
        joined = sorted(
            session
            for session in sessions[event.key]
            if session[0] - gap_ms <= event.at_ms <= session[1] and session[1] + grace_ms >= event.source_ms
        )
        end_ms = max([event.at_ms + gap_ms, *(session[1] for session in joined)])
        if end_ms + grace_ms <= event.source_ms:
            continue
        for session in joined:
            sessions[event.key].remove(session)
        start_ms = min([event.at_ms, *(session[0] for session in joined)])
        values = [value for session in joined for value in session[2]]
        sessions[event.key].append((start_ms, end_ms, [*values, event.value]))
    return {
        (key, start_ms, end_ms): values
        for key, found in sessions.items()
        for start_ms, end_ms, values in found
    }


def joined_streams(
    lefts: Iterable[Event], rights: Iterable[Event], before_ms: int, after_ms: int, grace_ms: int, how: str
) -> Counter[tuple[str, Any, Any, int]]:
    """The rows of a join of streams: key, both values, the later time; a missing value is ``None``."""
    in_time = {
        "left": [each for each in lefts if each.at_ms + after_ms + grace_ms >= each.source_ms],
        "right": [each for each in rights if each.at_ms + before_ms + grace_ms >= each.source_ms],
    }
    rights_of: dict[str, list[Event]] = defaultdict(list)
    for right in in_time["right"]:
        rights_of[right.key].append(right)
    rows: Counter[tuple[str, Any, Any, int]] = Counter()
    matched: set[int] = set()
    for left in in_time["left"]:
        for right in rights_of[left.key]:
            if -before_ms <= right.at_ms - left.at_ms <= after_ms:
                rows[left.key, left.value, right.value, max(left.at_ms, right.at_ms)] += 1
                matched |= {id(left), id(right)}
    if how in ("left", "outer"):
        rows.update(
            (left.key, left.value, None, left.at_ms) for left in in_time["left"] if id(left) not in matched
        )
    if how == "outer":
        rows.update(
            (right.key, None, right.value, right.at_ms)
            for right in in_time["right"]
            if id(right) not in matched
        )
    return rows


def taken(events: Iterable[Event], count: int, span_ms: int, grace_ms: int) -> Counter[tuple[str, Any, int]]:
    """The first records of each key and span: key, value, time."""
    passed: Counter[tuple[str, int]] = Counter()
    rows: Counter[tuple[str, Any, int]] = Counter()
    for event in events:
        span = event.at_ms // span_ms
        if (span + 1) * span_ms + grace_ms > event.source_ms and passed[event.key, span] < count:
            passed[event.key, span] += 1
            rows[event.key, event.value, event.at_ms] += 1
    return rows


def limited(
    events: Iterable[Event], count: int, span_ms: int, grace_ms: int, *, passes_late: bool = False
) -> Counter[tuple[str, Any, int]]:
    """The records that pass where no span of a key may hold more than ``count``: key, value, time.

    ``passes_late``: records that are too late to judge pass.
    """
    passed: dict[str, list[int]] = defaultdict(list)
    rows: Counter[tuple[str, Any, int]] = Counter()
    for event in events:
        if event.at_ms + span_ms + grace_ms <= event.source_ms:
            rows[event.key, event.value, event.at_ms] += passes_late
            continue
        with_it = [*passed[event.key], event.at_ms]
        spans = [
            sum(start_ms <= each < start_ms + span_ms for each in with_it)
            for start_ms in with_it
            if start_ms <= event.at_ms < start_ms + span_ms
        ]
        if max(spans) <= count:
            passed[event.key].append(event.at_ms)
            rows[event.key, event.value, event.at_ms] += 1
    return +rows


def newest_of(rows: Iterable[tuple[Any, Any]]) -> Mapping[Any, Any]:
    """The last value of each key, without the keys whose last value is ``None``."""
    newest = dict(rows)
    return {key: value for key, value in newest.items() if value is not None}
