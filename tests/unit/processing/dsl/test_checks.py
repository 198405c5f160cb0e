"""What declarations refuse, and what their errors say: the step, the user's line, what to write instead."""

from __future__ import annotations

import functools
import operator
import re
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

import streamcore as sc
from streamcore.errors import TopologyError, UsageError

HERE = r"at=.*test_checks\.py:\d+"

ON_VALUES = ("map", "filter", "filter_not", "flat_map", "peek", "foreach", "group_by")
ON_RECORDS = ("map_record", "flat_map_record")


def words(app: sc.App | None = None) -> Any:
    return (app or sc.App("app")).topic("words", key=str, value=str)


async def awaited(value: Any) -> bool:
    return True


async def awaited_one_by_one(value: Any) -> AsyncIterator[Any]:
    yield value


def yielded(value: Any) -> Iterator[Any]:
    yield value


class Awaited:
    async def __call__(self, value: Any) -> bool:
        return True

    async def method(self, value: Any) -> bool:
        return True

    def plain(self, value: Any) -> bool:
        return True


ZERO: Any = 0
NOT_CALLED: list[Any] = [awaited, awaited_one_by_one, functools.partial(awaited), Awaited(), Awaited().method]
NOT_CALLABLE = ["upper", 5, None, [], sc.skip]
OTHER_PARAMETERS: list[Callable[..., Any]] = [lambda: 1, lambda a, b: 1, lambda *, value: 1]
RIGHT: list[Callable[..., Any]] = [
    lambda value: 1,
    lambda *values: 1,
    lambda value, more=1: 1,
    functools.partial(lambda a, b: 1, 1),
    Awaited().plain,
    str.upper,
    len,
    bool,
    operator.attrgetter("id"),
]


@pytest.mark.parametrize("verb", [*ON_VALUES, *ON_RECORDS])
@pytest.mark.parametrize("function", NOT_CALLED)
def test_steps_refuse_functions_that_would_have_to_be_awaited(verb: str, function: Any) -> None:
    with pytest.raises(TopologyError, match=rf"write 'def' instead of 'async def'.* step=.* {HERE}"):
        getattr(words(), verb)(function)


@pytest.mark.parametrize("verb", [*ON_VALUES, *ON_RECORDS])
@pytest.mark.parametrize("function", NOT_CALLABLE)
def test_steps_refuse_what_cannot_be_called(verb: str, function: Any) -> None:
    with pytest.raises(TopologyError, match=rf"give a function of .* step=words\.{verb} .* {HERE}"):
        getattr(words(), verb)(function)


@pytest.mark.parametrize("verb", [*ON_VALUES, *ON_RECORDS])
@pytest.mark.parametrize("function", OTHER_PARAMETERS)
def test_steps_refuse_functions_of_other_parameters(verb: str, function: Any) -> None:
    with pytest.raises(TopologyError, match=rf"called with \((value|record)\).* parameters=.* {HERE}"):
        getattr(words(), verb)(function)


@pytest.mark.parametrize("verb", [*ON_VALUES, *ON_RECORDS])
@pytest.mark.parametrize("function", RIGHT)
def test_steps_take_whatever_can_be_called_with_one_value(verb: str, function: Any) -> None:
    getattr(words(), verb)(function)


def test_generator_functions_are_for_steps_that_give_several_values() -> None:
    for verb in ("flat_map", "flat_map_record"):
        getattr(words(), verb)(yielded)

    for verb in ("map", "filter", "filter_not", "peek", "foreach", "group_by", "map_record"):
        with pytest.raises(TopologyError, match=rf"no 'yield'; .*flat_map: step=yielded .*{HERE}"):
            getattr(words(), verb)(yielded)


def test_a_decorator_with_arguments_checks_the_function_too() -> None:
    stream = words()

    for verb in (*ON_VALUES, *ON_RECORDS):
        with pytest.raises(TopologyError, match=rf"step=awaited .*{HERE}"):
            getattr(stream, verb)(on_error=sc.skip)(awaited)


