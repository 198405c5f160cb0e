"""A store of sliding windows: what stays in memory, what is written, and what a restart finds."""

from __future__ import annotations

import pytest

from streamcore.clock import ManualClock
from streamcore.errors import UsageError
from streamcore.model import TopicPartition
from streamcore.state.engine import StoreWrites
from streamcore.state.keys import key_codec
from streamcore.state.memory import MemoryEngine
from streamcore.state.restore import RestoreTarget, restore_store
from streamcore.state.session_keys import period_of_gap, session_key
from streamcore.state.sliding_windows import SlidingStore, SlidingWindow, latest_in
from tests.support.fake_log import FakeLog

SIZE_MS = 10
SOURCE = TopicPartition("app-s-changelog", 0)


def open_store(engine: MemoryEngine, open_from_ms: int = 0) -> SlidingStore[int]:
    store: SlidingStore[int] = SlidingStore(
        engine, "s", key_codec(str), lambda value: b"%d" % value, int, size_ms=SIZE_MS
    )
    store.open_sessions(open_from_ms)
    return store


@pytest.fixture
def engine() -> MemoryEngine:
    return MemoryEngine()


@pytest.fixture
def store(engine: MemoryEngine) -> SlidingStore[int]:
    return open_store(engine)


def commit(store: SlidingStore[int], engine: MemoryEngine) -> StoreWrites | None:
    writes = store.drain()
    engine.apply([] if writes is None else [writes])
    store.committed()
    return writes


def in_memory(store: SlidingStore[int], key: str = "a") -> list[tuple[int, int, bool]]:
    windows: list[SlidingWindow] = store.open_sessions(0).get(key, [])
    return [(window.start_ms, window.latest_ms, window.is_open) for window in windows]


def test_a_window_is_stored_by_its_end_with_the_time_of_its_latest_record(
    store: SlidingStore[int], engine: MemoryEngine
) -> None:
    store.keep("a", [(None, 90, 1, 100)])
    first = commit(store, engine)
    (window,) = store.open_sessions(0)["a"]
    store.keep("a", [(window, window.start_ms, 2, 100)])
    second = commit(store, engine)

    assert first is not None
    assert second is not None
    assert first.keys == second.keys == [session_key(period_of_gap(SIZE_MS), b"a", 101)]
    assert [latest_in(stored) for stored in first.values if stored is not None] == [100]
    assert list(store.items()) == [(("a", 90, 101), 2)]
    assert commit(store, engine) is None


def test_the_last_closed_window_of_a_key_stays_in_memory_while_windows_can_begin_with_it(
    store: SlidingStore[int],
) -> None:
    for start_ms, latest_ms in ((90, 100), (92, 102), (95, 105)):
        store.keep("a", [(None, start_ms, 1, latest_ms)])

    closed = store.close_before(104)  # windows that start before 93

    assert [(window.start_ms, window.end_ms) for window in closed] == [(90, 101), (92, 103)]
    assert in_memory(store) == [(92, 102, False), (95, 105, True)]
    # A window from 103 on begins with nothing; the record at 102 was the last of the closed window.
    store.close_before(107)
    assert in_memory(store) == [(95, 105, False)]
    store.close_before(117)
    assert in_memory(store) == [(95, 105, False)]
    store.close_before(118)
    assert store.open_sessions(0) == {}


def test_a_store_that_is_opened_again_has_what_the_one_before_had(
    store: SlidingStore[int], engine: MemoryEngine
) -> None:
    for key, start_ms, latest_ms in (
        ("a", 90, 100),
        ("a", 92, 102),
        ("a", 95, 105),
        ("b", 91, 101),
        ("c", 70, 80),
        ("a\0", 101, 105),
    ):
        store.keep(key, [(None, start_ms, 1, latest_ms)])
    commit(store, engine)
    store.close_before(104)

    again = open_store(engine, 104)

    for key in ("a", "b", "c", "a\0"):
        assert in_memory(again, key) == in_memory(store, key)
    assert in_memory(again, "b") == [(91, 101, False)]
    assert in_memory(again, "c") == []
    assert again.last_end_ms(104) == 112
    store.close_before(500)
    again.close_before(500)
    assert store.open_sessions(0) == again.open_sessions(0) == {}
    assert again.last_end_ms(500) is None


def test_what_is_not_committed_is_forgotten_and_read_again(
    store: SlidingStore[int], engine: MemoryEngine
) -> None:
    store.keep("a", [(None, 90, 1, 100)])
    commit(store, engine)
    store.keep("a", [(None, 95, 2, 105)])
    (window, _) = store.open_sessions(0)["a"]
    store.keep("a", [(window, window.start_ms, 7, 105)])
    store.drain()

    store.abort()

    assert in_memory(store) == [(90, 100, True)]
    assert list(store.items()) == [(("a", 90, 101), 1)]


def test_the_window_that_holds_a_time_is_found_in_memory_and_in_the_engine(
    store: SlidingStore[int], engine: MemoryEngine
) -> None:
    period_ms = period_of_gap(SIZE_MS)
    for start_ms in (90, 95, period_ms - 15, period_ms - 5):
        store.keep("a", [(None, start_ms, start_ms, start_ms + 3)])
        store.keep("ab", [(None, start_ms + 1, 0, start_ms + 3)])
    times_ms = (89, 90, 94, 95, 105, 106, period_ms - 6, period_ms - 4, period_ms + 5, period_ms + 6)
    wanted = [None, 90, 90, 95, 95, None, period_ms - 15, period_ms - 5, period_ms - 5, None]

    assert [store.get(("a", time_ms)) for time_ms in times_ms] == wanted
    store.close_before(10 * period_ms)
    assert [store.get(("a", time_ms)) for time_ms in times_ms] == wanted
    commit(store, engine)
    assert [store.get(("a", time_ms)) for time_ms in times_ms] == wanted
    assert store.get(("none", 90), default=4) == 4


def test_windows_are_restored_from_their_changelog(store: SlidingStore[int], engine: MemoryEngine) -> None:
    log = FakeLog(SOURCE)
    for start_ms in (90, 95):
        store.keep("a", [(None, start_ms, start_ms, 100)])
        writes = commit(store, engine)
        assert writes is not None
        log.append(*zip(writes.keys, writes.values, strict=True))
    restored = MemoryEngine()

    restore_store(restored, RestoreTarget(store="s", partition=SOURCE, is_windowed=True), log, ManualClock())

    assert in_memory(open_store(restored)) == [(90, 100, True), (95, 100, True)]


def test_only_its_step_writes_a_table_of_sliding_windows(store: SlidingStore[int]) -> None:
    with pytest.raises(UsageError, match="only its step"):
        store.put("a", 1)
