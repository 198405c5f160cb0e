"""The range of record times, and the checks of times that programs give.

The time of a record is in milliseconds since 1970, at least 0 and at most the last millisecond of the year
9999. A record of a topic whose time is outside, such as -1 (Kafka's "no timestamp"), *has no time*: its
steps see -1, and it does not move stream time. The upper bound is that of ``datetime``; it also keeps a
client that writes microseconds or nanoseconds from closing all windows.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, Final

from streamcore.durations import time_ms
from streamcore.errors import InvalidTimestampError, UsageError, UserCodeError, fact_text

TIME_MS_MAX: Final = 253_402_300_799_999
"""9999-12-31T23:59:59.999Z."""

NO_TIMESTAMP: Final = -1
"""The timestamp of a record that has no time."""

NO_TIME: Final = -(2**63)
"""Stream time before the first record that has a time: before every timestamp."""


def ascend_between(timestamps_ms: list[int], lowest_ms: int, highest_ms: int) -> bool:
    """Return whether timestamps never fall and lie in ``[lowest_ms, highest_ms]``; true for none.

    Of such timestamps every record has a time, and each is the highest so far.
    """
    if not timestamps_ms:
        return True
    if timestamps_ms[0] < lowest_ms or timestamps_ms[-1] > highest_ms:
        return False
    return all(map(operator.le, timestamps_ms, islice(timestamps_ms, 1, None)))


def timestamps_seen(timestamps_ms: list[int]) -> list[int]:
    """Return the timestamps of a topic's records as steps see them: -1 where a record has no time."""
    if not timestamps_ms or (min(timestamps_ms) >= 0 and max(timestamps_ms) <= TIME_MS_MAX):
        return timestamps_ms
    return [
        timestamp_ms if 0 <= timestamp_ms <= TIME_MS_MAX else NO_TIMESTAMP for timestamp_ms in timestamps_ms
    ]


def times_known(timestamps_ms: Sequence[int]) -> Sequence[int]:
    """Return timestamps for the computation of stream time: ``NO_TIME``, which moves nothing, instead of
    -1.
    """
    if not timestamps_ms or min(timestamps_ms) >= 0:
        return timestamps_ms
    return [timestamp_ms if timestamp_ms >= 0 else NO_TIME for timestamp_ms in timestamps_ms]


def event_time_ms(timestamp: Callable[[Any], Any], value: Any) -> int:
    """Return the event time of a value by the ``timestamp=`` function of its topic.

    Raises:
        UserCodeError: the function fails, or its result is not a time.
    """
    try:
        found = timestamp(value)
    except Exception as error:
        raise UserCodeError(f"timestamp= failed: {type(error).__name__}: {error}") from error
    if type(found) is int and 0 <= found <= TIME_MS_MAX:
        return found
    try:
        if isinstance(found, datetime):
            return given_time_ms(found)
        if not isinstance(found, bool):
            return given_time_ms(operator.index(found))
    except (TypeError, UsageError):
        pass
    raise UserCodeError(
        "timestamp= returns milliseconds since 1970 as int, or a datetime with a zone, at most of the year "
        f"9999: {fact_text(returned=repr(found))}"
    )


def given_time_ms(value: datetime | str | int) -> int:
    """Return a time that a program gives a record, in milliseconds since 1970.

    Raises:
        UsageError: the value is not a time.
        InvalidTimestampError: the time is before 1970 or after the year 9999.
    """
    found = time_ms(value)
    if not 0 <= found <= TIME_MS_MAX:
        raise InvalidTimestampError(
            "a record's time is from 1970 to the year 9999, in milliseconds; the log cannot keep another: "
            + fact_text(given=value if isinstance(value, datetime) else repr(value))
        )
    return found


def ensure_not_ahead(timestamp_ms: int, now_ms: int, ahead_ms_max: int) -> None:
    """Refuse an event time that is too far ahead of the clock.

    Raises:
        InvalidTimestampError: it is further ahead than ``ahead_ms_max``.
    """
    if timestamp_ms - now_ms > ahead_ms_max:
        raise InvalidTimestampError(
            "the record's time is further ahead of the clock than max_ahead= of its topic allows; check the "
            + f"unit of the time: {fact_text(time_ms=timestamp_ms, now_ms=now_ms, max_ahead_ms=ahead_ms_max)}"
        )


def no_time_error() -> InvalidTimestampError:
    """Return the error for a record that has no time, where a step needs one."""
    return InvalidTimestampError(
        "the step needs the record's time, and the record has none; set the timestamp where the record is "
        "produced, or declare timestamp= on its topic"
    )
