"""The contract of the engine port: what stands on it may rely on this, in memory and on RocksDB."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from streamcore.errors import ClosedError
from streamcore.state.engine import KeyValueEngine, StoreWrites
from streamcore.state.memory import MemoryEngine
from streamcore.state.rocks import RocksEngine

_KEYS = [b"%03d" % number for number in range(200)]


@pytest.fixture(params=["memory", "rocks"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[KeyValueEngine]:
    engine: KeyValueEngine
    if request.param == "memory":
        engine = MemoryEngine()
    else:
        engine = RocksEngine.open(tmp_path / "task")
    yield engine
    engine.close()


def writes(store: str, pairs: dict[bytes, bytes | None]) -> StoreWrites:
    return StoreWrites(store, list(pairs), list(pairs.values()))


def test_a_store_that_was_never_written_is_empty(engine: KeyValueEngine) -> None:
    assert engine.get("counts", b"a") is None
    assert engine.get_many("counts", [b"a", b"b"]) == [None, None]
    assert list(engine.scan("counts")) == []
    assert engine.stores() == []


def test_what_was_applied_is_read(engine: KeyValueEngine) -> None:
    engine.apply([writes("counts", {b"b": b"2", b"a": b"1"})])

    assert engine.get("counts", b"a") == b"1"
    assert engine.get_many("counts", [b"x", b"b", b"a", b"a"]) == [None, b"2", b"1", b"1"]
    assert engine.stores() == ["counts"]


def test_empty_keys_and_values_are_keys_and_values(engine: KeyValueEngine) -> None:
    engine.apply([writes("counts", {b"": b"", b"\x00": b"\x00"})])

    assert engine.get("counts", b"") == b""
    assert list(engine.scan("counts")) == [(b"", b""), (b"\x00", b"\x00")]


def test_stores_do_not_see_each_other(engine: KeyValueEngine) -> None:
    engine.apply([writes("a", {b"k": b"in a"}), writes("b", {b"k": b"in b"})])

    assert engine.get("a", b"k") == b"in a"
    assert engine.get("b", b"k") == b"in b"


@pytest.mark.parametrize("name", ["default", "store/x", "with space", "größe", "a/b", "position"])
def test_any_name_is_a_store_name(engine: KeyValueEngine, name: str) -> None:
    engine.apply([writes(name, {b"k": b"v"})], {name: 1}, {name: b"n"})

    assert engine.get(name, b"k") == b"v"
    assert engine.position(name) == 1
    assert engine.note(name) == b"n"
    assert engine.stores() == [name]


def test_none_deletes_a_key(engine: KeyValueEngine) -> None:
    engine.apply([writes("counts", {b"a": b"1", b"b": b"2"})])

    engine.apply([writes("counts", {b"a": None, b"never there": None})])

    assert list(engine.scan("counts")) == [(b"b", b"2")]


def test_a_scan_is_in_the_order_of_key_bytes(engine: KeyValueEngine) -> None:
    engine.apply([writes("counts", {key: key for key in (b"b", b"a\xff", b"a", b"\xff", b"a\x00")})])

    keys = [key for key, _ in engine.scan("counts")]

    assert keys == [b"a", b"a\x00", b"a\xff", b"b", b"\xff"]


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (None, None, [b"a", b"b", b"c"]),
        (b"b", None, [b"b", b"c"]),
        (None, b"b", [b"a"]),
        (b"a", b"c", [b"a", b"b"]),
        (b"a\x00", b"b\x00", [b"b"]),
        (b"b", b"b", []),
        (b"c", b"a", []),
        (b"x", None, []),
    ],
)
def test_the_end_of_a_scan_is_exclusive_in_both_directions(
    engine: KeyValueEngine, start: bytes | None, end: bytes | None, expected: list[bytes]
) -> None:
    engine.apply([writes("counts", {b"a": b"1", b"b": b"2", b"c": b"3"})])

    forward = [key for key, _ in engine.scan("counts", start, end)]
    backward = [key for key, _ in engine.scan("counts", start, end, reverse=True)]

    assert forward == expected
    assert backward == expected[::-1]


def test_scans_that_are_open_at_once_keep_their_own_ends(engine: KeyValueEngine) -> None:
    keys = [b"k%d" % number for number in range(6)]
    engine.apply([writes("counts", dict.fromkeys(keys, b"v"))])

    scans = [engine.scan("counts", keys[0], end) for end in keys[1:]]

    assert [[key for key, _ in scan] for scan in scans] == [keys[:count] for count in range(1, 6)]


def test_a_scan_shows_the_store_as_it_was_when_it_began(engine: KeyValueEngine) -> None:
    engine.apply([writes("counts", {b"a": b"1", b"c": b"3"})])

    scan = engine.scan("counts")
    engine.apply([writes("counts", {b"a": b"new", b"b": b"2", b"c": None})])

    assert list(scan) == [(b"a", b"1"), (b"c", b"3")]


def test_a_deleted_range_takes_its_start_and_leaves_its_end(engine: KeyValueEngine) -> None:
    engine.apply([writes("counts", {b"a": b"1", b"b": b"2", b"c": b"3", b"d": b"4"})])

    engine.apply([StoreWrites("counts", [], [], [(b"b", b"d")])])

    assert list(engine.scan("counts")) == [(b"a", b"1"), (b"d", b"4")]
    assert engine.get_many("counts", [b"a", b"b", b"c"]) == [b"1", None, None]


def test_ranges_are_deleted_before_keys_are_written(engine: KeyValueEngine) -> None:
    engine.apply([writes("counts", {b"a": b"1", b"b": b"2"})])

    engine.apply([StoreWrites("counts", [b"b"], [b"new"], [(b"a", b"z")])])

    assert list(engine.scan("counts")) == [(b"b", b"new")]


def test_an_empty_range_deletes_nothing(engine: KeyValueEngine) -> None:
    engine.apply([writes("counts", {b"a": b"1", b"b": b"2"})])

    engine.apply([StoreWrites("counts", [], [], [(b"a", b"a"), (b"b", b"a")])])

    assert len(list(engine.scan("counts"))) == 2


def test_a_range_of_a_store_that_does_not_exist_is_harmless(engine: KeyValueEngine) -> None:
    engine.apply([StoreWrites("counts", [], [], [(b"a", b"z")])])

    assert list(engine.scan("counts")) == []


def test_positions_and_notes_come_with_the_data(engine: KeyValueEngine) -> None:
    engine.apply([writes("counts", {b"a": b"1"})], {"in": 5, "void": -1}, {"what": b"\x00note"})

    assert engine.position("in") == 5
    assert engine.position("void") == -1
    assert engine.position("what") is None
    assert engine.note("what") == b"\x00note"
    assert engine.note("in") is None


def test_a_later_apply_replaces_positions_by_name(engine: KeyValueEngine) -> None:
    engine.apply([], {"a": 1, "b": 1})

    engine.apply([], {"b": 2**62})

    assert engine.position("a") == 1
    assert engine.position("b") == 2**62


def test_a_dropped_store_is_empty_and_can_be_written_again(engine: KeyValueEngine) -> None:
    engine.apply([writes("counts", {b"a": b"1"}), writes("other", {b"a": b"1"})], {"in": 5})

    engine.drop_store("counts")
    engine.drop_store("never there")

    assert engine.get("counts", b"a") is None
    assert engine.stores() == ["other"]
    assert engine.position("in") == 5
    engine.apply([writes("counts", {b"b": b"2"})])
    assert list(engine.scan("counts")) == [(b"b", b"2")]


@pytest.mark.parametrize(
    "call",
    [
        lambda engine: engine.get("counts", b"a"),
        lambda engine: engine.get("never there", b"a"),
        lambda engine: engine.get_many("counts", [b"a"]),
        lambda engine: engine.scan("counts"),
        lambda engine: engine.apply([]),
        lambda engine: engine.position("in"),
        lambda engine: engine.note("what"),
        lambda engine: engine.stores(),
        lambda engine: engine.drop_store("counts"),
        lambda engine: engine.flush(),
    ],
)
def test_a_closed_engine_says_so(engine: KeyValueEngine, call: Callable[[KeyValueEngine], object]) -> None:
    engine.apply([writes("counts", {b"a": b"1"})])

    engine.close()
    engine.close()

    with pytest.raises(ClosedError):
        call(engine)


def test_other_threads_read_while_the_owner_applies(engine: KeyValueEngine) -> None:
    """Each apply sets all keys to the same number; a scan must never see two numbers."""
    keys = [b"%d" % number for number in range(20)]
    engine.apply([StoreWrites("counts", keys, [b"0"] * 20)])
    seen: list[int] = []
    is_done = threading.Event()

    def read() -> None:
        while not is_done.is_set():
            seen.append(len({value for _, value in engine.scan("counts")}))

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(300):
        engine.apply([StoreWrites("counts", keys, [b"%d" % number] * 20)])
    is_done.set()
    reader.join()

    assert set(seen) == {1}


@pytest.mark.parametrize(
    "read",
    [
        lambda engine: engine.get("counts", b"007") == b"v",
        lambda engine: engine.get_many("counts", _KEYS) == [b"v"] * 200,
        lambda engine: len(list(engine.scan("counts"))) == 200,
        lambda engine: len(list(engine.scan("counts", b"050", b"060", reverse=True))) == 10,
        lambda engine: engine.note("inputs") == b"{}",
        lambda engine: engine.stores() == ["counts"],
    ],
)
def test_a_read_of_another_thread_that_meets_the_close_is_answered_or_refused(
    engine: KeyValueEngine, read: Callable[[KeyValueEngine], object]
) -> None:
    """Nothing else happens: no other error, no missing key, no half of a scan."""
    engine.apply([StoreWrites("counts", _KEYS, [b"v"] * 200)], {}, {"inputs": b"{}"})
    outcomes: list[object] = []
    has_read = threading.Event()

    def read_until_refused() -> None:
        try:
            while True:
                outcomes.append(read(engine))
                has_read.set()
        except Exception as error:  # noqa: BLE001 - which error it is, is the test
            outcomes.append(type(error))

    reader = threading.Thread(target=read_until_refused)
    reader.start()
    has_read.wait()
    engine.close()
    reader.join()

    assert set(outcomes) == {True, ClosedError}
