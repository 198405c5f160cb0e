"""The rows of a join: chunks, what is in memory, and what a commit, an abort or a restart leaves."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamcore.errors import SerdeError, UsageError
from streamcore.state.engine import StoreWrites
from streamcore.state.keys import key_codec
from streamcore.state.memory import MemoryEngine
from streamcore.state.row_store import CHUNK_BYTES, ROW_BYTES, RowStore
from streamcore.state.windowed import WindowStore


class Row(msgspec.Struct, array_like=True):
    time_ms: int
    data: bytes
    is_matched: bool = False


BUCKET_MS = 1_000
encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(list[Row]).decode
Rows = RowStore[Row]


def open_store(engine: MemoryEngine, key_type: Any = str, rows_bytes_max: int = 1 << 20) -> Rows:
    return RowStore(engine, "s", key_type, encode, decode, rows_bytes_max=rows_bytes_max)


def add(store: Rows, key: Any, time_ms: int, data: bytes = b"") -> Row:
    identity = store.identify([key])[0]
    start_ms = time_ms - time_ms % BUCKET_MS
    store.read(start_ms, [identity])
    row = Row(time_ms, data)
    store.bucket(start_ms).add(identity, row)
    return row


def commit(store: Rows, engine: MemoryEngine) -> StoreWrites | None:
    writes = store.drain()
    if writes is not None:
        engine.apply([writes])
        store.committed()
    return writes


def times(store: Rows, key: Any, start_ms: int) -> list[int]:
    return [row.time_ms for row in store.rows_of(start_ms, store.identify([key])[0])]


@pytest.fixture
def engine() -> MemoryEngine:
    return MemoryEngine()


def test_rows_are_by_time_and_rows_of_one_time_as_they_came(engine: MemoryEngine) -> None:
    store = open_store(engine)
    for time_ms, data in ((30, b"a"), (10, b"b"), (30, b"c"), (20, b"d"), (10, b"e")):
        add(store, "k", time_ms, data)

    commit(store, engine)
    again = open_store(engine)

    for each in (store, again):
        assert [row.data for row in each.rows_of(0, "k")] == [b"b", b"e", b"d", b"a", b"c"]


def test_a_commit_writes_one_chunk_of_each_key_and_bucket_that_changed(engine: MemoryEngine) -> None:
    store = open_store(engine)
    add(store, "b", 10)
    add(store, "a", 10)
    add(store, "a", BUCKET_MS)
    commit(store, engine)
    add(store, "b", 20)

    writes = commit(store, engine)

    assert writes is not None
    chunk_keys = key_codec(tuple[str, int])
    assert writes.keys == [bytes(8) + chunk_keys.encode(("b", 0))]
    assert decode(writes.values[0] or b"") == [Row(10, b""), Row(20, b"")]


def test_the_cost_of_a_commit_does_not_grow_with_the_rows_of_a_key(engine: MemoryEngine) -> None:
    store = open_store(engine)
    for number in range(500):
        add(store, "k", number, b"x" * 100)
    commit(store, engine)
    sizes = []
    for number in range(500, 700):
        add(store, "k", number, b"x" * 100)
        writes = commit(store, engine)
        assert writes is not None
        sizes.append(sum(len(value or b"") for value in writes.values))

    assert max(sizes) < CHUNK_BYTES + 200
    assert times(store, "k", 0) == times(open_store(engine), "k", 0) == list(range(700))


def test_no_chunk_is_longer_than_it_must_be_even_where_one_commit_has_very_many_rows(
    engine: MemoryEngine,
) -> None:
    store = open_store(engine)
    for number in range(20_000):
        add(store, "k", number % BUCKET_MS, b"x" * 30)

    writes = commit(store, engine)

    assert writes is not None
    assert max(len(value or b"") for value in writes.values) < 2 * CHUNK_BYTES
    assert times(store, "k", 0) == times(open_store(engine), "k", 0)


def test_a_row_that_changes_in_a_closed_chunk_is_written_again(engine: MemoryEngine) -> None:
    store = open_store(engine)
    rows = [add(store, "k", number, b"x" * 1_000) for number in range(20)]
    commit(store, engine)
    rows[1].is_matched = True
    store.bucket(0).note_change("k", rows[1])

    writes = commit(store, engine)

    assert writes is not None
    assert sum(len(value or b"") for value in writes.values) < 3 * CHUNK_BYTES
    assert [row.is_matched for row in open_store(engine).rows_of(0, "k")] == [
        number == 1 for number in range(20)
    ]


def test_a_bucket_that_begins_behind_all_stored_ones_is_not_looked_up(engine: MemoryEngine) -> None:
    store = open_store(engine)
    add(store, "k", 10)
    commit(store, engine)
    again = open_store(engine)

    assert again.is_whole_from(BUCKET_MS)
    assert not again.is_whole_from(0)
    assert store.is_whole_from(0)


def test_rows_that_do_not_fit_leave_memory_after_the_commit_and_are_found_again(
    engine: MemoryEngine,
) -> None:
    store = open_store(engine, rows_bytes_max=10 * ROW_BYTES)
    for number in range(30):
        add(store, f"k{number}", number * BUCKET_MS)
    assert len(store.buckets) == 30
    commit(store, engine)

    assert store.memory_bytes <= 10 * ROW_BYTES
    assert not store.is_whole_from(0)
    add(store, "k3", 3 * BUCKET_MS + 5)
    commit(store, engine)
    assert times(open_store(engine), "k3", 3 * BUCKET_MS) == [3 * BUCKET_MS, 3 * BUCKET_MS + 5]


def test_an_abort_forgets_rows_and_chunks_that_were_not_committed(engine: MemoryEngine) -> None:
    store = open_store(engine)
    for number in range(100):
        add(store, "k", number, b"x" * 100)
    commit(store, engine)
    for number in range(100, 200):
        add(store, "k", number, b"x" * 100)
    store.drain()

    store.abort()

    assert times(store, "k", 0) == list(range(100))
    add(store, "k", 500)
    commit(store, engine)
    assert times(open_store(engine), "k", 0) == [*range(100), 500]


def test_dropped_buckets_are_deleted_as_a_range(engine: MemoryEngine) -> None:
    store = open_store(engine)
    for number in range(3):
        add(store, "k", number * BUCKET_MS)
    commit(store, engine)

    store.drop_before(2 * BUCKET_MS)
    assert [start_ms for (_, start_ms), _ in store.items()] == [2 * BUCKET_MS]
    commit(store, engine)

    assert [start_ms for (_, start_ms), _ in open_store(engine).items()] == [2 * BUCKET_MS]


def test_a_row_of_a_dropped_bucket_is_not_written(engine: MemoryEngine) -> None:
    store = open_store(engine)
    store.drop_before(BUCKET_MS)
    add(store, "k", 10)

    assert commit(store, engine) is None


def test_a_wrong_key_is_refused(engine: MemoryEngine) -> None:
    store = open_store(engine)

    with pytest.raises(SerdeError):
        store.load({5})
    with pytest.raises(SerdeError):
        store.ensure_key(5)
    with pytest.raises(UsageError):
        store.put(("k", 0), [])


@pytest.mark.parametrize(
    ("key_type", "keys"),
    [
        (str, ["", "\0", "a\0", "a", "ä"]),
        (bytes, [b"", b"\0", b"\0\xff", b"a"]),
        (int, [-5, 0, 7]),
        (None, [None, 1, True, 1.5, "a", ("a", 1)]),
        (tuple[str, int], [("a", 1), ("a", 2)]),
        (PurePosixPath, [PurePosixPath("a/b")]),
    ],
)
def test_keys_of_every_type_are_found_again(engine: MemoryEngine, key_type: Any, keys: list[Any]) -> None:
    store = open_store(engine, key_type)
    for number, key in enumerate(keys):
        add(store, key, number)
    commit(store, engine)
    again = open_store(engine, key_type)

    for number, key in enumerate(keys):
        if key is not None:
            assert times(again, key, 0) == [number]
    assert sorted(map(repr, (key for (key, _), _ in again.items()))) == sorted(map(repr, keys))


@given(st.data())
def test_the_store_keeps_what_a_plain_dict_keeps(data: st.DataObject) -> None:
    engine = MemoryEngine()
    store = open_store(engine, rows_bytes_max=data.draw(st.sampled_from((1, 2_000, 1 << 20))))
    rows: dict[tuple[int, str], list[tuple[int, int]]] = {}
    committed: dict[tuple[int, str], list[tuple[int, int]]] = {}
    dropped_ms = number = 0
    for action in data.draw(st.lists(st.sampled_from("aaaaacxrd"), max_size=60)):
        if action == "a":
            key = data.draw(st.sampled_from("pq"))
            time_ms = dropped_ms + data.draw(st.integers(0, 3 * BUCKET_MS))
            number += 1
            add(store, key, time_ms, b"%0*d" % (data.draw(st.sampled_from((1, 3_000))), number))
            place = (time_ms - time_ms % BUCKET_MS, key)
            rows.setdefault(place, []).append((time_ms, number))
        elif action == "c":
            commit(store, engine)
            committed = {place: [*found] for place, found in rows.items()}
        elif action == "x":
            store.abort()
            rows = {place: [*found] for place, found in committed.items()}
        elif action == "r":
            commit(store, engine)
            committed = {place: [*found] for place, found in rows.items()}
            store = open_store(engine, rows_bytes_max=2_000)
            store.drop_before(dropped_ms)
        else:
            dropped_ms += BUCKET_MS
            store.drop_before(dropped_ms)
            rows = {place: found for place, found in rows.items() if place[0] >= dropped_ms}
            commit(store, engine)
            committed = {place: [*found] for place, found in rows.items()}

    found = {
        (start_ms, key): [(row.time_ms, int(row.data)) for row in kept]
        for (key, start_ms), kept in store.items()
    }
    assert list(found) == sorted(rows)
    assert found == {place: sorted(kept, key=lambda row: row[0]) for place, kept in rows.items()}


def test_tools_read_the_chunks_as_windows_of_a_pair(engine: MemoryEngine) -> None:
    store = open_store(engine)
    add(store, "k", 10, b"v")
    commit(store, engine)

    windows = WindowStore(engine, "s", key_codec(tuple[str, int]), encode, decode)

    assert list(windows.items()) == [((("k", 0), 0), [Row(10, b"v")])]
