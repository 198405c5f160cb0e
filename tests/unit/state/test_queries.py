"""What queries answer, from the bytes of an engine and what the store says about itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from streamcore.errors import (
    CorruptStoreError,
    SerdeError,
    TopologyError,
    UnsupportedVersionError,
    UsageError,
)
from streamcore.model import TopicPartition, Windowed
from streamcore.state.descriptions import StoreDescription, describe_store, store_description
from streamcore.state.engine import KeyValueEngine, StoreWrites
from streamcore.state.keys import key_codec
from streamcore.state.memory import MemoryEngine
from streamcore.state.position import Position, position_note
from streamcore.state.queries import Answer, StoreView
from streamcore.state.rocks import RocksEngine
from streamcore.state.window_keys import window_key_codec

POSITION = Position({TopicPartition("in", 0): 7})
COUNTS = StoreDescription(name="counts", kind="kv", key_codec="str", value_codec="json")
HOURLY = StoreDescription(
    name="hourly", kind="window", key_codec="str", value_codec="json", window_size_ms=10
)
HOPPING = StoreDescription(
    name="hopping",
    kind="window",
    key_codec="str",
    value_codec="json",
    window_size_ms=10,
    window_advance_ms=4,
)


def counts(engine: KeyValueEngine, **values: int) -> StoreView[str, int]:
    engine.apply(
        [
            StoreWrites(
                "counts", [key.encode() for key in values], [b"%d" % value for value in values.values()]
            )
        ],
        {},
        position_note(POSITION),
    )
    return StoreView(engine, COUNTS, int)


def windows(
    engine: KeyValueEngine, description: StoreDescription, *keys: tuple[str, int]
) -> StoreView[str, str]:
    encoded = window_key_codec(key_codec(str)).encode_many(keys)
    engine.apply([StoreWrites(description.name, encoded, [f"{key}@{start}".encode() for key, start in keys])])
    return StoreView(engine, description, bytes.decode)


@pytest.fixture
def engine() -> MemoryEngine:
    return MemoryEngine()


def test_a_stored_value_that_does_not_decode_is_named_with_table_and_key(engine: MemoryEngine) -> None:
    engine.apply([StoreWrites("counts", [b"a", b"b"], [b"1", b"one"])], {}, position_note(POSITION))
    view: StoreView[str, int] = StoreView(engine, COUNTS, int)

    assert view.get("a") == Answer(1, POSITION)
    for ask in (lambda: view.get("b"), lambda: list(view.all())):
        with pytest.raises(SerdeError, match=r"stored value .* table=counts key='b'.* data=b'one'"):
            ask()


def test_a_stored_window_that_does_not_decode_is_named_with_table_and_key(engine: MemoryEngine) -> None:
    windows(engine, HOURLY, ("a", 0))
    view: StoreView[str, int] = StoreView(engine, HOURLY, int)

    for ask in (
        lambda: view.get("a", at=0),
        lambda: list(view.windows("a")),
        lambda: list(view.windows_between(None, None)),
    ):
        with pytest.raises(SerdeError, match=r"stored value .* table=hourly key=.*'a'.* data=b'a@0'"):
            ask()


def test_a_point_query_gives_value_and_position(engine: MemoryEngine) -> None:
    view = counts(engine, a=1)

    assert view.get("a") == Answer(1, POSITION)
    assert view.get("b") is None
    assert view.position() == POSITION


def test_a_range_is_half_open_in_key_order(engine: MemoryEngine) -> None:
    view = counts(engine, b=2, a=1, c=3)

    assert list(view.range("a", "c")) == [Answer(1, POSITION, "a"), Answer(2, POSITION, "b")]
    assert [answer.key for answer in view.range("b")] == ["b", "c"]
    assert [answer.key for answer in view.range(None, "b")] == ["a"]
    assert [answer.key for answer in view.all()] == ["a", "b", "c"]


def test_a_prefix_does_not_leak(engine: MemoryEngine) -> None:
    view = counts(engine, a=1, ab=2, abc=3, ac=4, b=5)

    assert [answer.key for answer in view.prefix("ab")] == ["ab", "abc"]
    assert [answer.key for answer in view.prefix("")] == ["a", "ab", "abc", "ac", "b"]


def test_a_key_of_the_wrong_type_is_refused(engine: MemoryEngine) -> None:
    with pytest.raises(SerdeError, match="key_type=str given=int"):
        counts(engine).get(5)  # type: ignore[arg-type]


def test_the_window_that_holds_a_time_is_found(engine: MemoryEngine) -> None:
    view = windows(engine, HOURLY, ("a", 0), ("a", 10), ("b", 20))

    assert view.get("a", at=9) == Answer("a@0", Position(), Windowed("a", 0, 10))
    assert view.get("a", at=10) == Answer("a@10", Position(), Windowed("a", 10, 20))
    assert view.get("a", at=20) is None


def test_of_hopping_windows_the_last_that_holds_the_time_answers(engine: MemoryEngine) -> None:
    view = windows(engine, HOPPING, ("a", 0), ("a", 4))

    found = {at: view.get("a", at=at) for at in (0, 3, 4, 9, 10, 13, 14)}

    assert {at: answer and answer.value for at, answer in found.items()} == {
        0: "a@0",
        3: "a@0",
        4: "a@4",
        9: "a@4",
        10: "a@4",
        13: "a@4",
        14: None,
    }


def test_the_windows_of_one_key_are_found_among_those_of_others(engine: MemoryEngine) -> None:
    keys = [(name, start) for name in ("a", "b", "ba", "") for start in range(0, 100, 10)]
    view = windows(engine, HOURLY, *(key for key in keys if key != ("b", 50)))

    found = [answer.key.start_ms for answer in view.windows("b", since=20, until=80)]

    assert found == [20, 30, 40, 60, 70]
    assert len(list(view.windows("b"))) == 9
    assert list(view.windows("c")) == []


def test_the_windows_of_all_keys_come_by_start(engine: MemoryEngine) -> None:
    view = windows(engine, HOURLY, ("b", 10), ("a", 20), ("a", 10), ("a", 0))

    assert [answer.value for answer in view.windows_between(10, 20)] == ["a@10", "b@10"]
    assert [answer.value for answer in view.windows_between(since=10)] == ["a@10", "b@10", "a@20"]
    assert next(answer.key for answer in view.all()) == Windowed("a", 0, 10)


@pytest.mark.parametrize(
    "query",
    [
        lambda kv, _: kv.get("a", at=5),
        lambda kv, _: kv.windows("a"),
        lambda kv, _: kv.windows_between(0, 1),
        lambda _, window: window.get("a"),
        lambda _, window: window.range("a", "b"),
        lambda _, window: window.prefix("a"),
    ],
)
def test_a_query_for_the_other_kind_of_table_says_what_to_use(
    engine: MemoryEngine, query: Callable[[StoreView[str, int], StoreView[str, str]], object]
) -> None:
    with pytest.raises(UsageError, match=r"use |leave out|say which"):
        query(counts(engine, a=1), windows(engine, HOURLY, ("a", 0)))


def test_typed_keys_are_readable_without_their_class(engine: MemoryEngine) -> None:
    codec = key_codec(tuple[str, int])
    engine.apply([StoreWrites("seats", codec.encode_many([("UA", 1)]), [b"5"])])
    description = StoreDescription(name="seats", kind="kv", key_codec=codec.name, value_codec="json")

    view: StoreView[tuple[str, int], int] = StoreView(engine, description, int)

    assert [answer.key for answer in view.all()] == [("UA", 1)]
    assert view.get(("UA", 1)) == Answer(5, Position())


def test_a_folder_that_nobody_runs_describes_itself(tmp_path: Path) -> None:
    engine = RocksEngine.open(tmp_path)
    counts(engine, a=1)
    described = msgspec.structs.replace(COUNTS, aggregations=[("n", "count")], follows="app-counts-changelog")
    describe_store(engine, described)
    engine.close()

    reader = RocksEngine.open(tmp_path, read_only=True)

    assert store_description(reader, "counts") == described
    assert store_description(reader, "other") is None
    assert [answer.value for answer in StoreView(reader, COUNTS, int).all()] == [1]
    reader.close()


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "window"},
        {"key_codec": "int"},
        {"value_codec": "msgpack"},
        {"window_size_ms": 5},
        {"aggregations": [("n", "sum")]},
    ],
)
def test_a_declaration_under_which_the_bytes_mean_something_else_is_refused(
    engine: MemoryEngine, change: dict[str, object]
) -> None:
    describe_store(engine, COUNTS)

    with pytest.raises(TopologyError, match="another name"):
        describe_store(engine, msgspec.structs.replace(COUNTS, **change))

    assert store_description(engine, "counts") == COUNTS


def test_a_description_may_say_more_than_before(engine: MemoryEngine) -> None:
    describe_store(engine, COUNTS)
    more = msgspec.structs.replace(COUNTS, follows="topic")

    describe_store(engine, more)

    assert store_description(engine, "counts") == more


def test_a_description_of_a_newer_version_is_refused(engine: MemoryEngine) -> None:
    engine.apply([], {}, {"store/counts": b'{"version":9,"something":"else"}'})

    with pytest.raises(UnsupportedVersionError):
        store_description(engine, "counts")


@pytest.mark.parametrize("note", [b"", b"\xff", b"{}", b'{"version":1}', b'{"version":1,"kind":"x"}'])
def test_a_description_that_cannot_be_read_is_damage(engine: MemoryEngine, note: bytes) -> None:
    engine.apply([], {}, {"store/counts": note})

    with pytest.raises(CorruptStoreError):
        store_description(engine, "counts")
