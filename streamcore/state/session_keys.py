"""Byte keys and values of session stores: by period of time, then by key, then by the session's end.

::

    session key   := period as uint64 big-endian | key bytes of the store's key codec | end_ms as uint64
    session value := start_ms as uint64 big-endian | value bytes
    period        := end_ms - end_ms % period_ms

``period_ms`` is fixed when the store is created (``period_of_gap``). Periods are ranges of bytes, so dropping
old sessions is a range, and the open sessions are at the end of the store. Within a period the sessions of a
key are adjacent, so a query for one key costs one seek per period. Sessions of one key never have equal ends:
a record whose session would end where a closed one ended is late.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from itertools import takewhile
from typing import Final

from streamcore.model import TimestampMs
from streamcore.state.engine import KeyValueEngine

PERIOD_BYTES: Final = 8
END_BYTES: Final = 8
START_BYTES: Final = 8

_NUMBER = struct.Struct(">Q")
PACK_NUMBER: Final = _NUMBER.pack
"""Packs a period, an end or a start; for loops that cannot call a function for each session."""
_pack = PACK_NUMBER
_PERIOD_MS_MIN: Final = 60_000
_GAPS_IN_PERIOD: Final = 8


def period_of_gap(gap_ms: int) -> int:
    """Return the period of a store, in milliseconds: long enough that few sessions reach into the next."""
    return max(_PERIOD_MS_MIN, _GAPS_IN_PERIOD * gap_ms)


def session_key(period_ms: int, key: bytes, end_ms: TimestampMs) -> bytes:
    """Return the byte key of a session, from the bytes of its key."""
    return _pack(end_ms - end_ms % period_ms) + key + _pack(end_ms)


def session_keys(period_ms: int, keys: Sequence[bytes], ends_ms: Sequence[TimestampMs]) -> list[bytes]:
    """Return the byte keys of many sessions, which are in few periods."""
    numbers = [end_ms // period_ms for end_ms in ends_ms]
    periods = {number: _pack(number * period_ms) for number in set(numbers)}
    ends = map(_pack, ends_ms)
    return [periods[number] + key + end for number, key, end in zip(numbers, keys, ends, strict=True)]


def period_key(period_ms: int, end_ms: TimestampMs) -> bytes:
    """Return the first eight bytes of the sessions that end in the period of a time, also a bound."""
    end_ms = max(0, end_ms)
    return _NUMBER.pack(end_ms - end_ms % period_ms)


def key_in(data: bytes) -> bytes:
    """Return the bytes of the key in a session key."""
    return data[PERIOD_BYTES:-END_BYTES]


def end_in(data: bytes) -> TimestampMs:
    """Return the end in a session key."""
    end_ms: int = _NUMBER.unpack_from(data, len(data) - END_BYTES)[0]
    return end_ms


def following_period(period_ms: int, data: bytes) -> bytes:
    """Return the first bytes of the period after that of a session key."""
    found_ms: int = _NUMBER.unpack_from(data)[0]
    return _NUMBER.pack(found_ms + period_ms)


def session_value(start_ms: TimestampMs, value: bytes) -> bytes:
    """Return the stored value of a session."""
    return _pack(start_ms) + value


def session_values(starts_ms: Sequence[TimestampMs], values: Sequence[bytes]) -> list[bytes]:
    """Return the stored values of many sessions."""
    return [start + value for start, value in zip(map(_pack, starts_ms), values, strict=True)]


def start_in(value: bytes) -> TimestampMs:
    """Return the start in a stored value."""
    start_ms: int = _NUMBER.unpack_from(value)[0]
    return start_ms


def pairs_of_key(
    engine: KeyValueEngine, store: str, period_ms: int, key: bytes, end_from_ms: TimestampMs
) -> Iterator[tuple[bytes, bytes]]:
    """Return what an engine has for the sessions of a key that end at a time or later, by end.

    Costs one seek for each period from the time on.
    """
    low: bytes | None = session_key(period_ms, key, max(0, end_from_ms))
    size = PERIOD_BYTES + len(key) + END_BYTES
    while True:
        first = next(engine.scan(store, low, None), None)
        if first is None:
            return
        period = first[0][:PERIOD_BYTES]
        begin = max(low or b"", period + key)
        # Keys may begin with the bytes of this one, so its sessions need not be adjacent.
        same = takewhile(
            lambda pair, begins=period + key: pair[0].startswith(begins),  # type: ignore[misc]
            engine.scan(store, begin, None),
        )
        yield from (pair for pair in same if len(pair[0]) == size)
        low = following_period(period_ms, first[0])
