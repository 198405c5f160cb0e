"""Byte keys of windowed stores: first the window's start, then the key.

::

    window key := start_ms as uint64 big-endian | key bytes of the store's key codec

All windows of one start are adjacent, so closing the windows of a time range and dropping old windows are
*ranges*: their cost is that of the affected windows, however many keys exist. Kafka Streams puts the key
first: the windows of one key are then a range, and closing windows is a scan. Here a query for the windows of
one key jumps from start to start (``queries``); such queries are rarer.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any, TypeVar

from streamcore.errors import SerdeError, with_facts
from streamcore.model import TimestampMs
from streamcore.state.keys import KeyCodec

K = TypeVar("K")

START_BYTES = 8
_START = struct.Struct(">Q")


def encode_start(start_ms: TimestampMs) -> bytes:
    """Return the first eight bytes of the window keys with this start, also a bound between windows.

    Raises:
        SerdeError: the start is before 1970.
    """
    try:
        return _START.pack(start_ms)
    except struct.error as error:
        raise SerdeError(with_facts("a window cannot start here", start_ms=start_ms)) from error


def decode_start(window_key: bytes) -> TimestampMs:
    """Return the start of the window of a window key."""
    start_ms: int = _START.unpack_from(window_key)[0]
    return start_ms


def window_range(since_ms: TimestampMs, until_ms: TimestampMs) -> tuple[bytes, bytes]:
    """Return the range of bytes ``[start, end)`` with the windows that start in ``[since_ms, until_ms)``."""
    return encode_start(max(0, since_ms)), encode_start(max(0, until_ms))


def window_key_codec(keys: KeyCodec[K]) -> KeyCodec[tuple[K, TimestampMs]]:
    """Return the codec for ``(key, start_ms)`` pairs over a codec for the keys alone."""

    def encode_many(pairs: Iterable[tuple[K, TimestampMs]]) -> list[bytes]:
        pairs = pairs if isinstance(pairs, Sequence) else list(pairs)
        if not pairs:
            return []
        parts, starts_ms = zip(*pairs, strict=True)
        return _behind_starts(starts_ms, keys.encode_many(parts))

    def decode_many(encoded: Sequence[bytes]) -> list[tuple[K, TimestampMs]]:
        starts = [decode_start(data) for data in encoded]
        return list(zip(keys.decode_many([data[START_BYTES:] for data in encoded]), starts, strict=True))

    return _WindowKeyCodec(
        f"window {keys.name}",
        encode_many,
        decode_many,
        lambda pairs: keys.is_plain([key for key, _ in pairs]),
        keys,
    )


@dataclass(frozen=True, slots=True)
class _WindowKeyCodec(KeyCodec[Any]):
    """Identities are pairs, too: the identity of the key, and the start of the window."""

    keys: KeyCodec[Any]

    def identify_many(self, keys: Sequence[Any]) -> Sequence[Any]:
        parts = [key for key, _ in keys]
        identities = self.keys.identify_many(parts)
        if identities is parts:
            return keys
        return [(found, start_ms) for found, (_, start_ms) in zip(identities, keys, strict=True)]

    def encode_identities(self, identities: Collection[Any]) -> list[bytes]:
        if not identities:
            return []
        parts, starts_ms = zip(*identities, strict=True)
        return _behind_starts(starts_ms, self.keys.encode_identities(parts))

    def in_order(self, identities: Collection[Any]) -> tuple[list[Any], list[bytes]]:
        keys_of: dict[TimestampMs, list[Any]] = {}
        for key, start_ms in identities:
            keys_of.setdefault(start_ms, []).append(key)
        ordered: list[Any] = []
        encoded: list[bytes] = []
        for start_ms in sorted(keys_of):
            keys, parts = self.keys.in_order(keys_of[start_ms])
            start = encode_start(start_ms)
            ordered += zip(keys, repeat(start_ms))
            encoded += [start + part for part in parts]
        return ordered, encoded


def _behind_starts(starts_ms: Collection[TimestampMs], encoded: Collection[bytes]) -> list[bytes]:
    # Many keys share a few windows.
    packed = {start_ms: encode_start(start_ms) for start_ms in set(starts_ms)}
    return [packed[start_ms] + data for start_ms, data in zip(starts_ms, encoded, strict=True)]
