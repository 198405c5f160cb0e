"""A store of rows by key and time, in buckets of time: the rows that a join of streams keeps of one side.

A key gets rows with each commit. They are written in chunks, so the cost of a commit grows with the rows that
it adds, not with those that the key has::

    chunk key   := start of the bucket as uint64, big-endian | key inside a tuple | number of the chunk as int
    chunk value := the rows, by time; rows of equal times in the order of arrival

A chunk of ``CHUNK_BYTES`` or more is closed: further rows of its key and bucket are in the next one. So the
length of a chunk says whether there can be another. Rows of a later chunk arrived later.

In memory, the rows of a key and bucket are one list, by time, then by arrival. A bucket is *whole* if all its
rows are in memory. A new bucket is whole from its start, so a join reads nothing from the engine as long as
the rows within its reach fit into memory. The rows in memory are at most ``ROWS_BYTES_MAX`` after a commit,
by an estimate; the oldest buckets leave memory first, and are read again key by key.
"""

from __future__ import annotations

import types
from bisect import bisect_left, bisect_right, insort_right
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Any, Final, Generic, Protocol, TypeVar

from streamcore.errors import UsageError, with_facts
from streamcore.model import TimestampMs
from streamcore.state.engine import KeyValueEngine, StoreWrites
from streamcore.state.key_fields import encode_bytes, encode_int
from streamcore.state.keys import KeyBytes, KeyCodec, key_codec
from streamcore.state.window_keys import START_BYTES, decode_start, encode_start, window_range
from streamcore.state.windowed import WindowStore

CHUNK_BYTES: Final = 4 << 10
"""The least length of a closed chunk."""

ROWS_BYTES_MAX: Final = 32 << 20
"""The most bytes that the rows in memory have after a commit."""

ROW_BYTES: Final = 160
"""The estimated memory of a row beside its data."""

_NUMBER_BYTES: Final = 8
_FIRST: Final = encode_int(0)
_ROW_BYTES_LEAST: Final = 5
"""The least length of an encoded row beside its data."""


class KeptRow(Protocol):
    """A row: its time and its data."""

    time_ms: int
    data: bytes


R = TypeVar("R", bound=KeptRow)

time_of: Final = attrgetter("time_ms")
"""Returns the time of a row."""


def add_row(rows: list[R], row: R) -> None:
    """Insert a row into rows of one key: by time, behind rows of the same time."""
    if not rows or rows[-1].time_ms <= row.time_ms:
        rows.append(row)
    else:
        insort_right(rows, row, key=time_of)


def chunk_key_codec(key_type: Any) -> KeyCodec[Any]:
    """Return the codec of the keys of chunks without the start of the bucket: pairs of key and number."""
    return key_codec(types.GenericAlias(tuple, (Any if key_type is None else key_type, int)))


class _Chunks(Generic[R]):
    """The rows of a key that has closed chunks, as they are written."""

    __slots__ = ("changed", "closed", "open")

    def __init__(self, closed: list[list[R]], open_rows: list[R]) -> None:
        self.closed = closed
        self.open = open_rows
        self.changed: set[int] = set()
        """The numbers of closed chunks that hold a changed row."""

    def note_change(self, row: R) -> None:
        """Note that a row was changed in place."""
        for number, rows in enumerate(self.closed):
            if rows[0].time_ms <= row.time_ms <= rows[-1].time_ms:
                start = bisect_left(rows, row.time_ms, key=time_of)
                end = bisect_right(rows, row.time_ms, lo=start, key=time_of)
                if any(found is row for found in rows[start:end]):
                    self.changed.add(number)
                    return

    def drained(self, encode: Callable[[list[R]], bytes]) -> Iterator[tuple[int, bytes]]:
        """Close the chunks that are long enough; return the number and value of each changed chunk."""
        changed, self.changed = self.changed, set()
        for number in sorted(changed):
            yield number, encode(self.closed[number])
        pieces, self.open = _cut(self.open), []
        for piece in pieces:
            value = encode(piece)
            yield len(self.closed), value
            if len(value) >= CHUNK_BYTES:
                self.closed.append(piece)
            else:
                self.open = piece


