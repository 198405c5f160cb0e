"""A write-back store is a dict that can forget what was not committed, and an engine that keeps up."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from streamcore.state.keys import key_codec
from streamcore.state.memory import MemoryEngine
from streamcore.state.window_keys import window_key_codec
from streamcore.state.windowed import WindowStore
from streamcore.state.write_back import EventJournal, WriteBack

KEYS = st.sampled_from([f"k{number}" for number in range(12)])
VALUES = st.lists(st.integers(0, 9), max_size=3)
SMALL_CACHE = 4
"""Small, so that entries are evicted all the time."""


def encode(value: list[int]) -> bytes:
    return msgspec.json.encode(value)


def decode(data: bytes) -> list[int]:
    return msgspec.json.decode(data, type=list[int])


class WriteBackMachine(RuleBasedStateMachine):
    """``now`` is what reads must show, ``committed`` what the engine must hold."""

    copies = False

    def __init__(self) -> None:
        super().__init__()
        self.engine = MemoryEngine()
        self.store: WriteBack[str, list[int]] = WriteBack(
            self.engine,
            "s",
            key_codec(str),
            encode,
            decode,
            cache_entries_max=SMALL_CACHE,
            copy_on_read=self.copies,
        )
        self.now: dict[str, list[int]] = {}
        self.committed: dict[str, list[int]] = {}

    @rule(key=KEYS, value=VALUES)
    def put(self, key: str, value: list[int]) -> None:
        self.store.put(key, list(value))
        self.now[key] = value

    @rule(key=KEYS)
    def delete(self, key: str) -> None:
        self.store.delete(key)
        self.now.pop(key, None)

    @rule(
        values=st.dictionaries(KEYS, st.none() | VALUES, max_size=4),
        gone=st.sets(KEYS, max_size=3),
        encodes=st.booleans(),
    )
    def put_and_delete_many(self, values: dict[str, list[int] | None], gone: set[str], encodes: bool) -> None:
        """Values that the caller has encoded are as others."""
        encoded = {key: None if value is None else encode(value) for key, value in values.items()}
        self.store.put_many(
            {key: None if value is None else list(value) for key, value in values.items()},
            encoded if encodes else None,
        )
        self.store.delete_many(gone)
        for key, value in [*values.items(), *((key, None) for key in gone)]:
            if value is None:
                self.now.pop(key, None)
            else:
                self.now[key] = value

    @rule(keys=st.sets(KEYS, max_size=6), added=st.integers(0, 9))
    def change_in_place(self, keys: set[str], added: int) -> None:
        if self.copies:
            return
        states = self.store.load(keys)
        for key in keys:
            state = states.get(key)
            if state is None:
                states[key] = [added]
            else:
                state.append(added)
            self.now[key] = [*self.now.get(key, []), added]
        self.store.mark_dirty(keys)

    @rule(writes=st.lists(st.tuples(KEYS, st.none() | VALUES), max_size=5), commits=st.booleans())
    def an_event_that_fails(self, writes: list[tuple[str, list[int] | None]], commits: bool) -> None:
        journal: EventJournal[str] = self.store.begin_event()
        for place, (key, value) in enumerate(writes):
            self.store.put(key, None if value is None else list(value))
            if commits and place == 1:
                self.write_through()
        self.store.rollback_event(journal)
        if commits:
            self.commit()

    @rule(keys=st.sets(KEYS, max_size=6))
    def load(self, keys: set[str]) -> None:
        states = self.store.load(keys)
        assert {key: states[key] for key in keys if key in states} == {
            key: self.now[key] for key in keys if key in self.now
        }

    @rule(key=KEYS)
    def get(self, key: str) -> None:
        assert self.store.get(key) == self.now.get(key)
        assert (key in self.store) == (key in self.now)
        if self.copies and (value := self.store.get(key)) is not None:
            value.append(-1)

    @rule(start=st.none() | KEYS, end=st.none() | KEYS)
    def read_range(self, start: str | None, end: str | None) -> None:
        expected = sorted(
            pair
            for pair in self.now.items()
            if (start is None or start <= pair[0]) and (end is None or pair[0] < end)
        )
        assert list(self.store.range(start, end)) == expected

    @rule()
    def commit(self) -> None:
        self.write_through()
        self.committed = {key: list(value) for key, value in self.now.items()}
        assert dict(self.engine.scan("s")) == {
            key.encode(): encode(value) for key, value in self.committed.items()
        }

    @rule(key=KEYS, value=VALUES)
    def write_during_a_commit(self, key: str, value: list[int]) -> None:
        writes = self.store.drain()
        committed = {key: list(value) for key, value in self.now.items()}
        self.put(key, value)
        assert self.store.get(key) == value
        if writes is not None:
            self.engine.apply([writes])
        self.store.committed()
        self.committed = committed

    @rule(drains=st.booleans())
    def abort(self, drains: bool) -> None:
        if drains:
            self.store.drain()
        self.store.abort()
        self.now = {key: list(value) for key, value in self.committed.items()}

    @invariant()
    def everything_reads_as_it_should(self) -> None:
        assert list(self.store.items()) == sorted(self.now.items())

    def write_through(self) -> None:
        writes = self.store.drain()
        if writes is not None:
            assert writes.keys == sorted(set(writes.keys))
            self.engine.apply([writes])
        self.store.committed()
        assert not self.store.is_dirty


class CopyingMachine(WriteBackMachine):
    copies = True


TestWriteBack = WriteBackMachine.TestCase
TestWriteBack.settings = settings(max_examples=settings().max_examples, stateful_step_count=30)
TestWriteBackWithCopies = CopyingMachine.TestCase
TestWriteBackWithCopies.settings = settings(max_examples=settings().max_examples // 2, stateful_step_count=30)

STARTS = st.integers(0, 8)


class WindowMachine(RuleBasedStateMachine):
    """Windows come, change, close and are dropped."""

    def __init__(self) -> None:
        super().__init__()
        self.engine = MemoryEngine()
        self.now: dict[tuple[int, str], int] = {}
        self.committed: dict[tuple[int, str], int] = {}
        self.dropped = self.committed_dropped = 0
        self.open()

    def open(self) -> None:
        self.store: WindowStore[str, int] = WindowStore(
            self.engine,
            "s",
            key_codec(str),
            msgspec.json.encode,
            lambda data: msgspec.json.decode(data, type=int),
            cache_entries_max=SMALL_CACHE,
        )

    @rule(key=KEYS, start=STARTS, value=st.integers(0, 99))
    def put(self, key: str, start: int, value: int) -> None:
        if start >= self.dropped:
            self.store.put((key, start), value)
            self.now[(start, key)] = value

    @rule(start=STARTS)
    def drop_before(self, start: int) -> None:
        self.store.drop_before(start)
        self.dropped = max(self.dropped, start)
        self.now = {window: value for window, value in self.now.items() if window[0] >= self.dropped}

    @rule(since=STARTS, until=STARTS)
    def windows_between(self, since: int, until: int) -> None:
        found = [(start, key, value) for (key, start), value in self.store.windows_between(since, until)]
        assert found == sorted(
            (start, key, value) for (start, key), value in self.now.items() if since <= start < until
        )

    @rule()
    def commit(self) -> None:
        writes = self.store.drain()
        if writes is not None:
            self.engine.apply([writes])
        self.store.committed()
        self.committed, self.committed_dropped = dict(self.now), self.dropped
        keys = window_key_codec(key_codec(str)).decode_many([key for key, _ in self.engine.scan("s")])
        assert [(start, key) for key, start in keys] == sorted(self.now)

    @rule()
    def abort(self) -> None:
        self.store.abort()
        self.now, self.dropped = dict(self.committed), self.committed_dropped

    @rule()
    def open_again(self) -> None:
        """The next owner knows nothing of earlier drops, and its first drop reaches back to the start."""
        self.open()
        self.now, self.dropped, self.committed_dropped = dict(self.committed), 0, 0

    @invariant()
    def everything_reads_as_it_should(self) -> None:
        found: dict[Any, int] = {(start, key): value for (key, start), value in self.store.items()}
        assert found == self.now
        for start, key in self.committed:
            assert self.store.get((key, start)) == self.now.get((start, key))


TestWindows = WindowMachine.TestCase
TestWindows.settings = settings(max_examples=settings().max_examples, stateful_step_count=30)
