"""Joins the records of two streams whose times are near.

The rows of a batch are taken in the order of their origins, left before right: each meets the rows of the
other side that were kept before it, and is then kept itself. So each pair meets once, with the later record.

A row that a left or outer join keeps without a match is emitted when the watermark is beyond all records
that it could meet. Such rows are found by time: a bucket of rows is read once, when the watermark reaches
it, and its unmatched rows are in a heap from then on. Rows leave the store with their bucket, as one range.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Any, TypeAlias

from streamcore.processing.operators.batch import Batch, BatchSource, merged
from streamcore.processing.operators.guard import Guard
from streamcore.processing.operators.store_keys import loaded
from streamcore.processing.operators.windowed_aggregate import LateSink, Watermark, late_times_ms
from streamcore.processing.topology.joins import Row
from streamcore.processing.topology.nodes import StreamJoin
from streamcore.state.keys import KeyCodec, key_codec
from streamcore.state.row_store import RowStore, time_of

Place: TypeAlias = tuple[Any, int]
"""The identity of a key, and the start of a bucket."""

_FEW_ROWS = 16
"""Up to this number of rows, looking at each is faster than a search."""


@dataclass(slots=True)
class _Arrived:
    """Records of one side that are in time, with the identities of their keys and their encoded values;
    ``None`` for both without a key.
    """

    batch: Batch
    identities: Sequence[Any]
    data: list[bytes | None]


class _Side:
    """One side of a join: its store, and what the records of this side look for on the other."""

    def __init__(
        self, guard: Guard, node: StreamJoin, store: RowStore[Row], time: Watermark, right: bool
    ) -> None:
        self.store = store
        self.is_right = right
        self.keeps = node.keeps(is_right=right)
        self.back_ms = node.span.reach_back_ms(is_right=right)
        self.ahead_ms = node.span.reach_ahead_ms(is_right=right)
        self.decode = node.sides[right].serde.decode
        self._encode = node.sides[right].serde.encode
        self._guard = guard
        self._time = time
        self._in_time_ms = self.ahead_ms + 1 + node.span.grace_ms
        self._bucket_ms = node.span.bucket_ms
        self._newest_ms = store.newest_committed_ms()

    def arrived(self, batch: Batch | None, late: LateSink) -> _Arrived | None:
        """Return the records of a batch that take part in the join; ``None`` if there are none."""
        if batch is None or not len(batch):
            return None
        batch = self._guard.with_values(batch)
        if not self.keeps:
            batch = self._guard.with_keys(batch)
        batch = self._guard.with_times(batch)
        if not len(batch):
            return None
        batch, identities, _ = loaded(self._guard, self.store, batch.keys, batch)
        batch, identities = self._in_time(batch, identities, late)
        if not len(batch):
            return None
        encode = self._encode
        if self.keeps and any(identity is None for identity in identities):
            pairs = list(zip(identities, batch.values, strict=True))
            data, kept = self._guard.map(
                lambda pair: None if pair[0] is None else encode(pair[1]), pairs, batch
            )
        else:
            data, kept = self._guard.map(encode, batch.values, batch)
        if kept is not None:
            batch, identities = batch.take(kept), [identities[index] for index in kept]
        return _Arrived(batch, identities, data) if len(batch) else None

    def _in_time(
        self, batch: Batch, identities: Sequence[Any], late: LateSink
    ) -> tuple[Batch, Sequence[Any]]:
        """Return the records whose window has not ended; report the others as late."""
        if not len(batch):
            return batch, identities
        times_ms, in_time_ms = late_times_ms(batch, self._time), self._in_time_ms
        if min(batch.timestamps_ms) + in_time_ms > max(times_ms):
            return batch, identities
        flags = [
            identity is None or timestamp_ms + in_time_ms > time_ms
            for identity, timestamp_ms, time_ms in zip(identities, batch.timestamps_ms, times_ms, strict=True)
        ]
        if all(flags):
            return batch, identities
        late.late(batch.where([not flag for flag in flags]))
        return batch.where(flags), [
            identity for identity, flag in zip(identities, flags, strict=True) if flag
        ]

    def note_newest(self, arrived: _Arrived | None) -> int:
        """Return the start of the newest bucket, with those of arrived records."""
        if arrived is not None:
            newest_ms = max(arrived.batch.timestamps_ms)
            self._newest_ms = max(self._newest_ms, newest_ms - newest_ms % self._bucket_ms)
        return self._newest_ms

    def read_rows(self, own: _Arrived | None, other: _Arrived | None) -> None:
        """Read the rows into memory to which records of this side are added, and those that records of the
        other side can meet.
        """
        size_ms = self._bucket_ms
        ranges: list[tuple[_Arrived, int, int]] = []
        if own is not None:
            ranges.append((own, 0, 0))
        if other is not None:
            # The other side reaches back as far as this one reaches ahead.
            ranges.append((other, self.ahead_ms, self.back_ms))
        lowest_ms = min(min(arrived.batch.timestamps_ms) - back_ms for arrived, back_ms, _ in ranges)
        if self.store.is_whole_from(max(0, lowest_ms - lowest_ms % size_ms)):
            return
        wanted: dict[int, set[Any]] = {}
        for arrived, back_ms, ahead_ms in ranges:
            for identity, time_ms in zip(arrived.identities, arrived.batch.timestamps_ms, strict=True):
                if identity is None:
                    continue
                first_ms, end_ms = max(0, time_ms - back_ms), time_ms + ahead_ms
                if back_ms or ahead_ms:
                    end_ms = min(end_ms, self._newest_ms)
                for start_ms in range(first_ms - first_ms % size_ms, end_ms + 1, size_ms):
                    wanted.setdefault(start_ms, set()).add(identity)
        for start_ms, identities in wanted.items():
            self.store.read(start_ms, identities)


class _Unmatched:
    """The rows of a side that wait for a match, in the buckets that the watermark has reached."""

    def __init__(self, side: _Side, keys: KeyCodec[Any], bucket_ms: int, bound_ms: int) -> None:
        """Create the index; rows before ``bound_ms`` were emitted, if they had no match."""
        self._side = side
        self._keys = keys
        self._bucket_ms = bucket_ms
        self._emitted_ms = max(0, bound_ms)
        self._read_ms = self._emitted_ms - self._emitted_ms % bucket_ms
        self._waiting: list[tuple[int, int, Place]] = []
        self._count = 0

    def add(self, time_ms: int, place: Place) -> None:
        """Add a row without a match."""
        if place[1] < self._read_ms:
            # The number keeps places, which cannot be ordered, out of comparisons.
            self._count += 1
            heappush(self._waiting, (time_ms, self._count, place))

    def ended(self, bound_ms: int) -> list[tuple[int, bool, bytes, Row]]:
        """Return the rows before a time that stay without a match: time, whether right, key, row."""
        if bound_ms <= self._emitted_ms:
            return []
        self._read(bound_ms)
        places: dict[Place, None] = {}
        while self._waiting and self._waiting[0][0] < bound_ms:
            places[heappop(self._waiting)[2]] = None
        first_ms, self._emitted_ms = self._emitted_ms, bound_ms
        encoded = self._keys.encode_identities([identity for identity, _ in places])
        return [
            (row.time_ms, self._side.is_right, key, row)
            for (identity, start_ms), key in zip(places, encoded, strict=True)
            for row in self._side.store.rows_of(start_ms, identity)
            if first_ms <= row.time_ms < bound_ms and not row.is_matched
        ]

    def last_ms(self, latest_ms: int) -> int | None:
        """Return the time of the last row at or before a time that has no match yet."""
        unread = self._side.store.windows_between(
            self._emitted_ms - self._emitted_ms % self._bucket_ms, 2**62
        )
        return max(
            (
                row.time_ms
                for _, rows in unread
                for row in rows
                if self._emitted_ms <= row.time_ms <= latest_ms and not row.is_matched
            ),
            default=None,
        )

    def _read(self, bound_ms: int) -> None:
        """Read the buckets that begin before a time."""
        if bound_ms <= self._read_ms:
            return
        end_ms = bound_ms + -bound_ms % self._bucket_ms
        found = [
            (row.time_ms, key, start_ms)
            for (key, start_ms), rows in self._side.store.windows_between(self._read_ms, end_ms)
            for row in rows
            if row.time_ms >= self._emitted_ms and not row.is_matched
        ]
        self._read_ms = end_ms
        identities = self._side.store.identify([key for _, key, _ in found])
        for (time_ms, _, start_ms), identity in zip(found, identities, strict=True):
            self.add(time_ms, (identity, start_ms))


class StreamJoinOperator:
    """Emits ``function(left value, right value)`` for each pair, and for rows without a match if it keeps
    them.
    """

    def __init__(
        self,
        guard: Guard,
        node: StreamJoin,
        stores: tuple[RowStore[Row], RowStore[Row]],
        time: Watermark,
        late: LateSink,
    ) -> None:
        self._guard = guard
        self._function = node.function
        self._span = node.span
        self._time = time
        self._late = late
        self._left = _Side(guard, node, stores[0], time, False)
        self._right = _Side(guard, node, stores[1], time, True)
        self._keys = key_codec(node.sides[0].store.key_type)
        bound_ms = node.span.unmatched_before(time.watermark_ms)
        self._unmatched = [
            _Unmatched(side, self._keys, node.span.bucket_ms, bound_ms) if side.keeps else None
            for side in (self._left, self._right)
        ]

    def process_sides(self, left: Batch | None, right: Batch | None, source: BatchSource) -> Batch | None:
        """Return what records of both sides give, and the rows that the watermark leaves without a match."""
        arrived = (self._left.arrived(left, self._late), self._right.arrived(right, self._late))
        pairs = self._pairs(arrived)
        ended = self._ended(source)
        return merged([batch for batch in (pairs, ended) if batch is not None])

    def _pairs(self, arrived: tuple[_Arrived | None, _Arrived | None]) -> Batch | None:
        present = [each for each in arrived if each is not None]
        batch = merged([each.batch for each in present])
        if batch is None:
            return None
        counts = [0 if each is None else len(each.batch) for each in arrived]
        sides = [False] * counts[0] + [True] * counts[1]
        identities = [identity for each in present for identity in each.identities]
        data = [found for each in present for found in each.data]
        newest_ms = self._left.note_newest(arrived[0]), self._right.note_newest(arrived[1])
        self._left.read_rows(arrived[0], arrived[1])
        self._right.read_rows(arrived[1], arrived[0])
        if len(present) == 2:
            # The same order as that of ``merged``.
            origins = [origin for each in present for origin in each.batch.origins]
            order = sorted(range(len(origins)), key=origins.__getitem__)
            sides = [sides[index] for index in order]
            identities = [identities[index] for index in order]
            data = [data[index] for index in order]
        indexes, others, times_ms = self._met(
            zip(sides, batch.timestamps_ms, identities, data, strict=True), newest_ms
        )
        if not indexes:
            return None
        met = batch.take(indexes)
        met.timestamps_ms = times_ms
        met_sides = [sides[index] for index in indexes]
        function, left_value, right_value = self._function, self._left.decode, self._right.decode

        def joined(pair: tuple[bool, Any, bytes | None]) -> Any:
            is_right, value, other = pair
            if is_right:
                return function(None if other is None else left_value(other), value)
            return function(value, None if other is None else right_value(other))

        calls = list(zip(met_sides, met.values, others, strict=True))
        values, kept = self._guard.map(joined, calls, met)
        return (met if kept is None else met.take(kept)).with_values(values)

    def _met(
        self, records: Iterable[tuple[bool, int, Any, bytes | None]], newest_ms: tuple[int, int]
    ) -> tuple[list[int], list[bytes | None], list[int]]:
        """Keep each record as a row and find the rows that it meets; all of them are in memory.

        Args:
            records: whether it is right, its time, the identity of its key, its encoded value.
            newest_ms: the start of the newest bucket of the left and of the right.

        Returns:
            For each result the index of the record, the encoded value of the row it meets, ``None`` for none,
            and the later time.
        """
        left, right, size_ms = self._left, self._right, self._span.bucket_ms
        facts = (
            (
                left.back_ms,
                left.ahead_ms,
                left.store,
                right.store.buckets,
                newest_ms[1],
                left.keeps,
                right.keeps,
            ),
            (
                right.back_ms,
                right.ahead_ms,
                right.store,
                left.store.buckets,
                newest_ms[0],
                right.keeps,
                left.keeps,
            ),
        )
        indexes: list[int] = []
        others: list[bytes | None] = []
        times_ms: list[int] = []
        for index, (is_right, time_ms, identity, data) in enumerate(records):
            if identity is None or data is None:
                indexes.append(index)
                others.append(None)
                times_ms.append(time_ms)
                continue
            back_ms, ahead_ms, own_store, other_buckets, newest_start_ms, keeps, marks = facts[is_right]
            is_matched = False
            first_ms, last_ms = time_ms - back_ms, time_ms + ahead_ms
            start_ms = first_ms - first_ms % size_ms if first_ms > 0 else 0
            while start_ms <= last_ms and start_ms <= newest_start_ms:
                bucket = other_buckets.get(start_ms)
                start_ms += size_ms
                if bucket is None or not (rows := bucket.rows.get(identity)):
                    continue
                if len(rows) > _FEW_ROWS:
                    start = bisect_left(rows, first_ms, key=time_of)
                    rows = rows[start : bisect_right(rows, last_ms, lo=start, key=time_of)]
                for row in rows:
                    row_ms = row.time_ms
                    if first_ms <= row_ms <= last_ms:
                        is_matched = True
                        indexes.append(index)
                        others.append(row.data)
                        times_ms.append(row_ms if row_ms > time_ms else time_ms)
                        if marks and not row.is_matched:
                            row.is_matched = True
                            bucket.note_change(identity, row)
            start_ms = time_ms - time_ms % size_ms
            bucket = own_store.buckets.get(start_ms)
            if bucket is None:
                bucket = own_store.bucket(start_ms)
            bucket.add(identity, Row(time_ms, data, is_matched and keeps))
            if keeps and not is_matched and (waiting := self._unmatched[is_right]) is not None:
                waiting.add(time_ms, (identity, start_ms))
        return indexes, others, times_ms

    def _ended(self, source: BatchSource) -> Batch | None:
        """Return the rows that stay without a match, by time, left before right, then by key."""
        bound_ms = self._span.unmatched_before(self._time.watermark_ms)
        ended = [row for side in self._unmatched if side is not None for row in side.ended(bound_ms)]
        if not ended:
            return None
        ended.sort(key=lambda each: each[:3])
        times_ms = [time_ms for time_ms, _, _, _ in ended]
        keys = self._keys.decode_many([key for _, _, key, _ in ended])
        reached = self._time.place_reaching
        origins = [reached(self._span.unmatched_at(time_ms)) for time_ms in times_ms]
        rows = [(is_right, row.data) for _, is_right, _, row in ended]
        batch = Batch(keys, rows, times_ms, origins, None, source, held_times_ms=list(times_ms))
        function, left_value, right_value = self._function, self._left.decode, self._right.decode

        def alone(row: tuple[bool, bytes]) -> Any:
            is_right, data = row
            return function(None, right_value(data)) if is_right else function(left_value(data), None)

        values, kept = self._guard.map(alone, rows, batch)
        return (batch if kept is None else batch.take(kept)).with_values(values)

    def last_ending_ms(self, latest_ms: int) -> int | None:
        """Return the watermark at which the last row without a match is emitted; ``None`` for no row.

        Rows after ``latest_ms`` are left out.
        """
        last = [side.last_ms(latest_ms) for side in self._unmatched if side is not None]
        times_ms = [time_ms for time_ms in last if time_ms is not None]
        return self._span.unmatched_at(max(times_ms)) if times_ms else None