def _cut(rows: list[R]) -> list[list[R]]:
    """Cut rows into pieces; all but the last are long enough to be closed."""
    pieces: list[list[R]] = []
    start = size = 0
    for end, row in enumerate(rows, 1):
        size += len(row.data) + _ROW_BYTES_LEAST
        if size >= CHUNK_BYTES:
            pieces.append(rows[start:end])
            start, size = end, 0
    if start < len(rows):
        pieces.append(rows[start:])
    return pieces


class Bucket(Generic[R]):
    """The rows of a span of time: by the identity of their key, those that are in memory.

    Other classes may read ``rows``; an empty list means that the key has no row.
    """

    __slots__ = ("bytes", "changed", "chunks", "is_whole", "rows")

    def __init__(self, is_whole: bool) -> None:
        self.rows: dict[Any, list[R]] = {}
        self.chunks: dict[Any, _Chunks[R]] = {}
        """The chunks of the keys that have closed ones."""
        self.changed: dict[Any, None] = {}
        """The keys whose rows changed since the last commit."""
        self.is_whole = is_whole
        self.bytes = 0

    def add(self, identity: Any, row: R) -> None:
        """Add a row of a key."""
        found = self.rows.get(identity)
        if found is None:
            self.rows[identity] = [row]
        elif found and found[-1].time_ms <= row.time_ms:
            found.append(row)
        else:
            add_row(found, row)
        if self.chunks and (chunks := self.chunks.get(identity)) is not None:
            add_row(chunks.open, row)
        self.changed[identity] = None
        self.bytes += len(row.data) + ROW_BYTES

    def note_change(self, identity: Any, row: R) -> None:
        """Note that a row was changed in place."""
        self.changed[identity] = None
        if self.chunks and (chunks := self.chunks.get(identity)) is not None:
            chunks.note_change(row)


