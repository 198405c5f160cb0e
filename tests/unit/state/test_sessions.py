"""Sessions are stored by their end, close in order, and leave nothing of what was united."""

from __future__ import annotations

import pytest

from streamcore.clock import ManualClock
from streamcore.errors import SerdeError, UsageError
from streamcore.model import TopicPartition
from streamcore.state.descriptions import StoreDescription
from streamcore.state.engine import StoreWrites
from streamcore.state.keys import key_codec
from streamcore.state.memory import MemoryEngine
from streamcore.state.restore import RestoreTarget, restore_store
from streamcore.state.session_keys import end_in, key_in, session_key, start_in
from streamcore.state.session_view import SessionView
from streamcore.state.sessions import Session, SessionStore
from tests.support.fake_log import FakeLog

PERIOD_MS = 100
SOURCE = TopicPartition("app-s-changelog", 0)


@pytest.fixture
def engine() -> MemoryEngine:
    return MemoryEngine()


@pytest.fixture
def store(engine: MemoryEngine) -> SessionStore[int]:
    return open_store(engine)


def open_store(
    engine: MemoryEngine, open_from_ms: int = 0, *, period_ms: int = PERIOD_MS
) -> SessionStore[int]:
    store: SessionStore[int] = SessionStore(
        engine, "s", key_codec(str), lambda value: b"%d" % value, int, period_ms=period_ms
    )
    store.open_sessions(open_from_ms)
    return store


def commit(store: SessionStore[int], engine: MemoryEngine) -> StoreWrites | None:
    writes = store.drain()
    if writes is not None:
        engine.apply([writes])
    store.committed()
    return writes


def only(store: SessionStore[int], key: str) -> Session:
    (session,) = store.open_sessions(0)[key]
    return session


def shown(sessions: list[Session]) -> list[tuple[str, int, int, int]]:
    return [(found.identity, found.start_ms, found.end_ms, found.value) for found in sessions]


def test_sessions_close_by_end_and_then_by_key(store: SessionStore[int], engine: MemoryEngine) -> None:
    for key, end_ms in (("b", 20), ("c", 30), ("a", 20), ("d", 5)):
        store.begin(key, 0, end_ms, 1)
    store.change(only(store, "d"), 0, 25, 2)

    assert shown(store.in_order(store.close_before(20))) == []
    assert shown(store.in_order(store.close_before(26))) == [
        ("a", 0, 20, 1),
        ("b", 0, 20, 1),
        ("d", 0, 25, 2),
    ]
    assert shown(store.in_order(store.close_before(26))) == []
    assert list(store.open_sessions(0)) == ["c"]
    assert store.last_end_ms(0) == 30


def test_a_session_that_goes_on_within_a_commit_writes_one_record(
    store: SessionStore[int], engine: MemoryEngine
) -> None:
    store.begin("a", 0, 10, 1)
    store.change(only(store, "a"), 0, 12, 2)
    first = commit(store, engine)
    store.change(only(store, "a"), 0, 14, 3)
    store.change(only(store, "a"), 0, 130, 4)
    second = commit(store, engine)

    assert first is not None
    assert second is not None
    assert first.keys == [session_key(PERIOD_MS, b"a", 12)]
    assert dict(zip(second.keys, second.values, strict=True)) == {
        session_key(PERIOD_MS, b"a", 12): None,
        session_key(PERIOD_MS, b"a", 130): bytes(8) + b"4",
    }
    assert [key for key, _ in store.items()] == [("a", 0, 130)]
    assert commit(store, engine) is None


def test_a_union_deletes_what_it_absorbed_even_if_it_takes_over_its_end(
    store: SessionStore[int], engine: MemoryEngine
) -> None:
    store.begin("a", 0, 10, 1)
    store.begin("a", 15, 25, 2)
    commit(store, engine)
    early, later = store.open_sessions(0)["a"]
    store.absorb(later)
    store.change(early, 0, 25, 4)

    assert list(store.items()) == [(("a", 0, 25), 4)]
    commit(store, engine)

    assert list(store.items()) == list(open_store(engine).items()) == [(("a", 0, 25), 4)]
    assert shown(store.in_order(store.close_before(26))) == [("a", 0, 25, 4)]


def test_a_session_that_was_never_committed_is_absorbed_without_a_tombstone(
    store: SessionStore[int], engine: MemoryEngine
) -> None:
    store.begin("a", 0, 10, 1)
    store.begin("a", 15, 25, 2)
    early, later = store.open_sessions(0)["a"]
    store.absorb(early)
    store.change(later, 0, 25, 3)

    writes = commit(store, engine)

    assert writes is not None
    assert writes.values == [bytes(8) + b"3"]


def test_reading_sees_what_is_being_committed_and_what_is_not_committed_yet(
    store: SessionStore[int], engine: MemoryEngine
) -> None:
    store.begin("a", 0, 10, 1)
    writes = store.drain()
    store.change(only(store, "a"), 0, 12, 2)
    store.begin("b", 5, 15, 3)

    assert [key for key, _ in store.items()] == [("a", 0, 12), ("b", 5, 15)]
    assert store.get(("a", 11)) == 2
    assert store.get(("a", 12)) is None

    assert writes is not None
    engine.apply([writes])
    store.committed()
    commit(store, engine)
    store.close_before(100)

    assert store.get(("a", 11)) == 2
    assert store.get(("b", 4), default=7) == 7


