"""The sessions that agents write: what is in memory, what a commit writes, and what an event takes back."""

from __future__ import annotations

import pytest

from streamcore.errors import SerdeError
from streamcore.state.engine import StoreWrites
from streamcore.state.keys import key_codec
from streamcore.state.memory import MemoryEngine
from streamcore.state.session_keys import period_of_gap, session_key
from streamcore.state.written_sessions import WrittenSessions

GAP_MS = 10
PERIOD_MS = period_of_gap(GAP_MS)


def open_store(engine: MemoryEngine) -> WrittenSessions[int]:
    return WrittenSessions(engine, "s", key_codec(str), lambda value: b"%d" % value, int, gap_ms=GAP_MS)


@pytest.fixture
def engine() -> MemoryEngine:
    return MemoryEngine()


@pytest.fixture
def store(engine: MemoryEngine) -> WrittenSessions[int]:
    return open_store(engine)


def commit(store: WrittenSessions[int], engine: MemoryEngine) -> StoreWrites | None:
    writes = store.drain()
    if writes is not None:
        engine.apply([writes])
        store.committed()
    return writes


def spans(store: WrittenSessions[int], key: str = "a") -> list[tuple[int, int, int]]:
    return [(start_ms, end_ms, value) for (found, start_ms, end_ms), value in store.items() if found == key]


def test_a_time_at_exactly_the_gap_is_near_a_session_and_a_millisecond_more_is_not(
    store: WrittenSessions[int],
) -> None:
    store.put(("a", 100), 1)

    assert [store.touching("a", at_ms) for at_ms in (89, 90, 100, 110, 111)] == [[], [1], [1], [1], []]
    assert [store.get(("a", at_ms)) for at_ms in (99, 100, 109, 110)] == [None, 1, 1, None]
    assert store.get(("a", 99), default=7) == 7


def test_a_write_unites_what_is_near_and_deletes_the_ends_that_the_engine_has(
    store: WrittenSessions[int], engine: MemoryEngine
) -> None:
    store.put(("a", 100), 1)
    store.put(("a", 115), 2)
    commit(store, engine)
    store.put(("a", 107), 3)

    writes = commit(store, engine)

    assert writes is not None
    assert dict(zip(writes.keys, writes.values, strict=True)) == {
        session_key(PERIOD_MS, b"a", 110): None,
        session_key(PERIOD_MS, b"a", 125): (100).to_bytes(8, "big") + b"3",
    }
    assert spans(store) == spans(open_store(engine)) == [(100, 125, 3)]
    assert commit(store, engine) is None


def test_old_sessions_leave_memory_with_a_commit_and_are_read_again(
    store: WrittenSessions[int], engine: MemoryEngine
) -> None:
    times_ms = [1_000 * number for number in range(1, 9)]
    for time_ms in times_ms:
        store.put(("a", time_ms), time_ms)
    commit(store, engine)

    for time_ms in reversed(times_ms):
        assert store.touching("a", time_ms) == [time_ms]
    store.put(("a", 1_005), 7)
    commit(store, engine)
    assert store.touching("a", 5_000) == [5_000]
    assert [span[2] for span in spans(store)] == [7, *times_ms[1:]]


def test_what_is_written_while_a_commit_is_under_way_is_in_the_next_one(
    store: WrittenSessions[int], engine: MemoryEngine
) -> None:
    for time_ms in range(1_000, 9_000, 1_000):
        store.put(("a", time_ms), time_ms)
    first = store.drain()
    assert first is not None
    store.put(("a", 1_005), 7)
    store.delete(("a", 8_000))
    assert spans(store)[0] == (1_000, 1_015, 7)
    engine.apply([first])
    store.committed()

    commit(store, engine)

    assert spans(open_store(engine)) == spans(store)
    assert spans(store)[0] == (1_000, 1_015, 7)
    assert spans(store)[-1] == (7_000, 7_010, 7_000)


def test_an_event_takes_back_what_it_united_also_after_a_commit_of_it(
    store: WrittenSessions[int], engine: MemoryEngine
) -> None:
    store.put(("a", 100), 1)
    store.put(("a", 115), 2)
    commit(store, engine)
    for commits in (False, True):
        journal = store.begin_event()
        store.put(("a", 107), 3)
        store.delete(("b", 5))
        store.put(("b", 5), 4)
        if commits:
            commit(store, engine)

        store.rollback_event(journal)

        assert spans(store) == [(100, 110, 1), (115, 125, 2)]
        assert spans(store, "b") == []
    commit(store, engine)
    assert spans(open_store(engine)) == [(100, 110, 1), (115, 125, 2)]


def test_what_is_not_committed_is_forgotten(store: WrittenSessions[int], engine: MemoryEngine) -> None:
    store.put(("a", 100), 1)
    commit(store, engine)
    store.put(("a", 105), 2)
    store.drain()

    store.abort()

    assert store.touching("a", 100) == [1]
    assert spans(store) == [(100, 110, 1)]


def test_dropped_sessions_are_found_no_more_and_cannot_be_written(
    store: WrittenSessions[int], engine: MemoryEngine
) -> None:
    store.put(("a", 100), 1)
    store.put(("a", 3 * PERIOD_MS), 2)
    commit(store, engine)

    store.drop_before(2 * PERIOD_MS)
    assert store.touching("a", 100) == []
    store.put(("a", 100), 3)

    writes = commit(store, engine)
    assert writes is not None
    assert (writes.keys, len(writes.deleted_ranges)) == ([], 1)
    assert spans(store) == spans(open_store(engine)) == [(3 * PERIOD_MS, 3 * PERIOD_MS + GAP_MS, 2)]


def test_keys_that_begin_with_one_another_are_kept_apart(
    store: WrittenSessions[int], engine: MemoryEngine
) -> None:
    keys = ("a", "a\0", "a\0\0\0\0\0\0\0\0", "ab", "")
    for number, key in enumerate(keys):
        store.put((key, 100), number)
        store.put((key, 2 * PERIOD_MS), number + 10)
    commit(store, engine)
    again = open_store(engine)

    for number, key in enumerate(keys):
        assert again.touching(key, 105) == [number]
        assert again.touching(key, 2 * PERIOD_MS - 3) == [number + 10]


def test_a_key_of_another_type_and_a_value_that_does_not_fit_are_refused_at_once(
    store: WrittenSessions[int],
) -> None:
    with pytest.raises(SerdeError):
        store.touching(1, 100)
    with pytest.raises(SerdeError, match="does not fit its store"):
        store.put(("a", 100), "x")  # type: ignore[arg-type]
    assert list(store.items()) == []
