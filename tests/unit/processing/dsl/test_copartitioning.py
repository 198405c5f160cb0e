"""Equal keys meet in each step that needs them in one partition, however topics write and spread them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

import streamcore as sc
from streamcore.errors import TopologyError
from streamcore.processing.topology.partitions import resolve_partitions
from streamcore.testing import TopologyDriver

KEYS = range(8)
HEX = sc.Serde(encode=lambda key: b"%x" % key, decode=lambda data: int(data, 16))

JSON: dict[str, Any] = {"key": int, "partitions": 4}
PACKED: dict[str, Any] = {"key": int, "codec": "msgpack", "partitions": 4}
PAIRS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "json and msgpack": (JSON, PACKED),
    "msgpack and json": (PACKED, JSON),
    "json and untyped": (JSON, {"partitions": 4}),
    "json and a serde": (JSON, {"key": HEX, "partitions": 4}),
    "four and three partitions": (JSON, {"key": int, "partitions": 3}),
    "three and four partitions": ({"key": int, "partitions": 3}, JSON),
    "json of unknown partitions and msgpack": ({"key": int}, PACKED),
    "msgpack and json of unknown partitions": (PACKED, {"key": int}),
    "untyped, and msgpack of three partitions": ({"partitions": 4}, {**PACKED, "partitions": 3}),
}
Declare = Callable[[sc.App, Any, Any], None]


def stream_and_table(app: sc.App, left: Any, right: Any) -> None:
    left.join(right.table("rights"), lambda value, other: [value, other], name="found", value=list).to("out")


def stream_and_aggregate(app: sc.App, left: Any, right: Any) -> None:
    newest = right.aggregate("rights", last=sc.last())
    left.join(newest, lambda value, other: [value, other.last], name="found", value=list).to("out")


def stream_and_table_as_of(app: sc.App, left: Any, right: Any) -> None:
    rights = right.table("rights", history="1d")
    left.join(rights, lambda value, other: [value, other], as_of=True, name="found", value=list).to("out")


def table_and_table_by_foreign_key(app: sc.App, left: Any, right: Any) -> None:
    joined = left.table("lefts").join(
        right.table("rights"),
        lambda value, other: [value, other],
        on=lambda value: (value * 5) % 8,
        name="found",
        value=list,
    )
    joined.updates().to("out")


def table_and_table(app: sc.App, left: Any, right: Any) -> None:
    joined = left.table("lefts").join(
        right.table("rights"), lambda value, other: [value, other], name="found", value=list
    )
    joined.updates().to("out")


def stream_and_stream(app: sc.App, left: Any, right: Any) -> None:
    left.join(
        right, lambda value, other: [value, other], before="1h", after="1h", name="found", value=list
    ).to("out")


def counted_together(app: sc.App, left: Any, right: Any) -> None:
    left.merge(right).count("found").updates().to("out")


def mapped_and_counted_together(app: sc.App, left: Any, right: Any) -> None:
    left.merge(right).map(lambda value: value, value=int).count("found").updates().to("out")


def cogrouped(app: sc.App, left: Any, right: Any) -> None:
    def add(rows: list[int], value: int) -> list[int]:
        return sorted([*rows, value])

    sc.cogroup(left.by(add), right.by(add)).aggregate("found", initial=list).updates().to("out")


def agent_with_a_table(app: sc.App, left: Any, right: Any) -> None:
    seen = app.table("seen", key=int, value=int, default=0)
    out = app.topic("out", key=int, value=int)

    @app.agent(left, right)
    async def watch(events: Any) -> None:
        async for key, _ in events.items():
            seen[key] += 1
            await out.send(key=key, value=seen[key])


def limited_together(app: sc.App, left: Any, right: Any) -> None:
    left.merge(right).take(1, within="1d", name="first").to("out")


def results_of(declare: Declare, left: dict[str, Any], right: dict[str, Any]) -> dict[Any, Any]:
    """Return the newest result of each key, of one right record at 1 s and one left record at 2 s."""
    app = sc.App("app")
    lefts = app.topic("left", value=int, **left)
    rights = app.topic("right", value=int, **right)
    declare(app, lefts, rights)
    with TopologyDriver(app) as driver:
        for key in KEYS:
            driver.send(rights, key=key, value=100 + key, at="1970-01-01T00:00:01Z")
            driver.send(lefts, key=key, value=key, at="1970-01-01T00:00:02Z")
        return {record.key: record.value for record in driver.read("out")}


STEPS = [
    stream_and_table,
    stream_and_aggregate,
    stream_and_table_as_of,
    table_and_table,
    table_and_table_by_foreign_key,
    stream_and_stream,
    counted_together,
    mapped_and_counted_together,
    cogrouped,
    agent_with_a_table,
    limited_together,
]
CASES = [(declare, pair) for declare in STEPS for pair in ("json and msgpack", "four and three partitions")]
CASES += [(declare, pair) for declare in STEPS[:4] + STEPS[6:7] for pair in PAIRS]


@cache
def results_alike(declare: Declare) -> dict[Any, Any]:
    return results_of(declare, JSON, JSON)


@pytest.mark.parametrize(("declare", "pair"), dict.fromkeys(CASES))
def test_keys_meet_as_those_of_two_topics_that_are_declared_alike(declare: Declare, pair: str) -> None:
    assert results_of(declare, *PAIRS[pair]) == results_alike(declare)


@pytest.mark.parametrize(
    "declare", [stream_and_table, stream_and_aggregate, table_and_table, stream_and_stream, counted_together]
)
def test_other_numbers_of_partitions_that_only_the_log_knows_are_refused_with_both_topics(
    declare: Declare,
) -> None:
    app = sc.App("app")
    declare(app, app.topic("left", key=int, value=int), app.topic("right", key=int, value=int))

    with pytest.raises(TopologyError, match=r"same number of partitions.*repartition") as refused:
        resolve_partitions(app.plan(), {"left": 2, "right": 3})

    assert "=left " in str(refused.value)
    assert "=right " in str(refused.value)


@pytest.mark.parametrize(
    "declare",
    [stream_and_table, stream_and_aggregate, table_and_table, stream_and_stream, counted_together, cogrouped],
)
def test_topics_that_are_declared_alike_need_no_repartition_topic(declare: Declare) -> None:
    app = sc.App("app")
    declare(app, app.topic("left", value=int, **JSON), app.topic("right", value=int, **JSON))

    assert [topic.name for topic in app.plan().topics if topic.internal] == []


@pytest.mark.parametrize("declare", [stream_and_table, counted_together, mapped_and_counted_together])
def test_topics_of_unknown_partitions_get_no_repartition_topic_and_are_refused_if_they_are_several(
    declare: Declare,
) -> None:
    app = sc.App("app")
    packed = app.topic("right", key=int, value=int, codec="msgpack")
    declare(app, app.topic("left", key=int, value=int), packed)

    assert resolve_partitions(app.plan(), {}) == {"left": 1, "right": 1, "out": 1}
    with pytest.raises(TopologyError, match=r"declare partitions= of both .*first=left .*second=right "):
        resolve_partitions(app.plan(), {"left": 2, "right": 2})


def test_a_union_that_no_step_keeps_by_key_needs_no_repartition_topic() -> None:
    app = sc.App("app")
    left, right = PAIRS["json and msgpack"]
    united = app.topic("left", value=int, **left).merge(app.topic("right", value=int, **right))
    united.map(str, name="text").to("out")

    @app.agent(united)
    async def watch(events: Any) -> None:
        async for _ in events:
            pass

    assert [topic.name for topic in app.plan().topics if topic.internal] == []


def test_equal_serdes_of_a_user_write_alike() -> None:
    app = sc.App("app")
    table = app.topic("left", key=HEX, value=int, partitions=2).table("lefts")
    app.topic("right", key=HEX, value=int, partitions=2).join(table, lambda value, other: value, name="found")

    plan = app.plan()

    assert resolve_partitions(plan, {}) == {"left": 2, "right": 2}


def test_a_declared_float_and_an_untyped_key_are_written_in_two_ways() -> None:
    app = sc.App("app")
    typed = app.topic("typed", key=float, value=int, codec="msgpack", partitions=4)
    typed.merge(app.topic("untyped", value=int, partitions=4)).count("found").updates().to("out")

    with TopologyDriver(app) as driver:
        for key in KEYS:
            driver.send("typed", key=float(key), value=1)
            driver.send("untyped", key=key, value=1)

        assert {record.key: record.value for record in driver.read("out")} == dict.fromkeys(KEYS, 2)


def test_a_deleted_row_is_deleted_behind_the_repartition_topic_of_a_table() -> None:
    app = sc.App("app")
    left, right = PAIRS["json and msgpack"]
    table_and_table(app, app.topic("left", value=int, **left), app.topic("right", value=int, **right))

    with TopologyDriver(app) as driver:
        for key in KEYS:
            driver.send("left", key=key, value=key)
            driver.send("right", key=key, value=key)
        driver.process()
        for key in KEYS:
            driver.send("right", key=key, value=None)

        assert list(driver.table("found").all()) == []


def test_a_table_whose_keys_are_those_of_windows_is_joined_by_them() -> None:
    app = sc.App("app")
    words = app.topic("words", key=str, value=int, partitions=4)
    per_hour = words.tumbling("1h").count("hourly").updates()
    counted = per_hour.count("changes")
    per_hour.join(counted, lambda value, other: [value, other], name="found", value=list).to("out")

    with TopologyDriver(app) as driver:
        for number in range(8):
            driver.send(words, key=f"word{number}", value=1, at="1970-01-01T00:00:01Z")

        assert [record.value for record in driver.read("out")] == [[1, 1]] * 8


def test_a_table_of_streams_with_several_types_of_keys_is_joined_by_them() -> None:
    app = sc.App("app")
    typed = app.topic("typed", key=int, value=int, codec="msgpack", partitions=4)
    untyped = app.topic("untyped", value=int, partitions=4)
    counted = typed.merge(untyped).count("counted")
    typed.join(counted, lambda value, other: value + other, name="found", value=int).to("out")

    with TopologyDriver(app) as driver:
        for key in KEYS:
            driver.send(untyped, key=key, value=1, at="1970-01-01T00:00:01Z")
            driver.send(typed, key=key, value=10, at="1970-01-01T00:00:02Z")

        assert {record.key: record.value for record in driver.read("out")} == dict.fromkeys(KEYS, 12)
    assert [topic.name for topic in app.plan().topics if topic.internal] == []


def test_a_table_by_a_part_of_its_keys_is_not_joined_by_streams_of_whole_keys() -> None:
    app = sc.App("app")
    words = app.topic("words", key=str, value=int, partitions=4)
    counted = words.tumbling("1h").count("hourly").updates().count("changes")
    others = app.topic("others", key=sc.Windowed[str], value=int, partitions=4)

    with pytest.raises(TopologyError, match=r"by a part of them.*\.repartition\(name=.*stream=others"):
        others.join(counted, lambda value, other: value, name="found")


def test_the_repartition_topic_of_a_join_is_named_after_the_join() -> None:
    app = sc.App("app")
    left, right = PAIRS["json and msgpack"]
    stream_and_table(app, app.topic("left", value=int, **left), app.topic("right", value=int, **right))

    (topic,) = [topic for topic in app.plan().topics if topic.internal]

    assert (topic.name, topic.key_serde.encode(7)) == ("app-found-repartition", b"\x07")


@pytest.mark.parametrize("pair", ["json and msgpack", "four and three partitions"])
def test_windowed_tables_meet_behind_repartition_topics_of_both_and_are_refused_without(pair: str) -> None:
    left, right = PAIRS[pair]
    app = sc.App("app")
    lefts, rights = app.topic("left", value=int, **left), app.topic("right", value=int, **right)

    def both(value: int, other: int) -> list[int]:
        return [value, other]

    with pytest.raises(TopologyError, match=r"make both of streams with .repartition\(n, name=…\)"):
        lefts.tumbling("1h").count("n").join(rights.tumbling("1h").count("m"), both, name="found")

    moved = [topic.repartition(4, name=f"by-{topic.name}").tumbling("1h") for topic in (lefts, rights)]
    moved[0].count("lefts").join(moved[1].count("rights"), both).updates().to("out")
    with TopologyDriver(app) as driver:
        for key in KEYS:
            for topic in (lefts, rights):
                driver.send(topic, key=key, value=1, at="1970-01-01T00:00:01Z")

        assert [record.value for record in driver.read("out")] == [[1, 1]] * len(KEYS)