@pytest.mark.parametrize(
    "declare",
    [
        lambda stream: stream.branch(arm=awaited),
        lambda stream: stream.branch(arm="big"),
        lambda stream: stream.branch(arm=lambda: 1),
        lambda stream: stream.join(stream.table("t"), awaited),
        lambda stream: stream.join(stream.table("t"), lambda value: 1),
        lambda stream: stream.join(stream.global_table("g"), lambda a, b: 1, on=awaited),
        lambda stream: stream.sum("s", awaited),
        lambda stream: stream.sum("s", "amount"),
        lambda stream: stream.aggregate("s", total=sc.sum(awaited)),
        lambda stream: stream.aggregate("s", total=sc.aggregation(ZERO, lambda a, b: 1)),
        lambda stream: stream.aggregate("s", total=sc.aggregation(lambda: 0, NOT_CALLED[0])),
        lambda stream: stream.aggregate("s", total="sum"),
        lambda stream: stream.aggregate("s", total=sc.sum),
        lambda stream: stream.aggregate("s", into="Order", total=sc.sum()),
        lambda stream: stream.aggregate("s", into=Awaited, total=sc.sum()),
        lambda stream: stream.aggregate("s"),
        lambda stream: stream.reduce("s", lambda a: 1),
        lambda stream: stream.reduce("s", awaited),
        lambda stream: stream.fold("s", 0, lambda a: 1),
        lambda stream: stream.tumbling("1s").reduce("s", awaited),
        lambda stream: stream.tumbling("1s").fold("s", 0, awaited),
        lambda stream: stream.tumbling("1s").count("s", late=5),
        lambda stream: stream.merge(),
        lambda stream: stream.merge("others"),
        lambda stream: stream.through("words"),
        lambda stream: stream.to(None),
        lambda stream: stream.to(stream.filter(len)),
        lambda stream: stream.to(""),
        lambda stream: stream.to("a b"),
        lambda stream: stream.to("app-total-changelog"),
        lambda stream: stream.map(len, name="a b"),
        lambda stream: stream.count(),
        lambda stream: stream.count("a/b"),
        lambda stream: stream.map(len, onerror=sc.skip),
        lambda stream: stream.join("table", lambda a, b: 1),
        lambda stream: stream.join(stream, lambda a, b: 1),
        lambda stream: stream.join(stream, lambda a, b: 1, before="1s"),
        lambda stream: stream.join(stream, lambda a, b: 1, before="1s", after=-1),
        lambda stream: stream.join(stream, lambda a, b: 1, before="1s", after="1s", grace="x"),
        lambda stream: stream.join(stream, lambda a, b: 1, before="1s", after="1s", how="right"),
        lambda stream: stream.join(stream, lambda a, b: 1, before="1s", after="1s", on=len),
        lambda stream: stream.join(stream, lambda a: 1, before="1s", after="1s"),
        lambda stream: stream.join(stream.map(len), lambda a, b: 1, before="1s", after="1s", name=5),
        lambda stream: stream.map(lambda value: 1).join(stream, lambda a, b: 1, before="1s", after="1s"),
        lambda stream: stream.join(stream.group_by(len, key=int), lambda a, b: 1, before="1s", after="1s"),
        lambda stream: stream.join(stream.table("t"), lambda a, b: 1, before="1s"),
        lambda stream: stream.join(stream.table("t"), lambda a, b: 1, how="outer"),
        lambda stream: stream.join(stream.table("t"), lambda a, b: 1, how=None),
        lambda stream: stream.join(stream.table("t"), lambda a, b: 1, on=len),
    ],
)
def test_steps_refuse_what_they_cannot_run(declare: Callable[[Any], Any]) -> None:
    stream = words()

    with pytest.raises(TopologyError, match=HERE):
        declare(stream)


# -- policies


