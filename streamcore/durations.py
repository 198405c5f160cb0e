"""Conversion of durations and times in arguments and settings to integer milliseconds.

Durations are ``timedelta`` or text such as ``"500ms"``, ``"10s"``, ``"5m"``, ``"1h"``, ``"7d"``; an ``int``
is in milliseconds. Times are aware ``datetime``, ISO 8601 text with a zone, or milliseconds since 1970.
Floats are refused, because sums of binary fractions of a second are inexact.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from streamcore.errors import InvalidTimestampError, UsageError, with_facts

_UNITS_MS = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1))
_UNIT_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_PART = re.compile(r"(\d+)(ms|s|m|h|d|w)")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_RECORD_TIME_MS_MAX = 2**63 - 1


def duration_ms(value: str | timedelta | int) -> int:
    """Return a duration in whole milliseconds, at least 0.

    Raises:
        UsageError: for text that is not a duration, a fraction of a millisecond, or a negative one.
    """
    if isinstance(value, bool) or not isinstance(value, str | timedelta | int):
        raise UsageError(
            with_facts("a duration is text such as '10s' or '500ms', or a timedelta", given=repr(value))
        )
    if isinstance(value, str):
        return _parse_duration(value)
    if isinstance(value, timedelta):
        whole, rest = divmod(value, _MILLISECOND)
        if rest:
            raise UsageError(with_facts("a duration is whole milliseconds", given=repr(value)))
        value = whole
    if value < 0:
        raise UsageError(with_facts("a duration is not negative", given=value))
    return value


def _parse_duration(text: str) -> int:
    compact = text.strip().replace(" ", "")
    parts = _PART.findall(compact)
    if not parts or "".join(number + unit for number, unit in parts) != compact:
        raise UsageError(
            with_facts("write a duration as '500ms', '10s', '5m', '1h' or '7d'", given=repr(text))
        )
    return sum(int(number) * _UNIT_MS[unit] for number, unit in parts)


def duration_text(duration_ms: int) -> str:
    """Return a duration as users write it: ``10s``, ``1h``; ``90s`` where no larger unit divides it."""
    if duration_ms == 0:
        return "0s"
    return next(f"{duration_ms // size}{unit}" for unit, size in _UNITS_MS if duration_ms % size == 0)


def time_ms(value: str | datetime | int) -> int:
    """Return a time in milliseconds since 1970, UTC.

    Raises:
        UsageError: for a time without a zone, or text that is neither ISO 8601 nor milliseconds.
    """
    if isinstance(value, bool) or not isinstance(value, str | datetime | int):
        raise UsageError(with_facts("a time is a datetime, ISO text or milliseconds", given=repr(value)))
    if isinstance(value, int):
        return value
    if isinstance(value, str):
        text = value.strip()
        if re.fullmatch(r"-?[0-9]{1,100}", text):
            return int(text)
        try:
            value = datetime.fromisoformat(text)
        except ValueError as error:
            raise UsageError(
                with_facts("write a time as '2013-01-01T05:00Z' or in milliseconds", given=repr(text))
            ) from error
    if value.tzinfo is None:
        raise UsageError(
            with_facts("a time needs a zone, for example a trailing 'Z'", given=value.isoformat())
        )
    return (value - _EPOCH) // _MILLISECOND


def record_time_ms(value: str | datetime | int) -> int:
    """Return the timestamp of a record, in milliseconds since 1970, UTC.

    Record times start at 1970, as in Kafka, where -1 marks a record without a time.

    Raises:
        UsageError: the value is not a time; see ``time_ms``.
        InvalidTimestampError: the time is before 1970, or does not fit into 64 bits.
    """
    timestamp_ms = value if type(value) is int else time_ms(value)
    if not 0 <= timestamp_ms <= _RECORD_TIME_MS_MAX:
        raise InvalidTimestampError(
            with_facts(
                "a record's time is in milliseconds since 1970, from 0 to 2**63 - 1: give one in that "
                "range, or none for the time of the send",
                given=value,
                timestamp_ms=timestamp_ms,
            )
        )
    return timestamp_ms


def time_text(timestamp_ms: int) -> str:
    """Return a time as ISO 8601 text in UTC, for display."""
    try:
        moment = _EPOCH + timedelta(milliseconds=timestamp_ms)
    except OverflowError:
        return str(timestamp_ms)
    text = moment.replace(tzinfo=None, microsecond=0).isoformat()
    fraction = f".{timestamp_ms % 1000:03d}" if timestamp_ms % 1000 else ""
    return f"{text}{fraction}Z"
