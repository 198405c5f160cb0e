"""A store of pairs is read by their first part, whatever of it is committed."""

from __future__ import annotations

import pytest

from streamcore.state.keys import key_codec
from streamcore.state.memory import MemoryEngine
from streamcore.state.pairs import PairStore

NEIGHBOURS = (b"", b"a", b"a\x00", b"a\x00\xff", b"aa", b"a\xff", b"b")
"""First parts that begin with one another, or end with bytes that mark ends."""


@pytest.fixture
def engine() -> MemoryEngine:
    return MemoryEngine()


@pytest.fixture
def store(engine: MemoryEngine) -> PairStore[bytes]:
    return PairStore(engine, "pairs", key_codec(tuple[bytes, bytes]), bytes, bytes)


def put(store: PairStore[bytes], *pairs: tuple[bytes, bytes], value: bytes = b"v") -> None:
    store.put_many(dict.fromkeys(pairs, value))


def commit(store: PairStore[bytes], engine: MemoryEngine) -> None:
    writes = store.drain()
    assert writes is not None
    engine.apply([writes])
    store.committed()


@pytest.mark.parametrize("commits", [False, True])
def test_the_pairs_of_a_first_part_are_found_in_order(
    store: PairStore[bytes], engine: MemoryEngine, commits: bool
) -> None:
    seconds = (b"z", b"", b"\x00", b"m", b"\xff")
    put(store, *[(first, second) for first in NEIGHBOURS for second in seconds])
    if commits:
        commit(store, engine)

    for first in NEIGHBOURS:
        assert [second for second, _ in store.of(first)] == sorted(seconds)
    assert list(store.of(b"none")) == []


def test_changes_lie_over_what_is_committed(store: PairStore[bytes], engine: MemoryEngine) -> None:
    put(store, (b"a", b"1"), (b"a", b"2"), (b"b", b"1"))
    commit(store, engine)
    put(store, (b"a", b"3"), value=b"new")
    put(store, (b"a", b"2"), value=b"changed")
    store.delete_many([(b"a", b"1"), (b"b", b"1")])

    assert list(store.of(b"a")) == [(b"2", b"changed"), (b"3", b"new")]
    assert list(store.of(b"b")) == []
    commit(store, engine)
    assert list(store.of(b"a")) == [(b"2", b"changed"), (b"3", b"new")]
    assert list(store.of(b"b")) == []


def test_a_commit_under_way_is_seen_and_an_abort_forgets(
    store: PairStore[bytes], engine: MemoryEngine
) -> None:
    put(store, (b"a", b"1"))
    store.drain()
    put(store, (b"a", b"2"))
    assert [second for second, _ in store.of(b"a")] == [b"1", b"2"]
    assert not store.is_empty

    store.abort()

    assert list(store.of(b"a")) == []
    assert store.is_empty
