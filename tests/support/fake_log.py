"""A log of one partition in memory, with the behaviour of the port that a restore relies on."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from uuid import UUID, uuid5

from streamcore.errors import OffsetOutOfRangeError
from streamcore.log.client.port import TopicDescription
from streamcore.model import FetchedColumns, Isolation, LogOffsets, Offset, TopicName, TopicPartition

_NAMESPACE = UUID(int=0)

Pair = tuple[bytes | None, bytes | None]


class FakeLog:
    """One partition. Offsets may be missing, as after compaction, or hold markers.

    ``batch_count`` is how many records one fetch returns at most. ``before_fetch`` is called before
    each fetch, so that a test can let the log change in the middle of a restore, or stop it.
    """

    def __init__(self, source: TopicPartition, *, batch_count: int = 3) -> None:
        self.source = source
        self.batch_count = batch_count
        self.topic_id = uuid5(_NAMESPACE, "first")
        self.offsets_: list[Offset] = []
        self.pairs: list[Pair] = []
        self.log_start: Offset = 0
        self.last_stable: Offset = 0
        self.log_end: Offset = 0
        self.before_fetch: Callable[[], None] = lambda: None
        self.fetched_count = 0

    def append(self, *pairs: Pair, marker: bool = True) -> Offset:
        """Append a committed transaction and its marker; return where the records end."""
        for pair in pairs:
            self.offsets_.append(self.log_end)
            self.pairs.append(pair)
            self.log_end += 1
        end = self.log_end
        if marker:
            self.log_end += 1
        self.last_stable = self.log_end
        return end

    def append_undecided(self, *pairs: Pair) -> None:
        """Append records of a transaction that is still open."""
        stable = self.last_stable
        self.append(*pairs, marker=False)
        self.last_stable = stable

    def compact(self) -> None:
        """Keep the newest record of each key, tombstones left out."""
        newest = {pair[0]: offset for offset, pair in zip(self.offsets_, self.pairs, strict=True)}
        kept = [
            (offset, pair)
            for offset, pair in zip(self.offsets_, self.pairs, strict=True)
            if newest[pair[0]] == offset and pair[1] is not None
        ]
        self.offsets_ = [offset for offset, _ in kept]
        self.pairs = [pair for _, pair in kept]

    def delete_before(self, offset: Offset) -> None:
        """Move the log start."""
        place = bisect_left(self.offsets_, offset)
        self.offsets_, self.pairs = self.offsets_[place:], self.pairs[place:]
        self.log_start = offset
        self.last_stable = max(offset, self.last_stable)

    def recreate(self) -> None:
        """Delete the topic and create one of the same name."""
        batch_count = self.batch_count
        self.__init__(self.source, batch_count=batch_count)  # type: ignore[misc]
        self.topic_id = uuid5(_NAMESPACE, "second")

    def contents(self) -> dict[bytes, bytes]:
        """What a replay of all that is decided gives."""
        held: dict[bytes, bytes] = {}
        for offset, (key, value) in zip(self.offsets_, self.pairs, strict=True):
            if key is None or offset >= self.last_stable:
                continue
            if value is None:
                held.pop(key, None)
            else:
                held[key] = value
        return held

    # -- the part of the port

    def topics(self) -> Mapping[TopicName, TopicDescription]:
        return {self.source.topic: TopicDescription(self.source.topic, self.topic_id, 1)}

    def offsets(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, LogOffsets]:
        return dict.fromkeys(
            partitions, LogOffsets(self.log_start, self.last_stable, self.log_end, self.log_end)
        )

    def reader(self, *, isolation: Isolation = Isolation.READ_COMMITTED) -> FakeReader:
        assert isolation is Isolation.READ_COMMITTED
        return FakeReader(self)

    def run_from(self, position: Offset) -> FetchedColumns | None:
        if not self.log_start <= position <= self.log_end:
            raise OffsetOutOfRangeError(f"no such offset offset={position}")
        if position >= self.last_stable:
            return None
        low = bisect_left(self.offsets_, position)
        high = min(low + self.batch_count, bisect_left(self.offsets_, self.last_stable))
        offsets: Sequence[Offset] = self.offsets_[low:high]
        self.fetched_count += len(offsets)
        reaches_end = high == bisect_left(self.offsets_, self.last_stable)
        return FetchedColumns(
            [key for key, _ in self.pairs[low:high]],
            [value for _, value in self.pairs[low:high]],
            [0] * len(offsets),
            None,
            partition=self.source,
            offsets=list(offsets),
            next_offset=self.last_stable if reaches_end else offsets[-1] + 1,
        )


class FakeReader:
    """Reads the one partition."""

    def __init__(self, log: FakeLog) -> None:
        self._log = log
        self._position: Offset = 0
        self.is_closed = False

    def assign(self, positions: Mapping[TopicPartition, Offset]) -> None:
        self._position = positions[self._log.source]

    def fetch(self, source: TopicPartition, *, bytes_max: int) -> FetchedColumns | None:
        assert not self.is_closed
        self._log.before_fetch()
        run = self._log.run_from(self._position)
        if run is not None:
            self._position = run.next_offset
        return run

    def position(self, source: TopicPartition) -> Offset:
        return self._position

    def visible_end(self, source: TopicPartition) -> Offset:
        return self._log.last_stable

    def wait(self, timeout_s: float) -> bool:
        return self._position < self._log.last_stable

    def on_progress(self, callback: Callable[[], None] | None) -> None:
        pass

    def close(self) -> None:
        self.is_closed = True