class RowStore(WindowStore[Any, list[R]]):
    """The rows of one side of one task. Not for sharing between threads.

    The step asks ``is_whole_from``, calls ``read`` where it is not, and looks into ``buckets``.
    """

    def __init__(
        self,
        engine: KeyValueEngine,
        store: str,
        key_type: Any,
        encode: Callable[[list[R]], bytes],
        decode: Callable[[bytes], list[R]],
        *,
        rows_bytes_max: int = ROWS_BYTES_MAX,
    ) -> None:
        """Create the store; ``key_type`` is that of the keys alone."""
        keys = key_codec(key_type)
        super().__init__(engine, store, keys, encode, decode)
        self.buckets: dict[int, Bucket[R]] = {}
        """The buckets in memory, by their start."""
        self._row_keys = keys
        self._chunk_keys = chunk_key_codec(key_type)
        self._bytes_max = rows_bytes_max
        self._is_opened = False
        self._whole_from_ms = 0

    # -- for the step

    def identify(self, keys: Sequence[Any]) -> Sequence[Any]:
        """Return the identity of each key; ``keys`` itself if each key is its own identity."""
        return self._row_keys.identify_many(keys)

    def load(self, keys: Collection[Any]) -> dict[Any, Any]:
        """Refuse keys that the store cannot hold; return nothing.

        Raises:
            SerdeError: a key is not of the store's key type.
        """
        self._row_keys.encode_identities(keys)
        return {}

    def ensure_key(self, key: Any) -> None:
        """Refuse a key that this store cannot hold.

        Raises:
            SerdeError: it is not of the store's key type.
        """
        self._row_keys.encode(key)

    def is_whole_from(self, start_ms: TimestampMs) -> bool:
        """Whether all rows of buckets that start at or after a time are in memory."""
        if not self._is_opened:
            self._is_opened = True
            self._whole_from_ms = self.newest_committed_ms() + 1
        return start_ms >= self._whole_from_ms

    def bucket(self, start_ms: TimestampMs) -> Bucket[R]:
        """Return the bucket that starts at a time; a new one if it is not in memory."""
        found = self.buckets.get(start_ms)
        if found is None:
            found = self.buckets[start_ms] = Bucket(self.is_whole_from(start_ms))
        return found

    def read(self, start_ms: TimestampMs, identities: Iterable[Any]) -> None:
        """Read the rows of keys in one bucket into memory, if they are not there."""
        bucket = self.bucket(start_ms)
        if bucket.is_whole:
            return
        missing = [identity for identity in identities if identity not in bucket.rows]
        start = encode_start(start_ms)
        keys = [start + data for data in self._key_data(missing)]
        first = self._engine.get_many(self.store, [key + _FIRST for key in keys])
        for identity, key, value in zip(missing, keys, first, strict=True):
            if value is None:
                bucket.rows[identity] = []
                continue
            values = [value]
            while len(values[-1]) >= CHUNK_BYTES:
                following = self._engine.get(self.store, key + encode_int(len(values)))
                if following is None:
                    break
                values.append(following)
            self._keep(bucket, identity, values)

    def rows_of(self, start_ms: TimestampMs, identity: Any) -> Sequence[R]:
        """Return the rows of a key in one bucket."""
        self.read(start_ms, (identity,))
        return self.buckets[start_ms].rows.get(identity, ())

    @property
    def memory_bytes(self) -> int:
        """The estimated memory of the rows."""
        return sum(bucket.bytes for bucket in self.buckets.values())

    # -- for reading

    def windows_between(
        self, since_ms: TimestampMs, until_ms: TimestampMs
    ) -> Iterator[tuple[tuple[Any, TimestampMs], list[R]]]:
        """Return the rows of each key and bucket that starts in ``[since_ms, until_ms)``, by start, then key.

        Whole buckets are not read from the engine.
        """
        position_ms = max(since_ms, self._dropped_before_ms, 0)
        whole = [start_ms for start_ms, bucket in self.buckets.items() if bucket.is_whole]
        for start_ms in sorted(start_ms for start_ms in whole if position_ms <= start_ms < until_ms):
            yield from self._stored_between(position_ms, start_ms)
            yield from self._of_bucket(start_ms, {})
            position_ms = start_ms + 1
        yield from self._stored_between(position_ms, until_ms)

    def items(self) -> Iterator[tuple[tuple[Any, TimestampMs], list[R]]]:
        """Return the rows of each key and bucket that is not dropped, by start, then key."""
        return self.windows_between(0, 2**63)

    def get(self, key: tuple[Any, TimestampMs], default: list[R] | None = None) -> list[R] | None:
        """Return the rows of a key in the bucket that starts at a time, or ``default``."""
        identity, start_ms = self.identify([key[0]])[0], key[1]
        if start_ms < self._dropped_before_ms:
            return default
        return [*self.rows_of(start_ms, identity)] or default

    def put(self, key: Any, value: list[R] | None) -> None:
        """Raise ``UsageError``: only the step of a join writes its rows."""
        raise UsageError(with_facts("only its step writes the rows of a join", table=self.store))

    def delete(self, key: Any) -> None:
        """Raise ``UsageError``: only the step of a join writes its rows."""
        self.put(key, None)

    # -- the commit

    def drop_before(self, start_ms: TimestampMs) -> None:
        """As in ``WindowStore``: dropped buckets leave memory at once."""
        super().drop_before(start_ms)
        for dropped_ms in [each for each in self.buckets if each < self._dropped_before_ms]:
            del self.buckets[dropped_ms]

    @property
    def is_dirty(self) -> bool:
        """Whether ``drain`` may return anything."""
        return self.has_writes or super().is_dirty

    @property
    def has_writes(self) -> bool:
        """Whether a row has changed since the last drain."""
        return any(bucket.changed for bucket in self.buckets.values())

    def _drained_windows(self) -> StoreWrites | None:
        keys: list[bytes] = []
        values: list[bytes | None] = []
        for start_ms in sorted(self.buckets):
            bucket = self.buckets[start_ms]
            if bucket.changed:
                self._drain_bucket(start_ms, bucket, keys, values)
        return StoreWrites(self.store, keys, values) if keys else None

    def _drain_bucket(
        self, start_ms: TimestampMs, bucket: Bucket[R], keys: list[bytes], values: list[bytes | None]
    ) -> None:
        """Append the changed chunks of a bucket to keys and values."""
        changed, bucket.changed = bucket.changed, {}
        if start_ms < self._dropped_before_ms:
            return
        identity_of = dict(zip(self._key_data(changed), changed, strict=True))
        ordered = sorted(identity_of)
        identities = list(map(identity_of.__getitem__, ordered))
        start, encode, chunks_of = encode_start(start_ms), self._encode, bucket.chunks
        if not chunks_of:
            encoded = list(map(encode, map(bucket.rows.__getitem__, identities)))
            if max(map(len, encoded)) < CHUNK_BYTES:
                keys += [start + data + _FIRST for data in ordered]
                values += encoded
                return
        for data, identity in zip(ordered, identities, strict=True):
            rows = bucket.rows[identity]
            chunks = chunks_of.get(identity)
            if chunks is None:
                value = encode(rows)
                if len(value) < CHUNK_BYTES:
                    keys.append(start + data + _FIRST)
                    values.append(value)
                    continue
                chunks = chunks_of[identity] = _Chunks([], list(rows))
            for number, value in chunks.drained(encode):
                keys.append(start + data + encode_int(number))
                values.append(value)

    def committed(self) -> None:
        """As in ``WindowStore``; the oldest buckets leave memory if there are too many rows."""
        super().committed()
        size = self.memory_bytes
        if size <= self._bytes_max:
            return
        for start_ms in sorted(self.buckets):
            if size <= self._bytes_max * 3 // 4:
                break
            if not self.buckets[start_ms].changed:
                size -= self.buckets.pop(start_ms).bytes
                self._whole_from_ms = max(self._whole_from_ms, start_ms + 1)

    def abort(self) -> None:
        """As in ``WindowStore``: all rows are read from the engine again."""
        super().abort()
        self.buckets = {}
        self._is_opened = False
        self._whole_from_ms = 0

    # -- within

    def _key_data(self, identities: Collection[Any]) -> list[bytes]:
        """Return the bytes of keys as inside a tuple."""
        if self._row_keys.name in ("str", "bytes"):
            return list(map(encode_bytes, self._row_keys.encode_identities(identities)))
        keys = [
            self._row_keys.decode(identity.data) if type(identity) is KeyBytes else identity
            for identity in identities
        ]
        return [data[:-_NUMBER_BYTES] for data in self._chunk_keys.encode_many([(key, 0) for key in keys])]

    def _keep(self, bucket: Bucket[R], identity: Any, values: list[bytes]) -> None:
        """Put the rows of the chunks of a key into memory."""
        chunks = [self._copy(identity, value) for value in values]
        rows = chunks[0]
        if len(values[0]) >= CHUNK_BYTES:
            rows = sorted((row for chunk in chunks for row in chunk), key=time_of)
            open_rows = [] if len(values[-1]) >= CHUNK_BYTES else chunks.pop()
            bucket.chunks[identity] = _Chunks(chunks, open_rows)
        bucket.rows[identity] = rows
        bucket.bytes += sum(map(len, values)) + ROW_BYTES * len(rows)

    def _stored_between(
        self, since_ms: TimestampMs, until_ms: TimestampMs
    ) -> Iterator[tuple[tuple[Any, TimestampMs], list[R]]]:
        """As ``windows_between``, for a range without a whole bucket."""
        waiting = sorted((each for each in self.buckets if since_ms <= each < until_ms), reverse=True)
        if since_ms < until_ms:
            pairs = self._engine.scan(self.store, *window_range(since_ms, until_ms))
            for start_ms, of_bucket in groupby(pairs, key=lambda pair: decode_start(pair[0])):
                while waiting and waiting[-1] < start_ms:
                    yield from self._of_bucket(waiting.pop(), {})
                if waiting and waiting[-1] == start_ms:
                    waiting.pop()
                stored: dict[bytes, list[R]] = {}
                for key, value in of_bucket:
                    stored.setdefault(key[START_BYTES:-_NUMBER_BYTES], []).extend(self._copy(key, value))
                for rows in stored.values():
                    rows.sort(key=time_of)
                yield from self._of_bucket(start_ms, stored)
        while waiting:
            yield from self._of_bucket(waiting.pop(), {})

    def _of_bucket(
        self, start_ms: TimestampMs, stored: dict[bytes, list[R]]
    ) -> Iterator[tuple[tuple[Any, TimestampMs], list[R]]]:
        """Return the rows of a bucket by key: those in memory, and of other keys those that are stored."""
        bucket = self.buckets.get(start_ms)
        if bucket is not None:
            stored.update(zip(self._key_data(bucket.rows), bucket.rows.values(), strict=True))
        found = [data for data in sorted(stored) if stored[data]]
        keys = self._chunk_keys.decode_many([data + _FIRST for data in found])
        for (key, _), data in zip(keys, found, strict=True):
            yield (key, start_ms), stored[data]
