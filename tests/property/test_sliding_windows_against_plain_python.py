"""Sliding windows hold what plain Python finds by trying every start, whatever was late, cut or restarted.

Records of several keys come in random order; each has its own stream time, as records have that come through
a repartition topic from several partitions. Rounds end at random, the watermark follows, and the store is
committed and opened again in between.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import streamcore as sc
from streamcore.model import Windowed
from streamcore.processing.operators.batch import Batch
from streamcore.processing.operators.sessions import SessionFinalOperator
from streamcore.processing.operators.sliding import SlidingAggregateOperator
from streamcore.processing.runtime.stores import description_of, write_back_of
from streamcore.processing.topology.nodes import StoreSpec
from streamcore.state.memory import MemoryEngine
from streamcore.state.session_view import store_view
from streamcore.state.sliding_windows import SlidingStore
from tests.support.operator_parts import Fetched, guard

KEYS = ("a", "b")
RECORDS = st.lists(
    st.tuples(
        st.sampled_from(KEYS),
        st.integers(0, 5),
        st.just(0) | st.integers(0, 12),
        st.booleans(),
        st.just(0) | st.integers(0, 4),
    ),
    max_size=40,
)
"""Key, how far the time goes on, how far behind it the record is, whether a round ends, and how far behind
the watermark stays then."""


@dataclass(frozen=True)
class Arrived:
    key: str
    time_ms: int
    stream_time_ms: int


@dataclass
class Time:
    """The watermark of a task."""

    watermark_ms: int = -1
    floor_ms: int = -1

    def watermarks_before(self, origins: Sequence[int]) -> Sequence[int]:
        return [self.floor_ms] * len(origins)

    def place_reaching(self, time_ms: int) -> int:
        return 0


@dataclass
class Late:
    values: list[Any] = field(default_factory=list)

    def late(self, batch: Batch) -> None:
        self.values += batch.values


def store_spec(size_ms: int, grace_ms: int, *, counts: bool = False) -> StoreSpec:
    """A store whose windows list the numbers of their records, or only count them."""
    windows = sc.App("app").topic("in", key=str, value=int).sliding(size_ms, grace=grace_ms)
    if counts:
        return windows.count("s").store
    return windows.fold("s", (), lambda found, value: (*found, value)).store


def expected(
    records: list[Arrived], size_ms: int, grace_ms: int
) -> tuple[dict[Windowed[str], Any], list[int]]:
    """Windows with the numbers of their records, and the numbers of the late ones, by trying every start."""
    windows: dict[Windowed[str], Any] = {}
    taken: set[int] = set()
    for key in KEYS:
        held_before: tuple[int, ...] = ()
        for start_ms in range(max((record.time_ms for record in records), default=0) + 2):
            end_ms = start_ms + size_ms + 1
            held = tuple(
                number
                for number, record in enumerate(records)
                if record.key == key
                and start_ms <= record.time_ms < end_ms
                and end_ms + grace_ms > record.stream_time_ms
            )
            if held and held != held_before:
                windows[Windowed(key, start_ms, end_ms)] = held
            held_before = held
            taken.update(held)
    return windows, [number for number in range(len(records)) if number not in taken]


@dataclass
class Engine:
    """The operator with its store, and what it gave."""

    spec: StoreSpec
    emits: bool
    engine: MemoryEngine = field(default_factory=MemoryEngine)
    time: Time = field(default_factory=Time)
    late: Late = field(default_factory=Late)
    updates: dict[Any, Any] = field(default_factory=dict)
    finals: dict[Any, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.open()

    def open(self) -> None:
        store = write_back_of(self.engine, self.spec)
        assert isinstance(store, SlidingStore)
        self.store = store
        self.step = SlidingAggregateOperator(
            guard(), store, self.spec, self.time, self.late, emits=self.emits, closes=False
        )
        self.final = SessionFinalOperator(guard(), store, self.spec, self.time)

    def round(self, numbered: list[tuple[int, Arrived]], watermark_ms: int) -> None:
        """Take records, move the watermark, and close what ends."""
        source = Fetched([number for number, _ in numbered])
        self.time.floor_ms = self.time.watermark_ms
        self.time.watermark_ms = max(self.time.watermark_ms, watermark_ms)
        updates = self.step.process(
            Batch(
                [record.key for _, record in numbered],
                [number for number, _ in numbered],
                [record.time_ms for _, record in numbered],
                list(range(len(numbered))),
                None,
                source,
                held_times_ms=[record.stream_time_ms for _, record in numbered],
            )
        )
        for windows in self.store.open_sessions(0).values():
            starts_ms = [window.start_ms for window in windows]
            assert starts_ms == sorted(set(starts_ms))
        if updates is not None:
            self.updates |= dict(zip(updates.keys, updates.values, strict=True))
        closed = self.final.close(source)
        if closed is not None:
            assert not self.finals.keys() & set(closed.keys)
            self.finals |= dict(zip(closed.keys, closed.values, strict=True))

    def commit(self) -> None:
        writes = self.store.drain()
        self.engine.apply([] if writes is None else [writes])
        self.store.committed()

    def windows(self) -> dict[Any, Any]:
        return {Windowed(*place): held[0] for place, held in self.store.items()}


@settings(phases=[Phase.generate, Phase.explicit])
@given(RECORDS, st.integers(1, 9), st.integers(0, 8), st.booleans(), st.booleans(), st.data())
def test_the_windows_are_those_of_every_start_that_changes_them(
    drawn: list[tuple[str, int, int, bool, int]],
    size_ms: int,
    grace_ms: int,
    emits: bool,
    counts: bool,
    data: st.DataObject,
) -> None:
    spec = store_spec(size_ms, grace_ms, counts=counts)
    engine = Engine(spec, emits)
    records: list[Arrived] = []
    waiting: list[tuple[int, Arrived]] = []
    now_ms = 0
    for key, step_ms, behind_ms, ends_round, held_ms in drawn:
        now_ms += step_ms
        # The stream times of several partitions, none of which is behind the watermark.
        stream_time_ms = max(engine.time.watermark_ms, now_ms - held_ms * 2)
        record = Arrived(key, max(0, stream_time_ms - behind_ms), stream_time_ms)
        waiting.append((len(records), record))
        records.append(record)
        if ends_round:
            engine.round(waiting, min(record.stream_time_ms for _, record in waiting) - held_ms)
            waiting = []
            if data.draw(st.booleans(), label="commit"):
                engine.commit()
                if data.draw(st.booleans(), label="restart"):
                    engine.open()
    engine.round(waiting, -1)

    windows, late = expected(records, size_ms, grace_ms)
    if counts:
        windows = {window: len(held) for window, held in windows.items()}

    assert engine.windows() == windows
    assert sorted(engine.late.values) == late
    if emits:
        assert engine.updates == windows
    engine.commit()
    assert_queries_find(engine, windows)
    engine.round([], 10_000)
    assert engine.finals == windows
    # Nothing is left in memory.
    assert engine.store.open_sessions(0) == {}


def assert_queries_find(engine: Engine, windows: dict[Windowed[str], Any]) -> None:
    view = store_view(
        engine.engine,
        description_of(engine.spec, "s", follows=""),
        lambda data: engine.spec.value_serde.decode(data)[0],
    )
    assert [(answer.key, answer.value) for answer in view.all()] == sorted(
        windows.items(), key=lambda item: (item[0].start_ms, item[0].key)
    )
    for key in KEYS:
        own = sorted((window for window in windows if window.key == key), key=lambda window: window.start_ms)
        assert [answer.key for answer in view.windows(key)] == own
        assert [answer.key for answer in view.windows(key, 20, 60)] == [
            window for window in own if 20 <= window.start_ms < 60
        ]
        for at_ms in range(0, 100, 3):
            holding = [window for window in own if window.start_ms <= at_ms < window.end_ms]
            answer = view.get(key, at=at_ms)
            assert (None if answer is None else answer.key) == (holding[-1] if holding else None)
            value = None if answer is None else answer.value
            assert (engine.store.get((key, at_ms)) or (None,))[0] == value


def test_a_window_that_another_record_has_made_is_not_made_again() -> None:
    for times_ms in ((100, 111, 105), (100, 105, 100), (100, 105, 104, 99)):
        engine = Engine(store_spec(10, 1_000), emits=False)
        records = [Arrived("a", time_ms, 111) for time_ms in times_ms]
        for numbered in enumerate(records):
            engine.round([numbered], 0)

        assert engine.windows() == expected(records, 10, 1_000)[0]
