"""Write-back in single cases; ``tests/property/test_write_back_model.py`` has the whole of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest

from streamcore.errors import SerdeError
from streamcore.state.engine import StoreWrites
from streamcore.state.keys import key_codec
from streamcore.state.memory import MemoryEngine
from streamcore.state.write_back import WriteBack


class CountingEngine(MemoryEngine):
    """Counts the keys it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[bytes] = []

    def get_many(self, store: str, keys: Sequence[bytes]) -> list[bytes | None]:
        self.asked += keys
        return super().get_many(store, keys)


def decode_int(data: bytes) -> int:
    return msgspec.json.decode(data, type=int)


def int_store(engine: MemoryEngine, *, cache_entries_max: int = 1000) -> WriteBack[str, int]:
    return WriteBack(
        engine, "s", key_codec(str), msgspec.json.encode, decode_int, cache_entries_max=cache_entries_max
    )


def commit(store: WriteBack[str, Any], engine: MemoryEngine) -> None:
    if (writes := store.drain()) is not None:
        engine.apply([writes])
    store.committed()


def test_equal_keys_collapse_and_each_is_encoded_once() -> None:
    encoded: list[int] = []

    def encode(value: int) -> bytes:
        encoded.append(value)
        return b"%d" % value

    store = WriteBack(MemoryEngine(), "s", key_codec(str), encode, int)
    for number in range(100):
        store.put_many({"b": number, "a": -number})

    assert store.drain() == StoreWrites("s", [b"a", b"b"], [b"-99", b"99"])
    assert sorted(encoded) == [-99, 99]


def test_values_that_come_with_their_bytes_are_not_encoded_again() -> None:
    engine = MemoryEngine()
    encoded: list[int] = []

    def encode(value: int) -> bytes:
        encoded.append(value)
        return b"%d" % value

    store: WriteBack[str, int] = WriteBack(engine, "s", key_codec(str), encode, int)
    store.put_many({"a": 1, "b": 2, "c": 3, "d": None}, {"a": b"01", "b": b"02", "c": b"03", "d": None})
    store.put_many({"b": 4})
    store.put("c", 5)
    encoded.clear()

    commit(store, engine)

    assert list(engine.scan("s")) == [(b"a", b"01"), (b"b", b"4"), (b"c", b"5")]
    assert sorted(encoded) == [4, 5]


def test_a_wrong_key_among_others_writes_none_of_them() -> None:
    engine = MemoryEngine()
    store = int_store(engine)
    wrong: dict[Any, int] = {"a": 1, 2: 2}

    with pytest.raises(SerdeError, match="not of the declared type"):
        store.put_many(wrong)

    assert store.get("a") is None
    assert store.drain() is None


def test_nothing_written_drains_to_nothing() -> None:
    store = int_store(MemoryEngine())
    store.load({"a"})

    assert store.drain() is None
    assert not store.is_dirty


def test_a_key_is_looked_up_once_whether_it_is_there_or_not() -> None:
    engine = CountingEngine()
    engine.apply([StoreWrites("s", [b"there"], [b"1"])])
    store = int_store(engine)

    for _ in range(3):
        store.load({"there", "absent"})
        store.get("absent")
        commit(store, engine)

    assert sorted(engine.asked) == [b"absent", b"there"]


def test_nothing_is_looked_up_while_the_cache_holds_all_keys_of_the_store() -> None:
    engine = CountingEngine()
    store = int_store(engine, cache_entries_max=10)
    for number in range(10):
        store.load({f"k{number}", "absent"})
        store.put(f"k{number}", number)
        commit(store, engine)
    assert engine.asked == []

    store.put("k10", 10)
    commit(store, engine)
    store.load({"k0", "absent"})

    assert sorted(engine.asked) == [b"absent", b"k0"]


def test_what_was_committed_before_an_abort_is_looked_up() -> None:
    engine = CountingEngine()
    store = int_store(engine)
    store.load({"a"})
    store.put("a", 1)
    commit(store, engine)
    store.put("a", 2)

    store.abort()

    assert store.get("a") == 1
    assert engine.asked == [b"a"]


def test_the_cache_is_bounded_and_keeps_what_is_used() -> None:
    engine = CountingEngine()
    store = int_store(engine, cache_entries_max=100)
    for number in range(1000):
        store.put(f"k{number}", number)
        store.load({"favourite"})
        store.put("favourite", number)
        if number % 10 == 0:
            commit(store, engine)
            assert len(store._cache.hot) + len(store._cache.cold) <= 100
    commit(store, engine)
    engine.asked = []

    store.load({"favourite", "k0"})

    assert engine.asked == [b"k0"]


def test_the_cache_of_large_values_holds_fewer_keys_whether_they_are_written_or_read() -> None:
    engine = MemoryEngine()
    written = WriteBack(engine, "s", key_codec(str), bytes, bytes)
    read = WriteBack(engine, "s", key_codec(str), bytes, bytes)
    for store in (written, read):
        store._cache.bytes_max = 8_000

    for number in range(20):
        written.put(f"k{number}", bytes(1_000))
        commit(written, engine)
    for number in range(20):
        assert read.load({f"k{number}"})[f"k{number}"] == bytes(1_000)
        read.committed()

    for store in (written, read):
        assert len(store._cache.hot) + len(store._cache.cold) == 8


