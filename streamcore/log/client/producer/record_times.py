"""The times that a producer can send, and the refusal of others.

A record's time is in milliseconds since 1970 and not negative, as in Kafka. The limits of 64-bit times and of
librdkafka are checked here, before a record joins a batch: in a batch it would fail all others with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from streamcore.durations import record_time_ms
from streamcore.errors import InvalidTimestampError, with_facts
from streamcore.log.records.batch import NO_TIMESTAMP
from streamcore.model import TimestampMs

TIME_MS_MAX: Final = 2**63 - 1


def sendable_time_ms(given: int | datetime | str, time_min_ms: TimestampMs) -> TimestampMs:
    """Return a time in milliseconds.

    Raises:
        UsageError: the value is not a time.
        InvalidTimestampError: it is before ``time_min_ms``, before 1970, or does not fit into 64 bits.
    """
    timestamp_ms = record_time_ms(given)
    if timestamp_ms < time_min_ms:
        raise _too_early(timestamp_ms)
    return timestamp_ms


def ensure_sendable(timestamps_ms: Sequence[TimestampMs], time_min_ms: TimestampMs) -> None:
    """Check the times of many records. Raises ``InvalidTimestampError`` for the first that cannot be sent."""
    if timestamps_ms and (min(timestamps_ms) < time_min_ms or max(timestamps_ms) > TIME_MS_MAX):
        for timestamp_ms in timestamps_ms:
            sendable_time_ms(timestamp_ms, time_min_ms)


def ensure_writable(timestamps_ms: Sequence[TimestampMs], time_min_ms: TimestampMs) -> None:
    """Check times as ``ensure_sendable`` does, but accept -1: a record without a time stays without."""
    if min(timestamps_ms) < time_min_ms or max(timestamps_ms) > TIME_MS_MAX:
        ensure_sendable([time_ms for time_ms in timestamps_ms if time_ms != NO_TIMESTAMP], time_min_ms)


def _too_early(timestamp_ms: TimestampMs) -> InvalidTimestampError:
    return InvalidTimestampError(
        with_facts(
            "the first millisecond of 1970 cannot be sent over the network: librdkafka takes a time of 0 "
            "for the present one; use a time of at least 1",
            timestamp_ms=timestamp_ms,
        )
    )
