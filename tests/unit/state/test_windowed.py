"""Windows close by range, and old ones are dropped without being looked at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from streamcore.clock import ManualClock
from streamcore.errors import SerdeError
from streamcore.model import TopicPartition
from streamcore.state.engine import StoreWrites
from streamcore.state.keys import key_codec
from streamcore.state.memory import MemoryEngine
from streamcore.state.restore import RestoreTarget, restore_store
from streamcore.state.window_keys import encode_start
from streamcore.state.windowed import WindowStore
from tests.support.fake_log import FakeLog

SOURCE = TopicPartition("app-s-changelog", 0)


@pytest.fixture
def engine() -> MemoryEngine:
    return MemoryEngine()


@pytest.fixture
def store(engine: MemoryEngine) -> WindowStore[str, int]:
    return open_store(engine)


def open_store(engine: MemoryEngine) -> WindowStore[str, int]:
    return WindowStore(engine, "s", key_codec(str), lambda value: b"%d" % value, int)


def commit(store: WindowStore[str, int], engine: MemoryEngine) -> StoreWrites | None:
    writes = store.drain()
    if writes is not None:
        engine.apply([writes])
    store.committed()
    return writes


def test_closing_windows_come_by_start_and_then_by_key(
    store: WindowStore[str, int], engine: MemoryEngine
) -> None:
    store.put_many({("b", 10): 1, ("a", 20): 2, ("a", 30): 4})
    commit(store, engine)
    store.put_many({("a", 10): 3, ("z", 0): 5})

    assert list(store.windows_between(10, 30)) == [(("a", 10), 3), (("b", 10), 1), (("a", 20), 2)]


def test_dropping_writes_one_range_and_no_tombstones(
    store: WindowStore[str, int], engine: MemoryEngine
) -> None:
    store.put_many({(f"k{number}", start): 1 for number in range(50) for start in (10, 20)})
    commit(store, engine)

    store.drop_before(20)
    writes = commit(store, engine)

    assert writes == StoreWrites("s", [], [], [(encode_start(0), encode_start(20))])
    assert {start for (_, start), _ in store.items()} == {20}
    assert len(list(engine.scan("s"))) == 50


def test_the_next_drop_begins_where_the_last_one_ended(
    store: WindowStore[str, int], engine: MemoryEngine
) -> None:
    store.put_many({("a", start): 1 for start in (10, 20, 30)})
    commit(store, engine)
    store.drop_before(20)
    commit(store, engine)
    store.drop_before(10)
    assert commit(store, engine) is None

    store.drop_before(30)

    assert commit(store, engine) == StoreWrites("s", [], [], [(encode_start(20), encode_start(30))])


def test_a_drop_that_passes_no_window_writes_nothing(
    store: WindowStore[str, int], engine: MemoryEngine
) -> None:
    store.put(("a", 10), 1)
    commit(store, engine)

    for start_ms in range(11):
        store.drop_before(start_ms)
        assert commit(store, engine) is None

    store.drop_before(11)
    writes = commit(store, engine)
    assert writes is not None
    assert writes.deleted_ranges == [(encode_start(10), encode_start(11))]


def test_a_dropped_window_is_not_there_even_before_the_commit(store: WindowStore[str, int]) -> None:
    store.put(("a", 10), 1)

    store.drop_before(20)

    assert store.get(("a", 10)) is None
    assert ("a", 10) not in store
    assert list(store.items()) == []
    assert list(store.windows_between(0, 100)) == []
    assert store.is_dirty


def test_an_abort_brings_dropped_windows_back(store: WindowStore[str, int], engine: MemoryEngine) -> None:
    store.put(("a", 10), 1)
    commit(store, engine)
    store.drop_before(20)
    store.drain()

    store.abort()

    assert store.get(("a", 10)) == 1
    assert store.drain() is None


def test_windows_that_a_restore_brought_back_go_with_the_first_drop(engine: MemoryEngine) -> None:
    log = FakeLog(SOURCE)
    log.append(*((encode_start(start) + b"k", b"1") for start in (10, 20, 30)))
    restore_store(engine, RestoreTarget(store="s", partition=SOURCE, is_windowed=True), log, ManualClock())
    store = open_store(engine)
    assert len(list(store.items())) == 3

    store.drop_before(30)
    commit(store, engine)

    assert [key for key, _ in store.items()] == [("k", 30)]
    assert len(list(engine.scan("s"))) == 1


class CountingEngine(MemoryEngine):
    """Remembers which keys were looked up."""

    def __init__(self) -> None:
        super().__init__()
        self.looked_up: list[bytes] = []

    def get_many(self, store: str, keys: Sequence[bytes]) -> list[bytes | None]:
        self.looked_up += keys
        return super().get_many(store, keys)


def test_a_window_newer_than_all_stored_ones_is_not_looked_up() -> None:
    engine = CountingEngine()
    commit_of(open_store(engine), engine, {("a", 10): 1, ("b", 20): 2})
    reopened = open_store(engine)

    assert reopened.get(("a", 30)) is None
    assert engine.looked_up == []
    assert reopened.get(("a", 20)) is None
    assert reopened.get(("a", 10)) == 1
    assert len(engine.looked_up) == 2


def test_windows_that_were_committed_since_are_looked_up() -> None:
    engine = CountingEngine()
    store = WindowStore(engine, "s", key_codec(str), lambda value: b"%d" % value, int, cache_entries_max=1)
    assert store.get(("a", 10)) is None

    commit_of(store, engine, {("a", 10): 1, ("a", 20): 2})
    commit_of(store, engine, {("b", 30): 3})
    commit_of(store, engine, {("b", 5): 4})

    assert [store.get(key) for key in (("a", 10), ("a", 20), ("b", 30), ("b", 5))] == [1, 2, 3, 4]


def test_an_abort_behind_the_write_forgets_nothing_that_was_written() -> None:
    engine = CountingEngine()
    store = open_store(engine)
    assert store.get(("a", 10)) is None
    store.put(("a", 10), 1)
    writes = store.drain()
    assert writes is not None
    engine.apply([writes])

    store.abort()

    assert store.get(("a", 10)) == 1


def test_a_wrong_key_is_refused_even_in_a_new_window(store: WindowStore[str, int]) -> None:
    wrong: Any = (7, 10)

    with pytest.raises(SerdeError, match="key"):
        store.load([wrong])


def commit_of(store: WindowStore[str, int], engine: MemoryEngine, values: dict[tuple[str, int], int]) -> None:
    store.put_many(values)
    commit(store, engine)
