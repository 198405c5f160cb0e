"""What declared things say of themselves, and the forms of declarations that other pages do not show."""

from __future__ import annotations

from typing import Any

import streamcore as sc
from streamcore.testing import TopologyDriver


def test_declared_things_show_their_names_and_types() -> None:
    app = sc.App("app")
    words = app.topic("words", key=str, value=str, partitions=3)

    shown = [
        words,
        words.map(len, name="lengths", value=int),
        words.count("counted"),
        words.tumbling("1m").count("minutes"),
        words.global_table("everywhere"),
        app.table("notes", key=str, value=int),
        app.topic("untyped"),
        words.branch(short=len),
    ]

    assert [*map(repr, shown)] == [
        "<Topic 'words' key=str value=str partitions=3>",
        "<Stream 'lengths' key=str value=int>",
        "<Table 'counted' key=str value=int>",
        "<WindowedTable 'minutes' key=streamcore.model.Windowed[str] value=int>",
        "<GlobalTable 'everywhere' key=str value=str>",
        "<AppTable 'notes' key=str value=int>",
        "<Topic 'untyped' key=Any value=Any>",
        "<Branches short, rest>",
    ]
    assert repr(app) == "<App 'app' topics=2 tables=4 agents=0 timers=0>"


def test_to_show_or_name_a_topic_does_not_read_it() -> None:
    app = sc.App("app")
    words = app.topic("words", key=str, value=str)

    for shown in (repr(words), words.name, repr(app)):
        assert shown
    assert app.declaration.nodes == []


def test_an_agent_follows_several_streams_in_the_order_of_time() -> None:
    app = sc.App("app")
    words = app.topic("words", key=str, value=str)
    numbers = app.topic("numbers", key=str, value=int)
    seen: list[Any] = []

    @app.agent(words, numbers)
    async def follow(events: sc.Events[str | int]) -> None:
        async for record in events.records():
            seen.append((record.topic, record.value))

    with TopologyDriver(app) as driver:
        driver.send(words, key="a", value="x", at=1)
        driver.send(numbers, key="a", value=2, at=2)
        driver.send(words, key="a", value="z", at=3)
        driver.process()

    assert seen == [("words", "x"), ("numbers", 2), ("words", "z")]


def test_a_branch_has_an_error_policy_of_its_own() -> None:
    app = sc.App("app")
    numbers = app.topic("numbers", key=str, value=int)

    arms = numbers.branch(large=lambda number: 10 // number > 1, on_error=sc.skip)
    arms.large.to("large")

    with TopologyDriver(app) as driver:
        for number in (0, 2, 9):
            driver.send(numbers, key="a", value=number)
        assert [record.value for record in driver.read("large")] == [2]


def test_steps_on_records_and_the_ends_of_streams_are_decorators_with_arguments() -> None:
    app = sc.App("app")
    words = app.topic("words", key=str, value=str)
    seen: list[str] = []

    @words.map_record(key=str, value=str, name="turned")
    def turn(record: sc.Record[str, str]) -> sc.Record[str, str]:
        return sc.Record(record.value, record.key)

    @turn.foreach(on_error=sc.skip)
    def note(value: str) -> None:
        seen.append(value)

    with TopologyDriver(app) as driver:
        driver.send(words, key="k", value="v")
        driver.process()

    assert seen == ["k"]


def test_a_topic_may_have_the_longest_name_that_the_log_takes() -> None:
    assert sc.App("app").topic("x" * 249).name == "x" * 249


def test_what_is_declared_is_one_value_that_later_declarations_leave_as_it_is() -> None:
    app = sc.App("app", on_error=sc.dead_letter("failed"), on_recreated_topic="go-on")
    words = app.topic("words", key=str, value=str, on_error=sc.dead_letter("unreadable"))
    words.map(len, name="lengths", value=int, on_error=sc.dead_letter("failed")).count("counted")

    @app.timer("1s")
    def tick() -> None: ...

    @app.on_start
    def begin() -> None: ...

    @app.on_stop
    def end() -> None: ...

    declared = app.declared()
    words.count("later")
    app.timer("2s", name="later")(tick)
    app.on_start(end)
    app.topic("more", on_error=sc.dead_letter("late"))

    assert (declared.app_id, declared.on_error, declared.on_recreated_topic) == (
        "app",
        sc.dead_letter("failed"),
        "go-on",
    )
    assert [topic.name for topic in declared.plan.topics] == ["words"]
    assert [[store.name for store in part.stores] for part in declared.plan.sub_topologies] == [["counted"]]
    assert declared.dead_letter_topics == ("failed", "unreadable")
    assert [timer.name for timer in declared.timers] == ["tick"]
    assert ([hook.name for hook in declared.start_hooks], [hook.name for hook in declared.stop_hooks]) == (
        ["begin"],
        ["end"],
    )