def test_more_changed_keys_than_the_cache_holds_are_all_kept() -> None:
    engine = MemoryEngine()
    store = int_store(engine, cache_entries_max=10)
    states = store.load({f"k{number}" for number in range(1000)})
    for number in range(1000):
        states[f"k{number}"] = number
    store.mark_dirty(states)

    commit(store, engine)

    assert len(list(engine.scan("s"))) == 1000


def test_deleting_writes_a_tombstone_even_for_an_unknown_key() -> None:
    store = int_store(MemoryEngine())

    store.delete_many(["a"])

    assert store.drain() == StoreWrites("s", [b"a"], [None])


def test_putting_none_deletes() -> None:
    engine = MemoryEngine()
    store = int_store(engine)
    store.put("a", 1)
    store.put("a", None)

    assert "a" not in store
    assert store.get("a", 7) == 7


@pytest.mark.parametrize(
    "use",
    [
        lambda store: store.get(5),
        lambda store: store.put(5, 1),
        lambda store: store.delete(5),
        lambda store: 5 in store,
        lambda store: store.load({5}),
        lambda store: list(store.range(5, None)),
    ],
)
def test_a_key_of_the_wrong_type_never_misses_silently(use: Callable[[WriteBack[str, int]], object]) -> None:
    store = int_store(MemoryEngine())

    with pytest.raises(SerdeError, match="key_type=str given=int"):
        use(store)

    assert store.drain() is None


def test_a_value_that_does_not_encode_is_refused_when_it_is_put() -> None:
    store = WriteBack(MemoryEngine(), "s", key_codec(str), lambda value: b"%d" % value, int)

    with pytest.raises(SerdeError, match="key='bad' value='text'"):
        store.put("bad", "text")  # type: ignore[arg-type]

    assert store.drain() is None


def test_a_live_value_that_does_not_encode_is_named_with_its_key_and_nothing_is_lost() -> None:
    store = WriteBack(MemoryEngine(), "s", key_codec(str), lambda value: b"%d" % value, int)
    states = store.load({"good", "bad"})
    states["good"] = 1
    states["bad"] = "text"  # type: ignore[assignment]
    store.mark_dirty(states)

    with pytest.raises(SerdeError, match="key='bad' value='text'"):
        store.drain()

    store.put("bad", 2)
    assert store.drain() == StoreWrites("s", [b"bad", b"good"], [b"2", b"1"])


def test_a_stored_value_of_another_type_is_told_apart_from_a_bug() -> None:
    engine = MemoryEngine()
    engine.apply([StoreWrites("s", [b"a"], [b'"text"'])])

    with pytest.raises(SerdeError, match="was the type changed"):
        int_store(engine).get("a")


def test_a_mutable_value_that_was_read_does_not_change_the_store() -> None:
    engine = MemoryEngine()
    store: WriteBack[str, list[int]] = WriteBack(
        engine, "s", key_codec(str), msgspec.json.encode, msgspec.json.decode, copy_on_read=True
    )
    given = [1]
    store.put("a", given)
    given.append(2)
    read = store.get("a")
    assert read is not None
    read.append(3)
    store.load({"a"})["a"].append(4)
    next(store.items())[1].append(5)

    assert store.get("a") == [1]
    writes = store.drain()
    assert writes == StoreWrites("s", [b"a"], [b"[1]"])


def test_events_under_way_at_once_are_undone_each_for_itself() -> None:
    store = int_store(MemoryEngine())
    store.put("both", 0)
    first = store.begin_event()
    store.put("a", 1)
    second = store.begin_event()
    store.put("b", 2)
    store.journal = first
    store.delete("a")
    store.journal = second
    store.end_event()

    store.rollback_event(first)

    assert dict(store.items()) == {"b": 2, "both": 0}


def test_undoing_an_event_takes_back_a_key_that_was_not_there() -> None:
    store = int_store(MemoryEngine())
    journal = store.begin_event()
    store.put("a", 1)

    store.rollback_event(journal)

    assert store.get("a") is None
    assert store.drain() is None


def test_an_event_undone_after_an_abort_changes_nothing() -> None:
    store = int_store(MemoryEngine())
    journal = store.begin_event()
    store.put("a", 1)
    store.abort()
    store.put("a", 2)

    store.rollback_event(journal)

    assert store.get("a") == 2


def test_undoing_an_event_that_wrote_a_clean_key_leaves_it_clean() -> None:
    engine = MemoryEngine()
    engine.apply([StoreWrites("s", [b"a"], [b"1"])])
    store = int_store(engine)
    journal = store.begin_event()
    store.put("a", 2)

    store.rollback_event(journal)

    assert store.get("a") == 1
    assert store.drain() is None


def test_ranges_are_half_open_and_show_uncommitted_writes() -> None:
    engine = MemoryEngine()
    engine.apply([StoreWrites("s", [b"a", b"b", b"c"], [b"1", b"2", b"3"])])
    store = int_store(engine)
    store.put("bb", 22)
    store.delete("b")

    assert list(store.range("b", "c")) == [("bb", 22)]
    assert list(store.range(None, "b")) == [("a", 1)]
    assert list(store.range("c", None)) == [("c", 3)]
