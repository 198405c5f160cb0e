"""The specification itself, by small examples that can be checked by hand."""

from __future__ import annotations

from typing import Any

import pytest

from streamcore.errors import UserCodeError
from streamcore.model import Record
from streamcore.processing.dsl.app import App
from streamcore.processing.topology.error_policy import dead_letter, retry, skip
from streamcore.processing.topology.meaning.interpreter import Interpreter
from streamcore.processing.topology.partitions import resolve_partitions
from streamcore.serde import UNTYPED


def interpreter(app: App) -> Interpreter:
    plan = app.plan()
    counts = resolve_partitions(plan, {}) | {"dead": 1}
    return Interpreter(plan, counts, on_error=app.declaration.on_error)


def feed(
    engine: Interpreter, topic: str, *events: tuple[str | None, str | None, int], partition: int = 0
) -> None:
    """Give records as (key, value, time)."""
    for offset, (key, value, time_ms) in enumerate(events):
        engine.feed(
            Record(
                None if key is None else key.encode(),
                None if value is None else value.encode(),
                time_ms,
                (),
                topic,
                partition,
                offset,
            )
        )


def values(engine: Interpreter, topic: str) -> list[Any]:
    return [None if record.value is None else record.value.decode() for record in engine.outputs[topic]]


def test_an_event_passes_all_steps_before_the_next_one() -> None:
    app = App("app")
    passed: list[str] = []
    words = app.topic("words", value=str)
    words.peek(lambda word: passed.append(f"1 {word}")).peek(lambda word: passed.append(f"2 {word}"))

    feed(interpreter(app), "words", (None, "a", 0), (None, "b", 0))

    assert passed == ["1 a", "2 a", "1 b", "2 b"]


def test_a_step_with_two_parents_takes_what_the_first_gave_first() -> None:
    app = App("app")
    words = app.topic("words", value=str)
    loud = words.map(str.upper, value=str)
    words.flat_map(list, value=str).merge(loud).to("out")
    engine = interpreter(app)

    feed(engine, "words", (None, "ab", 0), (None, "c", 0))

    assert values(engine, "out") == ["a", "b", "AB", "c", "C"]


def test_windows_close_with_the_event_that_moves_time_past_their_end_and_grace() -> None:
    app = App("app")
    counts = app.topic("words", key=str, value=str).tumbling("10ms", grace="5ms").count("counts", late="late")
    counts.final().map_record(
        lambda record: Record(None, [record.key.key, record.key.start_ms, record.value])
    ).to("out")
    engine = interpreter(app)

    feed(
        engine,
        "words",
        ("b", "in the first", 3),
        ("a", "in the first", 9),
        ("a", "in the second", 14),
        ("a", "still in time", 1),
        ("a", "closes the first", 15),
        ("a", "too late", 9),
        ("a", "closes the second", 25),
    )

    found = [UNTYPED.decode(record.value or b"") for record in engine.outputs["out"]]
    assert found == [["a", 0, 2], ["b", 0, 1], ["a", 10, 2]]
    assert [record.timestamp_ms for record in engine.outputs["out"]] == [9, 9, 19]
    assert values(engine, "late") == ["too late"]
    assert engine.late_count == 1
    assert engine.state("counts", 0) == [
        (("a", 0), (2,)),
        (("b", 0), (1,)),
        (("a", 10), (2,)),
        (("a", 20), (1,)),
    ]


def test_a_join_sees_the_table_as_it_is_at_the_event() -> None:
    app = App("app")
    names = app.topic("names", key=str, value=str).table("names")
    words = app.topic("words", key=str, value=str)
    words.join(names, lambda word, name: f"{word}+{name}", value=str).to("inner")
    words.join(names, lambda word, name: f"{word}+{name}", how="left", value=str).to("left")
    engine = interpreter(app)

    feed(engine, "words", ("k", "1", 0), (None, "2", 0))
    feed(engine, "names", ("k", "old", 0), ("k", "new", 0))
    feed(engine, "words", ("k", "3", 0))
    feed(engine, "names", ("k", None, 0))
    feed(engine, "words", ("k", "4", 0))

    assert values(engine, "inner") == ["3+new"]
    assert values(engine, "left") == ["1+None", "2+None", "3+new", "4+None"]