@pytest.mark.parametrize(
    ("policy", "written"),
    [
        ("skip", "sc.skip"),
        ("stop", "sc.stop"),
        (sc.retry, "sc.retry(times=3)"),
        (sc.dead_letter, "sc.dead_letter('topic')"),
        (type(sc.skip), "sc.skip"),
        (True, "sc.stop, sc.skip"),
        (ValueError, "sc.stop, sc.skip"),
        ([sc.skip], "sc.stop, sc.skip"),
    ],
)
def test_every_place_for_a_policy_refuses_what_is_none(policy: Any, written: str) -> None:
    app = sc.App("app")
    stream = words(app)
    declarations: list[Callable[[], Any]] = [
        lambda: sc.App("other", on_error=policy),
        lambda: app.topic("other", on_error=policy),
        lambda: app.agent(stream, on_error=policy),
        lambda: stream.to("out", on_error=policy),
        lambda: stream.through(app.topic("way"), on_error=policy),
        lambda: stream.repartition(2, name="more", on_error=policy),
        lambda: stream.branch(big=len, on_error=policy),
        lambda: stream.join(stream.table("t"), lambda a, b: 1, on_error=policy),
        lambda: stream.count("counted", on_error=policy),
        lambda: stream.reduce("reduced", max, on_error=policy),
        lambda: stream.tumbling("1s").aggregate("windowed", total=sc.count(), on_error=policy),
        *(functools.partial(getattr(stream, verb), len, on_error=policy) for verb in ON_VALUES),
        *(functools.partial(getattr(stream, verb), on_error=policy) for verb in ON_VALUES),
        *(functools.partial(getattr(stream, verb), len, on_error=policy) for verb in ON_RECORDS),
    ]

    for declare in declarations:
        app.declaration.locations.pop(("table", "t"), None)
        app.declaration.locations.pop(("topic", "way"), None)
        app.declaration.topics.pop("way", None)
        with pytest.raises(TopologyError, match=f"on_error is {re.escape(written)}.*{HERE}"):
            declare()


@pytest.mark.parametrize("times", [0, -1, True, 1.5, "3", None, 10**30])
def test_a_retry_is_made_a_whole_number_of_times(times: Any) -> None:
    with pytest.raises(UsageError, match=rf"retry from 1 to .*times=.*{HERE}"):
        sc.retry(times)


@pytest.mark.parametrize("backoff", [-1, True, float("nan"), "soon", "9999999d", timedelta(microseconds=1)])
def test_a_retry_waits_for_a_duration(backoff: Any) -> None:
    with pytest.raises(UsageError, match=HERE):
        sc.retry(3, backoff)


@pytest.mark.parametrize("topic", ["", "a b", "..", None, 5, "x" * 250])
def test_dead_letters_go_to_a_topic_of_a_name(topic: Any) -> None:
    with pytest.raises(UsageError, match=rf"name of a topic.*{HERE}"):
        sc.dead_letter(topic)


# -- numbers and durations


@pytest.mark.parametrize("wrong", [0, -1, True, False, 1.5, float("nan"), "3", 10**9, [1]])
def test_partitions_and_concurrency_are_whole_numbers_of_a_possible_size(wrong: Any) -> None:
    app = sc.App("app")
    stream = words(app)

    for declare in (
        lambda: app.topic("other", partitions=wrong),
        lambda: stream.repartition(wrong, name="more"),
        lambda: app.agent(stream, concurrency=wrong),
    ):
        with pytest.raises(TopologyError, match=rf"is an integer from 1 to 10,000: .*given=.*{HERE}"):
            declare()


WRONG_DURATIONS = [
    -1,
    "-1s",
    True,
    1.5,
    float("nan"),
    float("inf"),
    "soon",
    "",
    [1],
    timedelta.max,
    10**20,
    "1y",
]


