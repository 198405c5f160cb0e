"""Draws applications through the public DSL, and records for them, for tests that compare two engines.

Values are small integers, ``None``, or what aggregations make of them; every function of an application
takes any of these, and some of the functions fail on some values. Some records have no key, no value, or no
time that can be used, and times are often equal.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from streamcore.model import Record
from streamcore.processing.dsl.app import App
from streamcore.processing.dsl.cogrouping import cogroup
from streamcore.processing.dsl.stream import Stream
from streamcore.processing.dsl.table import Table
from streamcore.processing.dsl.windowed_stream import WindowedStream
from streamcore.processing.topology.error_policy import ErrorPolicy, dead_letter, retry, skip, stop
from streamcore.processing.topology.nodes import TableSource, TopicSpec
from streamcore.processing.topology.references import Note, Reference
from streamcore.processing.topology.windows import SessionWindows
from tests.support.random_functions import (
    AGGREGATES,
    KEY_FUNCTIONS,
    KEYS,
    WITHOUT_MERGE,
    WITHOUT_REMOVE,
    Gathering,
    doubled,
    fails_on_some,
    fails_on_sum,
    is_even,
    is_large,
    joined,
    joined_or_failed,
    joined_or_none,
    new_key,
    number,
    odd_or_none,
    only_of,
    seconds_ms,
    shown,
    some_of,
    twice,
    under_another_key,
)


@dataclass
class Drawn:
    """An application under construction: its streams and tables so far."""

    app: App
    streams: list[Stream[Any, Any]] = field(default_factory=list)
    tables: list[Table[Any, Any]] = field(default_factory=list)
    count: int = 0

    def name(self, kind: str) -> str:
        self.count += 1
        return f"{kind}{self.count}"


POLICIES: st.SearchStrategy[ErrorPolicy] = st.sampled_from(
    [skip, skip, dead_letter("dead"), dead_letter("dead"), retry(1, "1ms"), stop]
)
ON_VALUES = (doubled, number, odd_or_none)
TESTS = (is_even, is_large)


@st.composite
def applications(
    draw: st.DrawFn,
    *,
    joins: bool = True,
    policies: st.SearchStrategy[ErrorPolicy] = POLICIES,
) -> App:
    """An application of one to eight steps on one or two topics; everything that is left is written out.

    Args:
        joins: with a second topic, which is a table, and joins.
        policies: the error policies to draw from.
    """
    app = App("app", on_error=draw(policies))
    policy = st.none() | policies
    drawn = Drawn(app)
    partitions = draw(st.integers(1, 3))
    on_null = st.sampled_from([None, "skip", "pass"])
    events = app.topic(
        "events",
        key=str,
        value=int,
        partitions=partitions,
        on_null=draw(on_null),
        on_error=draw(policy),
    )
    app.topic("late", key=str, value=int)
    app.topic("texts", key=str, value=str, partitions=draw(st.integers(1, 2)))
    drawn.streams.append(events)
    if joins:
        others = app.topic(
            "others",
            key=str,
            value=int,
            partitions=partitions,
            timestamp=draw(st.sampled_from([None, seconds_ms])),
            on_null=draw(on_null),
            on_error=draw(policy),
        )
        history = draw(st.sampled_from([None, "1s", "5s", "40s", "1d"]))
        drawn.tables.append(others.table("others-table", history=history))
        drawn.streams.append(draw(st.sampled_from([others, drawn.tables[0].to_stream()])))
    for _ in range(draw(st.integers(1, 8))):
        _draw_step(draw, drawn, policy, joins=joins)
    for number_of, stream in enumerate(drawn.streams):
        if draw(st.booleans()):
            stream.map_record(shown, key=str, value=str, name=f"shown{number_of}").to("texts")
        else:
            stream.map_record(shown, key=str, value=str, name=f"shown{number_of}").to(f"out{number_of}")
    return app


def _draw_step(
    draw: st.DrawFn,
    drawn: Drawn,
    policies: st.SearchStrategy[ErrorPolicy | None],
    *,
    joins: bool,
) -> None:
    stream = draw(st.sampled_from(drawn.streams))
    policy = draw(policies)
    same_key = ["map", "filter", "filter_not", "flat_map", "peek", "branch", "merge"]
    limits = ["take", "rate_limit", "dedupe", "sample", "sink", "process"]
    keyed = ["count", "sum", "aggregate", "reduce", "fold", "windows", "cogroup"] + (
        ["join", "join"] if joins else []
    )
    keyed += ["regroup", "regroup"] if drawn.tables else []
    keyed += ["join-streams", "join-windows"]
    changes_key = ["group_by", "map_record", "flat_map_record", "repartition"]
    derived = ["rows", "rows", "rows"] if drawn.tables else []
    kind = draw(st.sampled_from(same_key + changes_key + keyed + limits + derived))
    risky = fails_on_some if draw(st.booleans()) else lambda function: function
    match kind:
        case "map":
            function = draw(st.sampled_from(ON_VALUES))
            drawn.streams.append(stream.map(risky(function), name=drawn.name("map"), on_error=policy))
        case "filter" | "filter_not":
            function = draw(st.sampled_from(TESTS))
            made = getattr(stream, kind)(risky(function), name=drawn.name(kind), on_error=policy)
            drawn.streams.append(made)
        case "flat_map":
            drawn.streams.append(stream.flat_map(risky(some_of), name=drawn.name("flat"), on_error=policy))
        case "peek":
            drawn.streams.append(stream.peek(risky(number), name=drawn.name("peek"), on_error=policy))
        case "branch":
            arms = stream.branch(even=risky(is_even), large=fails_on_some(is_large), on_error=policy)
            drawn.streams += [arms.even, arms.large, arms.rest]
        case "merge":
            other = draw(st.sampled_from(drawn.streams))
            drawn.streams.append(stream.merge(other, name=drawn.name("merge")))
        case "group_by":
            function, key = draw(st.sampled_from(KEY_FUNCTIONS))
            made = stream.group_by(risky(function), name=drawn.name("by"), on_error=policy, key=key)
            drawn.streams.append(made)
        case "map_record":
            made = stream.map_record(under_another_key, name=drawn.name("record"), on_error=policy, key=str)
            drawn.streams.append(made)
        case "flat_map_record":
            made = stream.flat_map_record(twice, name=drawn.name("records"), on_error=policy, key=str)
            drawn.streams.append(made)
        case "repartition":
            drawn.streams.append(stream.repartition(name=drawn.name("spread")))
        case "join":
            # Keys of different types are refused.
            tables = [table for table in drawn.tables if _same_keys(table, stream)]
            if tables:
                table = draw(st.sampled_from(tables))
                how = draw(st.sampled_from(["inner", "left"]))
                has_history = isinstance(table.node, TableSource) and table.node.history is not None
                function = draw(st.sampled_from([joined, joined_or_failed]))
                options: dict[str, Any] = {"as_of": has_history and draw(st.booleans()), "how": how}
                drawn.streams.append(
                    stream.join(table, function, name=drawn.name("join"), on_error=policy, **options)
                )
        case "join-streams":
            _draw_join_of_streams(draw, drawn, stream, policy)
        case "join-windows":
            _draw_join_of_windows(draw, drawn, stream, policy)
        case "take" | "rate_limit" | "dedupe":
            _draw_limit(draw, drawn, stream, kind, policy)
        case "process":
            if stream.flow.shape.key_type is str:
                made = stream.process(drawn.name("process"), Gathering, value=int, on_error=policy)
                drawn.streams.append(made)
        case "sink":
            # A longer batch would leave out the neighbours of a record that fails. Of one record, a sink may
            # fail before the steps that are declared before it.
            stream.sink(risky(only_of), batch=1, name=drawn.name("sink"), on_error=skip)
        case "sample":
            drawn.streams.append(stream.sample(draw(st.sampled_from([0.3, 0.7])), name=drawn.name("sample")))
        case "windows":
            _draw_windows(draw, drawn, stream)
        case "regroup":
            grouped = draw(st.sampled_from(drawn.tables)).group_by(risky(new_key), key=str)
            chosen = draw(st.lists(st.sampled_from(sorted(AGGREGATES.keys() - WITHOUT_REMOVE)), min_size=1))
            of = draw(st.sampled_from([number, odd_or_none, fails_on_some(number)]))
            named: dict[str, Any] = {found: AGGREGATES[found](of) for found in chosen}
            drawn.tables.append(grouped.aggregate(drawn.name("regroup"), on_error=policy, **named))
            if draw(st.booleans()):
                drawn.streams.append(drawn.tables[-1].updates())
        case "cogroup":
            keys = stream.flow.shape.key_type
            other = draw(st.sampled_from([one for one in drawn.streams if one.flow.shape.key_type == keys]))
            united = cogroup(stream.by(fails_on_sum), other.by(lambda total, value: total - number(value)))
            if draw(st.booleans()):
                windowed = united.tumbling("3s", grace="1s")
                table = windowed.aggregate(
                    drawn.name("cogroup"), initial=0, on_error=policy, late=_late(draw, stream, other)
                )
                drawn.streams.append(table.updates())
                return
            drawn.tables.append(united.aggregate(drawn.name("cogroup"), initial=0, on_error=policy))
            if draw(st.booleans()):
                drawn.streams.append(drawn.tables[-1].updates())
        case "rows":
            _draw_table(draw, drawn, policy)
        case _:
            numbers = stream.map(number, name=drawn.name("numbers")) if kind == "reduce" else stream
            table = _aggregated(draw, numbers, kind, drawn.name(kind), {})
            drawn.tables.append(table)
            if draw(st.booleans()):
                drawn.streams.append(table.updates(every=draw(INTERVALS)))


def _draw_table(draw: st.DrawFn, drawn: Drawn, policy: ErrorPolicy | None) -> None:
    """Draw a table that is made of the tables so far."""
    table = draw(st.sampled_from(drawn.tables))
    risky = fails_on_some if draw(st.booleans()) else lambda function: function
    options: dict[str, Any] = {"on_error": policy}
    kinds = ["map", "filter", "filter_not", "join", "join", "suppress", "foreign", "foreign"]
    match draw(st.sampled_from(kinds)):
        case "map":
            options["name"] = drawn.name("mapped")
            made = table.map(risky(draw(st.sampled_from(ON_VALUES))), **options)
        case "filter" | "filter_not" as verb:
            made = getattr(table, verb)(
                risky(draw(st.sampled_from(TESTS))), name=drawn.name("passing"), **options
            )
        case "foreign" if table.flow.shape.key_type is str:
            ways = [
                (found, function)
                for found in drawn.tables
                for function, key in KEY_FUNCTIONS
                if found.flow.shape.key_type == key
            ]
            other, on = draw(st.sampled_from(ways))
            how = draw(st.sampled_from(["inner", "left"]))
            function = joined_or_none if draw(st.booleans()) else joined
            options["name"] = drawn.name("referring")
            made = table.join(other, function, on=risky(on), how=how, **options)
        case "suppress":
            keys_max = draw(st.none() | st.integers(1, 3))
            made = table.suppress(
                draw(st.sampled_from(["1s", "3s", "1h"])), max_keys=keys_max, name=drawn.name("calm")
            )
        case _:
            other = draw(st.sampled_from([found for found in drawn.tables if _same_keys(found, table)]))
            how = draw(st.sampled_from(["inner", "left", "outer"]))
            function = joined_or_none if draw(st.booleans()) else joined
            made = table.join(other, function, how=how, name=drawn.name("both"), **options)
    drawn.tables.append(made)
    if draw(st.booleans()):
        drawn.streams.append(made.to_stream())


def _same_keys(table: Table[Any, Any], stream: Stream[Any, Any] | Table[Any, Any]) -> bool:
    return bool(table.flow.shape.key_type == stream.flow.shape.key_type)


def _draw_join_of_streams(
    draw: st.DrawFn, drawn: Drawn, left: Stream[Any, Any], policy: ErrorPolicy | None
) -> None:
    """Join a stream with itself or with another one of equal keys; spans are in seconds, some in hours."""
    keys = left.flow.shape.key_type
    others = [stream for stream in drawn.streams if stream.flow.shape.key_type == keys]
    unit_ms = draw(st.sampled_from([1_000, 1_000, 1_000, 3_600_000]))
    before, after, grace = (draw(st.integers(0, 6)) * unit_ms for _ in range(3))
    right = draw(st.sampled_from(others))
    made = left.join(
        right,
        draw(st.sampled_from([joined, joined_or_failed])),
        before=before,
        after=after,
        grace=grace,
        how=draw(st.sampled_from(["inner", "left", "outer"])),
        late=_late(draw, left, right),
        name=drawn.name("near"),
        on_error=policy,
    )
    drawn.streams.append(made)


def _draw_join_of_windows(
    draw: st.DrawFn, drawn: Drawn, left: Stream[Any, Any], policy: ErrorPolicy | None
) -> None:
    """Join the windows of a stream with those of another one, or its own."""
    keys = left.flow.shape.key_type
    right = draw(st.sampled_from([one for one in drawn.streams if one.flow.shape.key_type == keys]))
    size_s, grace = draw(st.integers(1, 10)), f"{draw(st.integers(0, 5))}s"
    advance_s = draw(st.integers(1, size_s))
    cut = draw(
        st.sampled_from(
            [
                lambda stream: stream.tumbling(f"{size_s}s", grace=grace),
                lambda stream: stream.hopping(f"{size_s}s", f"{advance_s}s", grace=grace),
                lambda stream: stream.calendar("day", grace=grace),
            ]
        )
    )
    tables = [
        _aggregated(
            draw, cut(stream), draw(st.sampled_from(["count", "sum", "fold"])), drawn.name("side"), {}
        )
        for stream in (left, right)
    ]
    made = tables[0].join(
        tables[1],
        draw(st.sampled_from([joined, joined_or_none, joined_or_failed])),
        how=draw(st.sampled_from(["inner", "left", "outer"])),
        name=drawn.name("both-windows"),
        on_error=policy,
    )
    drawn.streams.append(made.updates(every=draw(INTERVALS)))
    if draw(st.booleans()):
        drawn.streams.append(made.final())


def _late(draw: st.DrawFn, *streams: Stream[Any, Any]) -> str | None:
    """The topic for late records, if it takes the keys and values of the streams."""
    shapes = [stream.flow.shape for stream in streams]
    fits = all(shape.key_type in (None, str) and shape.value_type in (None, int) for shape in shapes)
    return "late" if fits and draw(st.booleans()) else None


def _draw_limit(
    draw: st.DrawFn, drawn: Drawn, stream: Stream[Any, Any], kind: str, policy: ErrorPolicy | None
) -> None:
    span, grace = f"{draw(st.integers(1, 6))}s", f"{draw(st.integers(0, 4))}s"
    options: dict[str, Any] = {"grace": grace, "name": drawn.name(kind.replace("_", "-")), "on_error": policy}
    match kind:
        case "take":
            made = stream.take(draw(st.integers(1, 3)), within=span, late=_late(draw, stream), **options)
        case "rate_limit":
            made = stream.rate_limit(draw(st.integers(1, 3)), per=span, late=_late(draw, stream), **options)
        case _ if draw(st.booleans()):
            made = stream.dedupe(None, within=span, **options)
        case _:
            function, key = draw(st.sampled_from(KEY_FUNCTIONS))
            made = stream.dedupe(function, within=span, key_type=key, **options)
    drawn.streams.append(made)


def _draw_windows(draw: st.DrawFn, drawn: Drawn, stream: Stream[Any, Any]) -> None:
    kind = draw(st.sampled_from(["count", "sum", "aggregate", "reduce", "fold"]))
    if kind == "reduce":
        stream = stream.map(number, name=drawn.name("numbers"))
    size_s = draw(st.integers(1, 10))
    grace = f"{draw(st.integers(0, 5))}s"
    kinds = ["tumbling", "hopping", "calendar", "sliding", "sliding"]
    kinds += [] if kind == "fold" else ["session"] * 2
    match draw(st.sampled_from(kinds)):
        case "session":
            windowed = stream.session(f"{size_s}s", grace=grace)
        case "sliding":
            # A window may start just after a record where another one ends with a record.
            windowed = stream.sliding(size_s * 1_000 - draw(st.integers(0, 1)), grace=grace)
        case "tumbling":
            windowed = stream.tumbling(f"{size_s}s", grace=grace)
        case "hopping":
            windowed = stream.hopping(f"{size_s}s", f"{draw(st.integers(1, size_s))}s", grace=grace)
        case _:
            windowed = stream.calendar("day", tz=draw(st.sampled_from(["UTC", "Asia/Tokyo"])), grace=grace)
    late = {"late": "late"} if _late(draw, stream) else {}
    merges = isinstance(windowed._windows, SessionWindows)
    table = _aggregated(draw, windowed, kind, drawn.name("windows"), late, merges=merges)
    if draw(st.booleans()):
        drawn.streams.append(table.updates(every=draw(INTERVALS)))
    if draw(st.booleans()):
        drawn.streams.append(table.final())


def _aggregated(
    draw: st.DrawFn,
    stream: Stream[Any, Any] | WindowedStream[Any, Any],
    kind: str,
    name: str,
    late: dict[str, Any],
    *,
    merges: bool = False,
) -> Any:
    """An aggregation of a kind; ``merges``: of sessions, which are united."""
    of = draw(st.sampled_from([number, odd_or_none, fails_on_some(number)]))
    match kind:
        case "count":
            return stream.count(name, **late)
        case "sum":
            return stream.sum(name, of, **late)
        case "reduce":
            return stream.reduce(name, fails_on_sum, **late)
        case "fold":
            return stream.fold(name, 0, fails_on_sum, value=int, **late)
        case _:
            names = sorted(AGGREGATES.keys() - (WITHOUT_MERGE if merges else set()))
            chosen = draw(st.lists(st.sampled_from(names), min_size=1, max_size=5, unique=True))
            named: dict[str, Any] = {found: AGGREGATES[found](of) for found in chosen}
            return stream.aggregate(name, **named, **late)


INTERVALS = st.sampled_from([None, None, "1s", "3s", "7s"])


STAMPS = st.sampled_from([b"", b"s", b"t"])
DATA = st.sampled_from([None, b"1", b"2", b"4", b"7", b"?"])
MESSAGES: dict[Any, st.SearchStrategy[Any]] = {
    Note: st.builds(Note, st.booleans(), STAMPS, DATA),
    Reference: st.builds(Reference, st.sampled_from([key.encode() for key in KEYS]), STAMPS),
    list[tuple[bool, int]]: st.lists(st.tuples(st.booleans(), st.integers(0, 12)), max_size=2),
}
"""The records of foreign-key joins, whose data are numbers in JSON and in MessagePack, and those of regrouped
rows."""


@st.composite
def stored_values(draw: st.DrawFn, topic: TopicSpec) -> bytes | None:
    """The bytes of a value: a number, mostly; a tombstone; or something that is none."""
    choice = draw(st.integers(0, 11))
    if choice == 0:
        return None
    if choice == 1:
        return b"?"
    if topic.value_type in MESSAGES:
        return topic.value_serde.encode(draw(MESSAGES[topic.value_type]))
    number = draw(st.integers(0, 12))
    return topic.value_serde.encode(str(number) if topic.value_type is str else number)


def stored_times_ms(time_ms: int) -> st.SearchStrategy[int]:
    """Draw a stored time: mostly the given one, else no time, or a time in nanoseconds."""
    return st.sampled_from([time_ms] * 8 + [-1, time_ms * 1_000_000 + 10**18])


@st.composite
def stored_records(draw: st.DrawFn, topic: TopicSpec, partition: int) -> list[Record[Any, Any]]:
    """The records of one partition; their times go up and down, by seconds or by hours."""
    records = []
    step_ms = draw(st.sampled_from([1_000, 1_000, 7_200_000]))
    time_ms = 0
    for offset in range(draw(st.integers(0, 20))):
        time_ms = max(0, time_ms + draw(st.integers(-4, 6)) * step_ms)
        key = draw(st.sampled_from([None, *(key.encode() for key in KEYS)]))
        headers = draw(st.sampled_from([(), (), (("from", b"outside"),)]))
        value = draw(stored_values(topic))
        stored_ms = draw(stored_times_ms(time_ms))
        records.append(Record(key, value, stored_ms, headers, topic.name, partition, offset))
    return records
