"""Each public call of the DSL with each argument replaced by a wrong one: an error of the declaration.

The error is a ``TopologyError`` or ``UsageError``. It ends with this file and a line, and names the step, or
what was to be declared. A call is listed with right arguments and the kind of each: what else is right there.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import AsyncIterator, Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

import streamcore as sc

HERE = re.compile(rf" at=\S*{re.escape(Path(__file__).name)}:\d+$")
NAMED = re.compile(r" (step|table|store|topic|agent|timer|command|hook|stream|app|encode)=")


class World:
    """An application with one of each, made when it is asked for."""

    @cached_property
    def app(self) -> sc.App:
        return sc.App("app")

    @cached_property
    def topic(self) -> Any:
        return self.app.topic("topic", key=str, value=int)

    @cached_property
    def other(self) -> Any:
        return self.app.topic("other", key=str, value=int)

    @cached_property
    def table(self) -> Any:
        return self.other.table("rows")

    @cached_property
    def counts(self) -> Any:
        return self.topic.count("counts")

    @cached_property
    def windows(self) -> Any:
        return self.topic.tumbling("1m")

    @cached_property
    def windowed(self) -> Any:
        return self.windows.count("windowed")

    @cached_property
    def windowed_other(self) -> Any:
        return self.windows.count("windowed-other")

    @cached_property
    def grouped(self) -> Any:
        return self.table.group_by(lambda value: "a")

    @cached_property
    def contribution(self) -> Any:
        return self.topic.by(two)

    @cached_property
    def cogroup(self) -> Any:
        return sc.cogroup(self.contribution)

    @cached_property
    def written(self) -> Any:
        return self.app.table("written", key=str, value=int)


def none() -> int:
    return 0


def one(value: Any) -> Any:
    return value


def two(first: Any, second: Any) -> Any:
    return first


def five(first: Any, second: Any, third: Any, fourth: Any, fifth: Any) -> Any:
    return first


async def awaited(value: Any) -> Any:
    return value


def yielding(value: Any) -> Iterator[Any]:
    yield value


async def agent(events: AsyncIterator[Any]) -> None:
    async for _ in events:
        pass


class Keeping(sc.Processor[str, int, str, int]):
    def on_record(self, record: sc.Record[str, int]) -> None:
        pass


WRONG: dict[str, Any] = {
    "None": None,
    "7": 7,
    "-1": -1,
    "1.5": 1.5,
    "text": "text",
    "empty text": "",
    "a name with a blank": "a name",
    "object": object(),
    "list": [1],
    "dict": {"a": 1},
    "without parameters": none,
    "of five": five,
    "async": awaited,
    "generator": yielding,
    "class": int,
    "True": True,
    "bytes": b"x",
    "app": sc.App("else"),
    "topic of another app": sc.App("else").topic("elsewhere", key=str, value=int),
}

NAME = {"text"}
NAME_OR_NONE = {"text", "None"}
FUNCTION = {"class"}
FUNCTION_OR_NONE = {"class", "None"}
SEVERAL = {"class", "generator"}
CALLED = {"class", "without parameters"}
COUNT = {"7"}
COUNT_OR_NONE = {"7", "None"}
DURATION = {"7"}
DURATION_OR_NONE = {"7", "None"}
TYPE = {"class", "None"}
POLICY = {"None"}
FLAG = {"True"}
NUMBER = {"None", "7", "-1", "without parameters", "class"}
"""A value of a table of ``int``, or a function that makes one."""
LATE = {"text", "None"}
NOTHING: set[str] = set()

Argument = tuple[set[str], Any]
NAMED_STEP = {"name": (NAME_OR_NONE, "step"), "on_error": (POLICY, sc.stop)}
STORED = {"on_error": (POLICY, sc.stop)}
GRACE = {"grace": (DURATION, "1s"), "retention": (DURATION_OR_NONE, "10d")}


def on(what: str, method: str) -> Callable[[World], Callable[..., Any]]:
    return lambda world: getattr(getattr(world, what), method)


def world_of(what: str) -> Any:
    return lambda world: getattr(world, what)


def decorating(method: str) -> Callable[[World], Callable[..., Any]]:
    """A call of a decorator: the first argument is its own, the last the function."""

    def get(world: World) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            return getattr(world.app, method)(*arguments[:-1], **named)(arguments[-1])

        return call

    return get


def aggregations(name: str) -> Callable[[World], Callable[..., Any]]:
    """An aggregation, used in a declaration."""

    def get(world: World) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            return world.topic.aggregate("kept", it=getattr(sc, name)(*arguments, **named))

        return call

    return get


def stored(world: World) -> Callable[..., Any]:
    def call(**named: Any) -> Any:
        class Kept(Keeping):
            kept = sc.Store(**named)

        return world.topic.process("steps", Kept)

    return call


Call = tuple[Callable[[World], Callable[..., Any]], list[Argument], dict[str, Argument]]
OTHER = (NOTHING, world_of("other"))
ROWS = (NOTHING, world_of("table"))
CALLS: dict[str, Call] = {
    "sc.App": (
        lambda world: sc.App,
        [(NAME, "named")],
        {
            "on_error": (NOTHING, sc.stop),
            "on_recreated_topic": (NOTHING, "stop"),
        },
    ),
    "app.topic": (
        on("app", "topic"),
        [(NAME, "new")],
        {
            "key": (TYPE, str),
            "value": (TYPE, int),
            "codec": (NOTHING, "json"),
            "partitions": (COUNT_OR_NONE, 1),
            "timestamp": (FUNCTION_OR_NONE, one),
            "idle_after": (DURATION_OR_NONE, "1s"),
            "max_ahead": (DURATION_OR_NONE, "1d"),
            "on_null": (POLICY, "skip"),
            "on_error": (POLICY, sc.stop),
            "config": (POLICY, {}),
        },
    ),
    "app.table": (
        on("app", "table"),
        [(NAME, "new")],
        {
            "key": (TYPE, str),
            "value": (TYPE, int),
            "default": (NUMBER, 0),
            "codec": (NOTHING, "json"),
        },
    ),
    "app.agent": (
        decorating("agent"),
        [(NOTHING, world_of("topic")), ({"async"}, agent)],
        {
            "name": (NAME_OR_NONE, "agent"),
            "concurrency": (COUNT, 1),
            "on_error": (POLICY, sc.stop),
            "tables": ({"empty text"}, ()),
        },
    ),
    "app.timer": (
        decorating("timer"),
        [(DURATION, "1s"), (CALLED, none)],
        {"name": (NAME_OR_NONE, "tick"), "leader": (FLAG, False)},
    ),
    "app.crontab": (
        decorating("crontab"),
        [(NOTHING, "* * * * *"), (CALLED, none)],
        {"name": (NAME_OR_NONE, "tick"), "timezone": (POLICY, "UTC"), "leader": (FLAG, False)},
    ),
    "app.command": (
        decorating("command"),
        [({"class", "without parameters", "of five", "async"}, none)],
        {"name": (NAME_OR_NONE, "load")},
    ),
    "app.on_start": (on("app", "on_start"), [(CALLED, none)], {}),
    "app.on_stop": (on("app", "on_stop"), [(CALLED, none)], {}),
    "app.describe": (on("app", "describe"), [], {"mermaid": (FLAG, False)}),
    "map": (on("topic", "map"), [(FUNCTION, one)], {**NAMED_STEP, "value": (TYPE, int)}),
    "flat_map": (on("topic", "flat_map"), [(SEVERAL, one)], {**NAMED_STEP, "value": (TYPE, int)}),
    "filter": (on("topic", "filter"), [(FUNCTION, one)], NAMED_STEP),
    "filter_not": (on("topic", "filter_not"), [(FUNCTION, one)], NAMED_STEP),
    "peek": (on("topic", "peek"), [(FUNCTION, one)], NAMED_STEP),
    "foreach": (on("topic", "foreach"), [(FUNCTION, one)], NAMED_STEP),
    "map_record": (
        on("topic", "map_record"),
        [(FUNCTION, one)],
        {**NAMED_STEP, "key": (TYPE, str), "value": (TYPE, int)},
    ),
    "flat_map_record": (
        on("topic", "flat_map_record"),
        [(SEVERAL, one)],
        {**NAMED_STEP, "key": (TYPE, str), "value": (TYPE, int)},
    ),
    "group_by": (on("topic", "group_by"), [(FUNCTION, one)], {**NAMED_STEP, "key": (TYPE, int)}),
    "branch": (on("topic", "branch"), [], {**STORED, "large": (FUNCTION, one)}),
    "merge": (on("topic", "merge"), [OTHER], {"name": (NAME_OR_NONE, "step")}),
    "to": (on("topic", "to"), [(NAME, world_of("other"))], NAMED_STEP),
    "through": (on("topic", "through"), [OTHER], NAMED_STEP),
    "sink": (
        on("topic", "sink"),
        [({"class", "async"}, one)],
        {**NAMED_STEP, "batch": (COUNT, 3), "retry": (COUNT_OR_NONE, 2), "records": (FLAG, False)},
    ),
    "repartition": (on("topic", "repartition"), [(COUNT_OR_NONE, 2)], NAMED_STEP),
    "sample": (on("topic", "sample"), [(NOTHING, 0.5)], {"name": (NAME_OR_NONE, "step")}),
    "dedupe": (
        on("topic", "dedupe"),
        [(FUNCTION_OR_NONE, one)],
        {**NAMED_STEP, "within": (DURATION, "1m"), "grace": (DURATION, 0), "key_type": (TYPE, int)},
    ),
    "take": (
        on("topic", "take"),
        [(COUNT, 3)],
        {**NAMED_STEP, "within": (DURATION, "1m"), "grace": (DURATION, 0), "late": (LATE, "late")},
    ),
    "rate_limit": (
        on("topic", "rate_limit"),
        [(COUNT, 3)],
        {**NAMED_STEP, "per": (DURATION, "1m"), "grace": (DURATION, 0), "late": (LATE, "late")},
    ),
    "process": (
        on("topic", "process"),
        [(NAME, "steps"), (NOTHING, Keeping)],
        {**STORED, "key": (TYPE, str), "value": (TYPE, int)},
    ),
    "topic.table": (on("topic", "table"), [(NAME, "new")], {"history": (DURATION_OR_NONE, "1h")}),
    "topic.global_table": (on("topic", "global_table"), [(NAME, "new")], {}),
    "by": (on("topic", "by"), [(FUNCTION, two)], {}),
    "join of streams": (
        on("topic", "join"),
        [OTHER, (FUNCTION, two)],
        {
            **NAMED_STEP,
            "how": (NOTHING, "left"),
            "before": (DURATION, "1s"),
            "after": (DURATION, "1s"),
            "grace": (DURATION_OR_NONE, "1s"),
            "late": (LATE, "late"),
            "value": (TYPE, int),
        },
    ),
    "join with a table": (
        on("topic", "join"),
        [ROWS, (FUNCTION, two)],
        {**NAMED_STEP, "how": (NOTHING, "left"), "as_of": (NOTHING, False), "value": (TYPE, int)},
    ),
    "table.map": (
        on("table", "map"),
        [(FUNCTION, one)],
        {**STORED, "name": (NAME_OR_NONE, "step"), "value": (TYPE, int)},
    ),
    "table.filter": (on("table", "filter"), [(FUNCTION, one)], {**STORED, "name": (NAME_OR_NONE, "step")}),
    "table.filter_not": (
        on("table", "filter_not"),
        [(FUNCTION, one)],
        {**STORED, "name": (NAME_OR_NONE, "step")},
    ),
    "table.group_by": (on("table", "group_by"), [(FUNCTION, one)], {"key": (TYPE, int)}),
    "table.join": (
        on("counts", "join"),
        [ROWS, (FUNCTION, two)],
        {**STORED, "name": (NAME_OR_NONE, "step"), "how": (NOTHING, "left"), "value": (TYPE, int)},
    ),
    "table.join on": (
        on("counts", "join"),
        [ROWS, (FUNCTION, two)],
        {
            **STORED,
            "on": (FUNCTION_OR_NONE, lambda value: "a"),
            "name": (NAME_OR_NONE, "step"),
            "how": (NOTHING, "left"),
            "value": (TYPE, int),
        },
    ),
    "table.suppress": (
        on("table", "suppress"),
        [(DURATION, "1s")],
        {"max_keys": (COUNT_OR_NONE, 3), "name": (NAME_OR_NONE, "step")},
    ),
    "table.updates": (on("table", "updates"), [], {"every": (DURATION_OR_NONE, "1s")}),
    "table.to_stream": (on("table", "to_stream"), [], {}),
    "windowed.final": (on("windowed", "final"), [], {}),
    "windowed.updates": (on("windowed", "updates"), [], {"every": (DURATION_OR_NONE, "1s")}),
    "windowed.join": (
        on("windowed", "join"),
        [(NOTHING, world_of("windowed_other")), (FUNCTION, two)],
        {**STORED, "name": (NAME_OR_NONE, "step"), "how": (NOTHING, "left"), "value": (TYPE, int)},
    ),
    "cogroup.aggregate": (
        on("cogroup", "aggregate"),
        [(NAME, "kept")],
        {**STORED, "initial": (NUMBER, 0), "value": (TYPE, int)},
    ),
    "sc.cogroup": (lambda world: sc.cogroup, [(NOTHING, world_of("contribution"))], {}),
    "sc.Store": (
        stored,
        [],
        {
            "key": (TYPE, str),
            "value": (TYPE, int),
            "default": (NUMBER, 0),
            "codec": (NOTHING, "json"),
        },
    ),
    "sc.retry": (lambda world: sc.retry, [], {"times": (COUNT, 3), "backoff": (DURATION, "1s")}),
    "sc.dead_letter": (lambda world: sc.dead_letter, [(NAME, "letters")], {}),
    "sc.top": (aggregations("top"), [(COUNT, 3), (FUNCTION, one)], {"of": (FUNCTION_OR_NONE, one)}),
    "sc.collect": (
        aggregations("collect"),
        [(FUNCTION_OR_NONE, one)],
        {"limit": (COUNT_OR_NONE, 3), "value": (TYPE, int)},
    ),
    "sc.distinct": (aggregations("distinct"), [(FUNCTION_OR_NONE, one)], {"limit": (COUNT, 3)}),
    "sc.approx_distinct": (aggregations("approx_distinct"), [(FUNCTION_OR_NONE, one)], {}),
    "sc.quantile": (aggregations("quantile"), [(FUNCTION_OR_NONE, one), (NOTHING, 0.5)], {}),
    "sc.aggregation": (
        aggregations("aggregation"),
        [(CALLED, none), (FUNCTION, two)],
        {
            "merge": (FUNCTION_OR_NONE, two),
            "remove": (FUNCTION_OR_NONE, two),
            "of": (FUNCTION_OR_NONE, one),
            "result": (FUNCTION_OR_NONE, one),
            "value": (TYPE, int),
        },
    ),
}
for name in ("count", "variance", "stddev"):
    CALLS[f"sc.{name}"] = (aggregations(name), [(FUNCTION_OR_NONE, one)], {})
for name in ("sum", "min", "max", "mean", "first", "last"):
    CALLS[f"sc.{name}"] = (aggregations(name), [(FUNCTION_OR_NONE, one)], {"value": (TYPE, int)})
for name in ("argmin", "argmax"):
    CALLS[f"sc.{name}"] = (
        aggregations(name),
        [(FUNCTION, one)],
        {"of": (FUNCTION_OR_NONE, one), "value": (TYPE, int)},
    )
for what, more in (("topic", STORED), ("windows", {**STORED, "late": (LATE, "late")}), ("grouped", STORED)):
    CALLS[f"{what}.count"] = (on(what, "count"), [(NAME, "kept")], more)
    CALLS[f"{what}.sum"] = (
        on(what, "sum"),
        [(NAME, "kept"), (FUNCTION_OR_NONE, one)],
        {**more, "value": (TYPE, int)},
    )
    CALLS[f"{what}.aggregate"] = (
        on(what, "aggregate"),
        [(NAME, "kept")],
        {**more, "into": (POLICY, None), "records": (NOTHING, sc.count())},
    )
    if what != "grouped":
        CALLS[f"{what}.reduce"] = (
            on(what, "reduce"),
            [(NAME, "kept"), (FUNCTION, two)],
            {**more, "value": (TYPE, int)},
        )
        CALLS[f"{what}.fold"] = (
            on(what, "fold"),
            [(NAME, "kept"), (NUMBER, 0), (FUNCTION, two)],
            {**more, "value": (TYPE, int)},
        )
for what in ("topic", "cogroup"):
    CALLS[f"{what}.tumbling"] = (on(what, "tumbling"), [(DURATION, "1m")], GRACE)
    CALLS[f"{what}.hopping"] = (on(what, "hopping"), [(NOTHING, "1m"), (DURATION, "30s")], GRACE)
    CALLS[f"{what}.sliding"] = (on(what, "sliding"), [(DURATION, "1m")], GRACE)
    CALLS[f"{what}.session"] = (on(what, "session"), [(DURATION, "1m")], GRACE)
    CALLS[f"{what}.calendar"] = (on(what, "calendar"), [(NOTHING, "day")], {**GRACE, "tz": (NOTHING, "UTC")})
CALLS["written.tumbling"] = (on("written", "tumbling"), [(DURATION, "1m")], {"retention": GRACE["retention"]})
CALLS["written.session"] = (
    on("written", "session"),
    [(DURATION, "1m")],
    {"merge": (FUNCTION, two), "retention": GRACE["retention"]},
)
CALLS["written.calendar"] = (
    on("written", "calendar"),
    [(NOTHING, "day")],
    {"tz": (NOTHING, "UTC"), "retention": GRACE["retention"]},
)


READING = {"get", "items", "keys", "values", "clear", "pop", "setdefault", "update"}
SENDING = {"send", "send_many", "send_and_wait"}
ELSEWHERE = READING | SENDING | {"declared", "plan", "cogrouped"}
"""Methods that declare nothing."""
REFUSALS = {("AppTable", "sliding"), ("WindowedTable", "suppress"), ("AppTable", "hopping")}
"""Methods that refuse every argument, or need a table with a default."""


@pytest.mark.parametrize(
    "kind",
    [sc.App, sc.Topic, sc.Table, sc.WindowedTable, sc.WindowedStream, sc.AppTable],
    ids=lambda kind: kind.__name__,
)
def test_each_argument_of_each_declaring_method_is_tried(kind: type) -> None:
    tried: dict[str, set[str]] = {}
    for name, (_, _, named) in CALLS.items():
        method = name.split(" ")[0].rpartition(".")[2]
        tried.setdefault("join" if method == "join" else method, set()).update(named)

    missing = []
    for method in dir(kind):
        found = getattr(kind, method)
        if method.startswith("_") or not callable(found) or method in ELSEWHERE:
            continue
        if (kind.__name__, method) in REFUSALS:
            continue
        for parameter in inspect.signature(found).parameters.values():
            is_keyword = parameter.kind is inspect.Parameter.KEYWORD_ONLY
            if method not in tried or (is_keyword and parameter.name not in tried[method]):
                missing.append(f"{method} {parameter.name}")

    # ``table=`` of a join is its former name of the first argument; ``on=`` is tried with a table.
    assert [each for each in missing if each not in ("join table",)] == []


def called(call: Call, place: int | str | None = None, wrong: Any = None, **more: Any) -> str | None:
    """Call with right arguments but for one; return the text of the error of the declaration."""
    get, positional, named = call
    world = World()

    def given(value: Any) -> Any:
        return value(world) if getattr(value, "__qualname__", "").startswith("world_of.") else value

    arguments = [given(value) for _, value in positional]
    keywords = {name: given(value) for name, (_, value) in named.items()} | more
    if isinstance(place, int):
        arguments[place] = wrong
    elif place is not None:
        keywords[place] = wrong
    try:
        get(world)(*arguments, **keywords)
    except sc.UsageError as error:
        return str(error)
    return None


@pytest.mark.parametrize("name", CALLS)
def test_a_wrong_argument_is_an_error_that_names_the_step_and_the_line(name: str) -> None:
    call = CALLS[name]
    _, positional, named = call
    assert called(call) is None
    problems = []
    places: list[tuple[int | str, Argument]] = [*enumerate(positional), *named.items()]
    for place, (right, _) in places:
        for what, wrong in WRONG.items():
            text = called(call, place, wrong)
            if text is None:
                if what not in right:
                    problems.append(f"{place}={what} passes")
            elif HERE.search(text) is None or NAMED.search(text) is None:
                problems.append(f"{place}={what}: {text}")

    assert problems == []


@pytest.mark.parametrize("name", [name for name in CALLS if name not in ("branch", "sc.Store")])
def test_an_unknown_keyword_is_an_error_that_names_it(name: str) -> None:
    text = called(CALLS[name], evry="1s")

    assert text is not None
    assert "evry" in text
    assert HERE.search(text) is not None


@pytest.mark.parametrize(
    "call",
    [
        lambda world: sc.aggregation(int),  # type: ignore[call-overload]
        lambda world: sc.argmin(),  # type: ignore[call-overload]
        lambda world: world.windowed.final(every="1s"),
        lambda world: world.topic.fold("kept", 0),
        lambda world: world.topic.branch(),
        lambda world: world.topic.merge(),
        lambda world: sc.cogroup(),
        lambda world: world.topic.aggregate("kept"),
        lambda world: world.topic.aggregate("kept", records=sc.count),
        lambda world: world.app.timer(none),
        lambda world: world.app.crontab(none),
        lambda world: world.app.command(none),
        lambda world: world.app.agent(agent),
    ],
)
def test_a_call_with_missing_arguments_is_an_error_of_the_declaration(call: Callable[[World], Any]) -> None:
    with pytest.raises(sc.UsageError, match=HERE):
        call(World())


@pytest.mark.parametrize(
    "declare",
    [
        lambda world: world.topic.map(one, name="same"),
        lambda world: world.topic.count("same"),
        lambda world: world.app.table("same"),
        lambda world: world.other.table("same"),
        lambda world: world.app.timer("1s", name="same")(none),
    ],
)
def test_a_second_use_of_a_name_is_an_error_that_names_both_lines(declare: Callable[[World], Any]) -> None:
    world = World()
    declare(world)

    with pytest.raises(sc.TopologyError, match=rf"first=\S+:\d+ .*at=\S*{Path(__file__).name}:\d+$"):
        declare(world)