def test_a_changed_key_brings_events_of_all_partitions_to_one_task() -> None:
    app = App("app")
    words = app.topic("words", value=str, partitions=2)
    words.group_by(lambda word: word[:1], key=str, name="letter").count("letters")
    engine = interpreter(app)

    feed(engine, "words", (None, "apple", 0), (None, "pear", 0), partition=0)
    feed(engine, "words", (None, "avocado", 0), partition=1)

    kept = engine.state("letters", 0) + engine.state("letters", 1)
    assert sorted(kept) == [("a", (2,)), ("p", (1,))]


def test_what_is_written_to_a_topic_that_is_read_goes_on_from_there() -> None:
    app = App("app")
    middle = app.topic("middle", value=str)
    app.topic("words", value=str).map(str.upper).through(middle).map(lambda word: f"{word}!", value=str).to(
        "out"
    )
    engine = interpreter(app)

    feed(engine, "words", (None, "a", 5))

    assert values(engine, "out") == ["A!"]
    assert [record.timestamp_ms for record in engine.outputs["out"]] == [5]


def fails_on_b(word: str) -> str:
    if word == "b":
        raise ValueError("no b")
    return word


def test_skip_leaves_the_event_out_of_this_step_alone() -> None:
    app = App("app", on_error=skip)
    words = app.topic("words", value=str)
    words.map(fails_on_b).to("mapped")
    words.to("copied")
    engine = interpreter(app)

    feed(engine, "words", (None, "a", 0), (None, "b", 0), (None, "c", 0))

    assert values(engine, "mapped") == ["a", "c"]
    assert values(engine, "copied") == ["a", "b", "c"]


def test_a_dead_letter_is_the_record_as_it_came_with_the_reason() -> None:
    app = App("app")
    app.topic("words", value=str).map(str.strip).map(fails_on_b, on_error=dead_letter("dead"), name="check")
    engine = interpreter(app)

    feed(engine, "words", ("k", " b ", 7))

    (dead,) = engine.outputs["dead"]
    assert (dead.key, dead.value, dead.timestamp_ms) == (b"k", b" b ", 7)
    assert dict(dead.headers)["streamcore.node"] == b"check"
    assert dict(dead.headers)["streamcore.error"] == b"ValueError: no b"


def test_a_record_that_fails_in_an_arm_is_one_dead_letter_with_the_name_of_that_arm() -> None:
    app = App("app", on_error=dead_letter("dead"))
    arms = app.topic("words", key=str, value=str).branch(a=lambda word: word == "a", b=fails_on_b)
    arms.rest.to("rest")
    engine = interpreter(app)

    feed(engine, "words", (None, "a", 0), (None, "b", 0))

    assert [dict(record.headers)["streamcore.node"] for record in engine.outputs["dead"]] == [b"words.b"]
    assert values(engine, "rest") == []


def test_stop_and_a_retry_in_vain_name_the_record() -> None:
    app = App("app")
    app.topic("words", value=str).map(fails_on_b, on_error=retry(2, "1ms"), name="check")

    with pytest.raises(UserCodeError, match="node=check topic=words partition=0 offset=1"):
        feed(interpreter(app), "words", (None, "a", 0), (None, "b", 0))


def test_a_failing_event_moves_stream_time_but_not_the_state() -> None:
    app = App("app", on_error=skip)
    words = app.topic("words", key=str, value=str).map(fails_on_b)
    words.tumbling("10ms").count("counts")
    engine = interpreter(app)

    feed(engine, "words", ("k", "b", 50), ("k", "a", 5))

    assert engine.late_count == 1
    assert engine.state("counts", 0) == []


def test_a_global_table_is_joined_by_any_key_from_all_its_partitions() -> None:
    app = App("app")
    rates = app.topic("rates", key=str, value=int, partitions=2).global_table("rates")
    app.topic("words", value=str).join(
        rates, lambda word, rate: f"{word}={rate}", on=str.upper, value=str
    ).to("out")
    engine = interpreter(app)

    feed(engine, "rates", ("A", "1", 0), partition=0)
    feed(engine, "rates", ("B", "2", 0), partition=1)
    feed(engine, "words", (None, "a", 0), (None, "b", 0), (None, "c", 0))

    assert values(engine, "out") == ["a=1", "b=2"]