def test_a_store_that_is_opened_again_has_the_sessions_that_are_open_by_time(engine: MemoryEngine) -> None:
    before = open_store(engine)
    before.begin("a", 0, 150, 1)
    before.begin("a", 200, 230, 2)
    before.begin("b", 200, 270, 3)
    commit(before, engine)

    store = open_store(engine, open_from_ms=230)

    assert shown([each for found in store.open_sessions(0).values() for each in found]) == [
        ("a", 200, 230, 2),
        ("b", 200, 270, 3),
    ]
    assert shown(store.in_order(store.close_before(231))) == [("a", 200, 230, 2)]


def test_old_sessions_are_dropped_by_whole_periods_and_without_tombstones(
    store: SessionStore[int], engine: MemoryEngine
) -> None:
    for number in range(50):
        store.begin(f"k{number:02}", number, 90, 1)
    store.begin("z", 0, 199, 1)
    commit(store, engine)
    store.close_before(1_000)
    store.drop_before(99)
    assert commit(store, engine) is None
    store.begin("late", 60, 80, 1)
    store.drop_before(199)

    writes = commit(store, engine)

    assert writes is not None
    assert (writes.keys, len(writes.deleted_ranges)) == ([], 1)
    assert [key for key, _ in store.items()] == [("z", 0, 199)]


def test_keys_that_begin_with_one_another_are_kept_apart(engine: MemoryEngine) -> None:
    store = open_store(engine, period_ms=60_000)
    for key in ("a", "a\0", "a\0\0\0\0\0\0\0\0", "ab", ""):
        store.begin(key, 10, 50, len(key))
        store.begin(key, 60_120, 60_150, len(key) + 100)
    commit(store, engine)
    view: SessionView[str, int] = SessionView(engine, description(), int)

    for key in ("a", "a\0", "a\0\0\0\0\0\0\0\0", "ab", ""):
        assert [answer.value for answer in view.windows(key)] == [len(key), len(key) + 100]
        found = view.get(key, at=60_120)
        assert found is not None
        assert found.value == len(key) + 100


def description() -> StoreDescription:
    return StoreDescription(
        name="s", kind="session", key_codec="str", value_codec="int", session_gap_ms=10, version=3
    )


def test_a_query_finds_the_session_that_holds_a_time(engine: MemoryEngine) -> None:
    store = open_store(engine, period_ms=60_000)
    store.begin("a", 10, 20, 1)
    store.begin("a", 40, 400_000, 2)
    store.begin("b", 0, 30, 3)
    commit(store, engine)
    view: SessionView[str, int] = SessionView(engine, description(), int)

    def value_at(key: str, at: int) -> int | None:
        found = view.get(key, at=at)
        return None if found is None else found.value

    assert [value_at("a", at) for at in (9, 10, 19, 20, 39, 40, 399_999, 400_000)] == [
        None, 1, 1, None, None, 2, 2, None,
    ]  # fmt: skip
    assert [(answer.key.key, answer.key.start_ms, answer.key.end_ms) for answer in view.all()] == [
        ("b", 0, 30),
        ("a", 10, 20),
        ("a", 40, 400_000),
    ]
    assert [answer.value for answer in view.windows_between(10, 40)] == [1]
    assert [answer.value for answer in view.windows("a", since=11)] == [2]
    assert list(view.windows("c")) == []
    with pytest.raises(UsageError, match="at="):
        view.get("a")
    with pytest.raises(UsageError, match="windows"):
        view.range()


def test_a_restore_forgets_the_sessions_that_were_united(engine: MemoryEngine) -> None:
    log = FakeLog(SOURCE)
    store = open_store(engine)
    store.begin("a", 0, 10, 1)
    store.begin("a", 15, 25, 2)
    written = commit(store, engine)
    early, later = store.open_sessions(0)["a"]
    store.absorb(later)
    store.change(early, 0, 30, 3)
    united = commit(store, engine)
    for writes in (written, united):
        assert writes is not None
        log.append(*zip(writes.keys, writes.values, strict=True))
    restored = MemoryEngine()

    restore_store(
        restored,
        RestoreTarget(store="s", partition=SOURCE, is_windowed=True, deletes_by_tombstones=True),
        log,
        ManualClock(),
    )

    assert list(open_store(restored).items()) == [(("a", 0, 30), 3)]


def test_a_key_of_another_type_is_refused_before_a_session_begins(store: SessionStore[int]) -> None:
    with pytest.raises(SerdeError):
        store.load([1])
    with pytest.raises(UsageError, match="only its step"):
        store.put("a", 1)


def test_the_parts_of_a_stored_session_are_read_back() -> None:
    data = session_key(PERIOD_MS, b"key", 250)

    assert (key_in(data), end_in(data)) == (b"key", 250)
    assert data[:8] == (200).to_bytes(8, "big")
    assert start_in(bytes(7) + b"\x05value") == 5
