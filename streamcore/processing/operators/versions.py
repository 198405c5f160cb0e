"""Operators of tables with a history: they keep versions of rows, and join the value as of a time.

What they mean is in ``topology/versions`` and ``topology/meaning/versions``. A table can change in the
round in which a join reads it. The versions of the round are then taken one after the other beside the
records of the join, over the stores as they were before: changed parts are copied, once in a round. Where no
version of the round is before the horizon, as in most rounds, the value is the newer one of what held before
the round and of the versions of the key that came before the record.

A bucket of versions is read when the horizon has passed it: its last version becomes the base of its key, and
the bucket is deleted. So forgetting costs what is forgotten.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort_right
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from streamcore.processing.operators.batch import Batch
from streamcore.processing.operators.guard import Guard
from streamcore.processing.operators.store_keys import loaded
from streamcore.processing.operators.tables import TableSourceOperator
from streamcore.processing.operators.windowed_aggregate import LateSink, Watermark, late_times_ms
from streamcore.processing.topology.nodes import AsOfJoin
from streamcore.processing.topology.times import NO_TIME
from streamcore.processing.topology.versions import HistorySpan, KeyHistory, Version, add_version, time_of
from streamcore.state.windowed import WindowStore
from streamcore.state.write_back import WriteBack

Place: TypeAlias = tuple[Any, int]
"""The identity of a key, and the start of a bucket."""


@dataclass(slots=True)
class _Changes:
    """The versions that the records of a round have added, in the order of their origins."""

    origins: Sequence[int]
    identities: Sequence[Any]
    versions: list[Version]
    horizons_ms: list[int]
    has_old: bool
    """Whether a version is before its horizon: it may replace what is known of its key, or not count."""

    def by_key(self) -> dict[Any, list[tuple[int, Version]]]:
        """Return the origins and versions of each key, the first one last."""
        found: dict[Any, list[tuple[int, Version]]] = {}
        for identity, origin, version in zip(
            reversed(self.identities), reversed(self.origins), reversed(self.versions), strict=True
        ):
            of_key = found.get(identity)
            if of_key is None:
                found[identity] = [(origin, version)]
            else:
                of_key.append((origin, version))
        return found


class _Histories:
    """The histories of keys while versions are added. What is read from the stores is not changed."""

    def __init__(
        self,
        span: HistorySpan,
        history_of: Callable[[Any], KeyHistory | None],
        bucket_at: Callable[[Place], list[Version] | None],
    ) -> None:
        self.histories: dict[Any, KeyHistory | None] = {}
        """The changed histories; ``None`` for one that is over."""
        self.buckets: dict[Place, list[Version] | None] = {}
        """The changed buckets."""
        self._bucket_ms = span.bucket_ms
        self._history_of = history_of
        self._bucket_at = bucket_at

    def held(self, identity: Any, time_ms: int) -> Version | None:
        """Return the newest version of a key at or before a time; ``None`` if none is known."""
        history = self._history(identity)
        if history is None:
            return None
        starts_ms = history.starts_ms
        index = bisect_right(starts_ms, time_ms)
        while index:
            index -= 1
            version = _last_at(self._bucket((identity, starts_ms[index])), time_ms)
            if version is not None:
                return version
        base = history.base
        return base if base is not None and base.time_ms <= time_ms else None

    def add(self, identity: Any, version: Version, horizon_ms: int) -> bool:
        """Add a version; return whether it counts: one before the horizon may be older than the base."""
        if version.time_ms < horizon_ms:
            held = self.held(identity, horizon_ms - 1)
            if held is not None and held.data is not None and held.time_ms > version.time_ms:
                return False
            self._set_base(identity, version, horizon_ms)
            return True
        start_ms = version.time_ms - version.time_ms % self._bucket_ms
        place = identity, start_ms
        own = self.buckets.get(place)
        if own is None:
            history = self._history(identity)
            if history is not None and history.has_bucket(start_ms):
                own = list(self._bucket(place))
            else:
                own = []
                insort_right(self._own(identity).starts_ms, start_ms)
            self.buckets[place] = own
        add_version(own, version)
        return True

    def _set_base(self, identity: Any, version: Version, horizon_ms: int) -> None:
        """Replace all that is known of a key before the horizon."""
        history = self._own(identity)
        split = bisect_left(history.starts_ms, horizon_ms)
        for start_ms in history.starts_ms[:split]:
            self.buckets[identity, start_ms] = None
        del history.starts_ms[:split]
        history.base = None if version.data is None else version
        if history.base is None and not history.starts_ms:
            self.histories[identity] = None

    def _history(self, identity: Any) -> KeyHistory | None:
        """Return the history of a key, not for changes."""
        changed = self.histories
        return changed[identity] if identity in changed else self._history_of(identity)

    def _own(self, identity: Any) -> KeyHistory:
        """Return the history of a key, for changes."""
        own = self.histories.get(identity)
        if own is None:
            found = self._history(identity)
            own = KeyHistory(None, []) if found is None else KeyHistory(found.base, list(found.starts_ms))
            self.histories[identity] = own
        return own

    def _bucket(self, place: Place) -> Sequence[Version]:
        found = self.buckets[place] if place in self.buckets else self._bucket_at(place)
        return () if found is None else found


class TableVersions:
    """The versions of one table in one task: the step of the table adds them, joins read them."""

    def __init__(
        self,
        span: HistorySpan,
        keys: WriteBack[Any, KeyHistory],
        versions: WindowStore[Any, list[Version]],
        time: Watermark,
    ) -> None:
        """Create the versions; ``time`` is the watermark as the join that lags most sees it."""
        self.is_wanted = False
        """Whether a join reads the table for records of this round, so that the changes are kept."""
        self.keys = keys
        self._span = span
        self._versions = versions
        self._time = time
        self._changes: _Changes | None = None
        self._histories_before: dict[Any, KeyHistory | None] = {}
        self._buckets_before: dict[Place, list[Version] | None] = {}
        self._forgotten_ms = 0

    @property
    def is_empty(self) -> bool:
        """Whether no version of any key is kept."""
        return next(self.keys.items(), None) is None

    def add_all(self, identities: Sequence[Any], batch: Batch, data: Sequence[bytes | None]) -> list[int]:
        """Add the rows of a batch as versions; return the indexes of those that are too old to count."""
        horizons_ms = self._horizons_ms(batch.origins)
        versions = list(map(Version, batch.timestamps_ms, data))
        has_old = any(
            version.time_ms < horizon_ms for version, horizon_ms in zip(versions, horizons_ms, strict=True)
        )
        changes = _Changes(batch.origins, identities, versions, horizons_ms, has_old)
        histories = self.keys.load(set(identities))
        bucket_ms = self._span.bucket_ms
        places = set()
        for identity, version in zip(identities, versions, strict=True):
            history = histories.get(identity)
            start_ms = version.time_ms - version.time_ms % bucket_ms
            if history is not None and history.has_bucket(start_ms):
                places.add((identity, start_ms))
        made = _Histories(self._span, histories.get, self._buckets_of(places))
        dropped = [
            index
            for index, (identity, version, horizon_ms) in enumerate(
                zip(identities, versions, horizons_ms, strict=True)
            )
            if not made.add(identity, version, horizon_ms)
        ]
        if self.is_wanted:
            self._changes = changes
            self._histories_before = {identity: histories.get(identity) for identity in made.histories}
            # A bucket that is new has no value before: its history does not name it.
            existed = {
                place
                for place in made.buckets
                if (history := histories.get(place[0])) is not None and history.has_bucket(place[1])
            }
            stored = self._versions.load(existed)
            self._buckets_before = {
                place: stored.get(place) if place in existed else None for place in made.buckets
            }
        _write(self.keys, made.histories)
        _write(self._versions, made.buckets)
        return dropped

    def as_of(
        self, identities: Sequence[Any], origins: Sequence[int], times_ms: Sequence[int | None]
    ) -> list[bytes | None]:
        """Return the encoded value of each key at the time beside it, as of the record beside it.

        A key or a time of ``None`` has no value.
        """
        distinct = set(identities)
        distinct.discard(None)
        histories = self.keys.load(distinct)
        places = set()
        for identity, time_ms in zip(identities, times_ms, strict=True):
            history = histories.get(identity)
            if history is not None and time_ms is not None:
                index = bisect_right(history.starts_ms, time_ms)
                if index:
                    places.add((identity, history.starts_ms[index - 1]))
        bucket_at = self._buckets_of(places)
        if self._changes is None:
            return _held(_Histories(self._span, histories.get, bucket_at), identities, times_ms)
        as_of = self._as_of_each if self._changes.has_old else self._as_of_recent
        return as_of(identities, origins, times_ms, histories, bucket_at, self._changes)

    def _as_of_each(
        self,
        identities: Sequence[Any],
        origins: Sequence[int],
        times_ms: Sequence[int | None],
        histories: Mapping[Any, KeyHistory],
        bucket_now: Callable[[Place], list[Version] | None],
        changes: _Changes,
    ) -> list[bytes | None]:
        """As ``as_of``, where the table has changed in the round."""
        seen = self._before_round(histories, bucket_now)
        found: list[bytes | None] = []
        start = 0
        changed_at, count = changes.origins, len(changes.origins)
        begin = 0
        for index, origin in enumerate(origins):
            if start < count and changed_at[start] <= origin:
                found += _held(seen, identities[begin:index], times_ms[begin:index])
                begin = index
                while start < count and changed_at[start] <= origin:
                    seen.add(changes.identities[start], changes.versions[start], changes.horizons_ms[start])
                    start += 1
        return found + _held(seen, identities[begin:], times_ms[begin:])

    def _as_of_recent(
        self,
        identities: Sequence[Any],
        origins: Sequence[int],
        times_ms: Sequence[int | None],
        histories: Mapping[Any, KeyHistory],
        bucket_now: Callable[[Place], list[Version] | None],
        changes: _Changes,
    ) -> list[bytes | None]:
        """As ``_as_of_each``, where no version of the round is before its horizon."""
        held_before = self._before_round(histories, bucket_now).held
        waiting = changes.by_key()
        arrived: dict[Any, list[Version]] = {identity: [] for identity in waiting}
        found: list[bytes | None] = []
        for identity, origin, time_ms in zip(identities, origins, times_ms, strict=True):
            if identity is None or time_ms is None:
                found.append(None)
                continue
            version = held_before(identity, time_ms)
            if identity in waiting:
                of_key, own = waiting[identity], arrived[identity]
                while of_key and of_key[-1][0] <= origin:
                    add_version(own, of_key.pop()[1])
                newer = _last_at(own, time_ms)
                if newer is not None and (version is None or version.time_ms <= newer.time_ms):
                    version = newer
            found.append(None if version is None else version.data)
        return found

    def _before_round(
        self, histories: Mapping[Any, KeyHistory], bucket_now: Callable[[Place], list[Version] | None]
    ) -> _Histories:
        """Return the histories as they were before the round."""
        histories_before, buckets_before = self._histories_before, self._buckets_before

        def history_of(identity: Any) -> KeyHistory | None:
            if identity in histories_before:
                return histories_before[identity]
            return histories.get(identity)

        def bucket_at(place: Place) -> list[Version] | None:
            return buckets_before[place] if place in buckets_before else bucket_now(place)

        return _Histories(self._span, history_of, bucket_at)

    def clear(self) -> None:
        """Drop the changes of the round, at its end."""
        self._changes = None
        self._histories_before, self._buckets_before = {}, {}

    def forget(self) -> None:
        """Forget the versions that the watermark has left behind: the last one of a key becomes its base."""
        horizon_ms = self._span.horizon_ms(self._time.watermark_ms)
        if horizon_ms <= self._forgotten_ms:
            return
        ended = list(self._versions.windows_between(self._forgotten_ms, horizon_ms))
        self._forgotten_ms = horizon_ms
        if not ended:
            return
        places = self._versions.identify([pair for pair, _ in ended])
        # They are in the order of their starts, so the last one of a key counts.
        newest = {place[0]: versions[-1] for place, (_, versions) in zip(places, ended, strict=True)}
        histories = self.keys.load(set(newest))
        changed: dict[Any, KeyHistory | None] = {}
        for identity, version in newest.items():
            starts_ms = histories[identity].starts_ms
            starts_ms = starts_ms[bisect_left(starts_ms, horizon_ms) :]
            base = None if version.data is None else version
            changed[identity] = None if base is None and not starts_ms else KeyHistory(base, starts_ms)
        _write(self.keys, changed)
        self._versions.delete_many(places)

    def _horizons_ms(self, origins: Sequence[int]) -> list[int]:
        """Return the horizon before each of these records of the round."""
        horizon_ms = self._span.horizon_ms
        first_ms, last_ms = horizon_ms(self._time.floor_ms), horizon_ms(self._time.watermark_ms)
        if first_ms == last_ms:
            return [first_ms] * len(origins)
        return [horizon_ms(watermark_ms) for watermark_ms in self._time.watermarks_before(origins)]

    def _buckets_of(self, places: Collection[Place]) -> Callable[[Place], list[Version] | None]:
        """Load buckets; return a function that returns a stored bucket, one of these or another."""
        versions = self._versions
        loaded = versions.load(places)

        def bucket_at(place: Place) -> list[Version] | None:
            found = loaded.get(place)
            return versions.load((place,)).get(place) if found is None else found

        return bucket_at


def _held(seen: _Histories, identities: Sequence[Any], times_ms: Sequence[int | None]) -> list[bytes | None]:
    held = seen.held
    found = []
    for identity, time_ms in zip(identities, times_ms, strict=True):
        version = None if time_ms is None or identity is None else held(identity, time_ms)
        found.append(None if version is None else version.data)
    return found


def _last_at(versions: Sequence[Version], time_ms: int) -> Version | None:
    """Return the last of versions, by time, at or before a time."""
    if not versions:
        return None
    if versions[-1].time_ms <= time_ms:
        return versions[-1]
    index = bisect_right(versions, time_ms, key=time_of)
    return versions[index - 1] if index else None


def _write(store: WriteBack[Any, Any], changed: Mapping[Any, Any]) -> None:
    """Write changed values; ``None`` deletes a key."""
    present = {key: value for key, value in changed.items() if value is not None}
    if present:
        store.put_many(present)
    gone = [key for key, value in changed.items() if value is None]
    if gone:
        stored = store.load(gone)
        store.delete_many([key for key in gone if key in stored])


class VersionedTableOperator:
    """Keeps the newest value of each key, as each table does, and all values as versions."""

    def __init__(
        self,
        guard: Guard,
        newest: TableSourceOperator,
        versions: TableVersions,
        encode: Callable[[Any], bytes],
        late: LateSink,
    ) -> None:
        self._guard = guard
        self._newest = newest
        self._versions = versions
        self._encode = encode
        self._late = late

    def process(self, batch: Batch) -> Batch:
        """Store the batch; return its records as changes."""
        batch = self._newest.process(batch)
        timed = self._guard.with_times(self._with_times_of_deletions(batch))
        encode = self._encode
        data, kept = self._guard.map(
            lambda value: None if value is None else encode(value), timed.values, timed
        )
        if kept is not None:
            timed = timed.take(kept)
        if len(timed):
            identities = self._versions.keys.identify(timed.keys)
            dropped = self._versions.add_all(identities, timed, data)
            if dropped:
                self._late.late(timed.take(dropped))
        return batch

    def _with_times_of_deletions(self, batch: Batch) -> Batch:
        """Return the records; a deletion without a time has the time of its partition."""
        times_ms = batch.timestamps_ms
        if not times_ms or min(times_ms) >= 0:
            return batch
        timed = batch.with_values(batch.values)
        timed.timestamps_ms = [
            partition_ms if time_ms < 0 and value is None and partition_ms != NO_TIME else time_ms
            for time_ms, value, partition_ms in zip(
                times_ms, batch.values, batch.source_times_ms(), strict=True
            )
        ]
        return timed


class AsOfJoinOperator:
    """Emits ``function(value, table value at the record's time)``; without ``left`` only if there is one."""

    def __init__(self, guard: Guard, node: AsOfJoin, versions: TableVersions, time: Watermark) -> None:
        self._guard = guard
        self._node = node
        self._versions = versions
        self._time = time

    def process(self, batch: Batch) -> Batch:
        """Return the joined values under the stream's keys."""
        node, guard = self._node, self._guard
        batch = guard.with_values(batch)
        if not node.left:
            batch = guard.with_keys(batch)
        batch = guard.with_times(batch)
        if not len(batch):
            return batch
        batch, identities, _ = loaded(guard, self._versions.keys, batch.keys, batch)
        times_ms = self._known_times_ms(batch)
        found = self._versions.as_of(identities, batch.origins, times_ms)
        if not node.left and None in found:
            batch = batch.where([data is not None for data in found])
            found = [data for data in found if data is not None]
        function, decode = node.function, node.decode

        def joined(pair: tuple[Any, bytes | None]) -> Any:
            value, data = pair
            return function(value, None if data is None else decode(data))

        values, kept = guard.map(joined, list(zip(batch.values, found, strict=True)), batch)
        return (batch if kept is None else batch.take(kept)).with_values(values)

    def _known_times_ms(self, batch: Batch) -> Sequence[int | None]:
        """Return the times of the records; ``None`` for one that is older than the history."""
        history_ms = self._node.history.span.history_ms
        stream_times_ms = late_times_ms(batch, self._time)
        if not len(batch) or min(batch.timestamps_ms) + history_ms >= max(stream_times_ms):
            return batch.timestamps_ms
        return [
            None if timestamp_ms + history_ms < time_ms else timestamp_ms
            for timestamp_ms, time_ms in zip(batch.timestamps_ms, stream_times_ms, strict=True)
        ]