@pytest.mark.parametrize("wrong", [0, "0s", timedelta(0), None, *WRONG_DURATIONS])
def test_durations_that_must_be_something_are_refused_when_they_are_nothing(wrong: Any) -> None:
    app = sc.App("app")
    stream = words(app)
    declarations: list[Callable[[], Any]] = [
        lambda: app.timer(wrong),
        lambda: stream.tumbling(wrong),
        lambda: stream.hopping("1s", wrong),
        lambda: stream.hopping(wrong, "1s"),
        lambda: app.table("t").tumbling(wrong),
    ]
    if wrong is not None:
        declarations.append(lambda: app.topic("other", idle_after=wrong))

    for declare in declarations:
        with pytest.raises(TopologyError, match=HERE):
            declare()


@pytest.mark.parametrize("wrong", WRONG_DURATIONS)
def test_grace_and_retention_are_durations(wrong: Any) -> None:
    app = sc.App("app")
    stream = words(app)
    table = app.table("t")

    for declare in (
        lambda: stream.tumbling("1s", grace=wrong),
        lambda: stream.tumbling("1s", retention=wrong),
        lambda: table.tumbling("1s", retention=wrong),
    ):
        with pytest.raises(TopologyError, match=HERE):
            declare()


def test_windows_that_would_leave_gaps_or_be_too_many_are_refused() -> None:
    with pytest.raises(TopologyError, match=r"fall between them: stream=words size='1s' advance='2s'"):
        words().hopping("1s", "2s")
    with pytest.raises(TopologyError, match=r"more than 100,000 windows"):
        words().hopping("365d", "1ms")


# -- the application


@pytest.mark.parametrize("app_id", ["", "a b", None, 5, "x" * 201])
def test_an_application_has_a_name(app_id: Any) -> None:
    with pytest.raises(TopologyError, match=f"name the application.*{HERE}"):
        sc.App(app_id)


@pytest.mark.parametrize(
    "arguments",
    [
        {"key": "str"},
        {"value": 5},
        {"value": {"a": 1}},
        {"codec": "xml"},
        {"key": dict},
        {"timestamp": "ts"},
        {"timestamp": awaited},
        {"timestamp": yielded},
        {"timestamp": lambda: 1},
        {"config": "retention.ms=1"},
        {"config": {"retention.ms": 1}},
        {"config": {1: "1"}},
        {"config": [("retention.ms", "1")]},
        {"unknown": 1},
    ],
)
def test_a_topic_refuses_arguments_of_other_kinds(arguments: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=HERE):
        sc.App("app").topic("other", **arguments)


@pytest.mark.parametrize("wrong", [5, "str", len, sc, [str], {"a": int}, complex])
def test_keys_and_values_are_of_types_that_can_be_written(wrong: Any) -> None:
    app = sc.App("app")
    stream = words(app)
    declarations: list[Callable[[], Any]] = [
        lambda: app.topic("other", key=wrong),
        lambda: app.topic("other", value=wrong),
        lambda: app.table("t", key=wrong),
        lambda: app.table("t", value=wrong),
        lambda: stream.map(len, value=wrong),
        lambda: stream.flat_map(len, value=wrong),
        lambda: stream.map_record(len, key=wrong),
        lambda: stream.map_record(len, value=wrong),
        lambda: stream.group_by(len, key=wrong),
    ]
    for declare in declarations:
        with pytest.raises(UsageError, match=HERE):
            declare()


@pytest.mark.parametrize("default", ["one", [], lambda key: 1, awaited])
def test_a_default_of_a_table_is_one_of_its_values(default: Any) -> None:
    with pytest.raises(TopologyError, match=HERE):
        sc.App("app").table("t", value=int, default=default)


def test_an_agent_follows_a_stream_of_its_application() -> None:
    app = sc.App("app")
    stream = words(app)
    theirs = words(sc.App("other"))

    async def agent(events: Any) -> None: ...

    decorators: list[Callable[[], Any]] = [
        lambda: app.agent(agent),  # type: ignore[call-overload]  # @app.agent without a topic
        lambda: app.agent(),  # type: ignore[call-overload]
        lambda: app.agent("words"),  # type: ignore[call-overload]
        lambda: app.agent(theirs),
        lambda: app.agent(stream, theirs),
        lambda: app.agent(stream, tables=app.table("one")),  # type: ignore[call-overload]
        lambda: app.agent(stream, tables=["one"]),  # type: ignore[list-item]
        lambda: app.agent(stream, tables=[sc.App("other").table("two")]),
    ]
    for declare in decorators:
        with pytest.raises(TopologyError, match=HERE):
            declare()


