"""Engines behave like a dict of dicts, whatever is written, deleted, dropped and reopened."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from streamcore.state.engine import KeyValueEngine, StoreWrites
from streamcore.state.memory import MemoryEngine
from streamcore.state.rocks import RocksEngine
from streamcore.state.rocks_settings import RocksSettings

STORES = st.sampled_from(["a", "b"])
KEYS = st.binary(max_size=3) | st.sampled_from([b"\x00", b"\xff", b"\xff\xff", b"k1", b"k2"])
VALUES = st.none() | st.binary(max_size=8)
# Small enough that flushes and compactions happen.
SETTINGS = RocksSettings(write_buffer_bytes=64 << 10, block_cache_bytes=64 << 10)


class EngineMachine(RuleBasedStateMachine):
    """The engine under test, and what it should hold."""

    engine: KeyValueEngine

    def __init__(self) -> None:
        super().__init__()
        self.model: dict[str, dict[bytes, bytes]] = {}
        self.positions: dict[str, int] = {}

    @rule(
        store=STORES,
        pairs=st.dictionaries(KEYS, VALUES, max_size=6),
        ranges=st.lists(st.tuples(KEYS, KEYS), max_size=2),
        position=st.integers(-1, 2**63 - 1),
    )
    def apply(
        self,
        store: str,
        pairs: dict[bytes, bytes | None],
        ranges: list[tuple[bytes, bytes]],
        position: int,
    ) -> None:
        self.engine.apply([StoreWrites(store, list(pairs), list(pairs.values()), ranges)], {store: position})

        held = self.model.setdefault(store, {})
        for start, end in ranges:
            for key in [key for key in held if start <= key < end]:
                del held[key]
        for key, value in pairs.items():
            if value is None:
                held.pop(key, None)
            else:
                held[key] = value
        self.positions[store] = position

    @rule(store=STORES)
    def drop(self, store: str) -> None:
        self.engine.drop_store(store)
        self.model.pop(store, None)

    @rule(store=STORES, start=st.none() | KEYS, end=st.none() | KEYS, reverse=st.booleans())
    def scan(self, store: str, start: bytes | None, end: bytes | None, reverse: bool) -> None:
        expected = sorted(
            pair
            for pair in self.model.get(store, {}).items()
            if (start is None or start <= pair[0]) and (end is None or pair[0] < end)
        )
        assert list(self.engine.scan(store, start, end, reverse=reverse)) == expected[:: -1 if reverse else 1]

    @rule(store=STORES, keys=st.lists(KEYS, max_size=5))
    def get(self, store: str, keys: list[bytes]) -> None:
        expected = [self.model.get(store, {}).get(key) for key in keys]
        assert self.engine.get_many(store, keys) == expected
        assert [self.engine.get(store, key) for key in keys] == expected

    @invariant()
    def stores_and_positions_are_known(self) -> None:
        assert self.engine.stores() == sorted(self.model)
        assert {name: self.engine.position(name) for name in self.positions} == self.positions

    def teardown(self) -> None:
        self.engine.close()


class MemoryMachine(EngineMachine):
    def __init__(self) -> None:
        super().__init__()
        self.engine = MemoryEngine()


class RocksMachine(EngineMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.engine = RocksEngine.open(self.folder, settings=SETTINGS)

    @rule()
    def reopen(self) -> None:
        self.engine.close()
        self.engine = RocksEngine.open(self.folder, settings=SETTINGS)

    def teardown(self) -> None:
        super().teardown()
        shutil.rmtree(self.folder)


TestMemoryEngine = MemoryMachine.TestCase
TestMemoryEngine.settings = settings(max_examples=60, stateful_step_count=25)
TestRocksEngine = RocksMachine.TestCase
TestRocksEngine.settings = settings(max_examples=10, stateful_step_count=30)