@pytest.mark.parametrize("function", [len, lambda events: None, awaited_one_by_one, yielded, "agent", None])
def test_an_agent_is_a_coroutine_function(function: Any) -> None:
    app = sc.App("app")

    with pytest.raises(TopologyError, match=f"an agent is 'async def'.*{HERE}"):
        app.agent(words(app))(function)


def test_an_agent_takes_its_events() -> None:
    app = sc.App("app")

    async def nothing() -> None: ...

    with pytest.raises(TopologyError, match=rf"called with \(events\): step=nothing .*{HERE}"):
        app.agent(words(app))(nothing)  # type: ignore[arg-type]


def test_timers_and_commands_need_parentheses_and_functions() -> None:
    app = sc.App("app")

    def tick() -> None: ...

    declarations: list[Callable[[], Any]] = [
        lambda: app.timer(tick),  # type: ignore[arg-type]
        lambda: app.crontab(tick),  # type: ignore[arg-type]
        lambda: app.command(tick),  # type: ignore[arg-type]
        lambda: app.timer("1s")("tick"),  # type: ignore[type-var]
        lambda: app.timer("1s")(lambda event: None),
        lambda: app.timer("1s")(yielded),
        lambda: app.command()(None),  # type: ignore[type-var]
        lambda: app.command()(yielded),
        lambda: app.command("a b")(tick),
        lambda: app.command("-a")(tick),
        lambda: app.crontab("often"),
        lambda: app.crontab(5),  # type: ignore[arg-type]
        lambda: app.crontab("0 0 31 2 *"),
    ]
    for declare in declarations:
        with pytest.raises(TopologyError, match=HERE):
            declare()


def test_names_of_timers_and_commands_are_taken_once() -> None:
    app = sc.App("app")

    def tick() -> None: ...

    app.timer("1s", name="clock")(tick)
    app.command("load")(tick)

    with pytest.raises(TopologyError, match=f"two timers have one name.*first=.*{HERE}"):
        app.timer("1s", name="clock")(tick)
    with pytest.raises(TopologyError, match=f"two commands have one name.*{HERE}"):
        app.command("load")(tick)
    app.timer("1s")(tick)
    app.timer("1s")(tick)
    assert [timer.name for timer in app.timers] == ["clock", "tick", "tick-2"]


def test_topics_and_tables_of_another_application_are_refused_by_name_and_line() -> None:
    stream = words()
    other = sc.App("other")
    theirs = other.topic("theirs", key=str, value=str)
    declarations: list[Callable[[], Any]] = [
        lambda: stream.to(theirs),
        lambda: stream.through(theirs),
        lambda: stream.merge(theirs),
        lambda: stream.tumbling("1s").count("late-ones", late=theirs),
        lambda: stream.join(theirs.table("t"), lambda a, b: 1),
        lambda: stream.join(theirs, lambda a, b: 1, before="1s", after="1s"),
        lambda: stream.join(theirs.global_table("g"), lambda a, b: 1),
    ]
    for declare in declarations:
        with pytest.raises(TopologyError, match=rf"one application.* app=app other_app=other {HERE}"):
            declare()


def test_a_refused_declaration_declares_nothing() -> None:
    app = sc.App("app")
    stream = words(app)

    for verb in ON_VALUES:
        with pytest.raises(TopologyError):
            getattr(stream, verb)(awaited, name="step")
    with pytest.raises(TopologyError):
        stream.aggregate("total", wrong="sum")
    with pytest.raises(TopologyError):
        stream.to(5)

    assert app.declaration.nodes == []
    stream.count("total")
