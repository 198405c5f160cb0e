"""Draws applications through the public DSL, and records for them, for tests that compare two engines.

Values are small integers, ``None``, or what aggregations make of them; every function of an application
takes any of these, and some of the functions fail on some values. Some records have no key, no value, or no
time that can be used, and times are often equal.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from enum import StrEnum
from typing import Any

from hypothesis import strategies as st

import streamcore as sc
from streamcore.model import Record
from streamcore.processing.dsl.app import App
from streamcore.processing.dsl.cogrouping import cogroup
from streamcore.processing.dsl.stream import Stream
from streamcore.processing.dsl.table import Table
from streamcore.processing.dsl.windowed_stream import WindowedStream
from streamcore.processing.topology import aggregations, kept_aggregations, sketches
from streamcore.processing.topology.aggregator import Aggregator
from streamcore.processing.topology.error_policy import ErrorPolicy, dead_letter, retry, skip, stop
from streamcore.processing.topology.nodes import TableSource, TopicSpec
from streamcore.processing.topology.times import NO_TIME, TIME_MS_MAX
from streamcore.processing.topology.windows import SessionWindows

KEYS = ("a", "b", "c")


def number(value: Any) -> int:
    """Any value as a number."""
    if value is None:
        return 0
    if isinstance(value, int | float):
        return int(value)
    if isinstance(value, list):
        return sum(map(number, value))
    fields = getattr(value, "__struct_fields__", ())
    return sum(number(getattr(value, name)) for name in fields)


def fails_on_some(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The same function, but for the numbers that leave 3 when divided by 5."""

    def sometimes(value: Any) -> Any:
        if number(value) % 5 == 3:
            raise ValueError("3 of 5")
        return function(value)

    return sometimes


def doubled(value: Any) -> int | None:
    return None if value is None else number(value) * 2


def is_even(value: Any) -> bool:
    return number(value) % 2 == 0


def is_large(value: Any) -> bool:
    return number(value) > 4


def some_of(value: Any) -> list[int]:
    return [number(value) + step for step in range(number(value) % 3)]


def only_of(values: Any) -> None:
    """A sink of one value at a time."""
    (value,) = values
    number(value)


def new_key(value: Any) -> str | None:
    return None if value is None else KEYS[number(value) % len(KEYS)]


MIXED = (True, 1, 1.0, False, 0, 0.0, -0.0, "a", (1, "a"), (True, "a"), (1.0, "a"), 1.5, [1], float("nan"))


def mixed_key(value: Any) -> Any:
    """Keys of several types; Python holds some of them equal, and no store holds the last two."""
    return MIXED[number(value) % len(MIXED)]


def wide_number(value: Any) -> Any:
    """Keys for ``key=float``: floats, ints and bools, both zeros, and ``None``."""
    return (True, 1, 1.0, 0.0, -0.0, 2.5, "2.5")[number(value) % 7]


def amount(value: Any) -> Any:
    """Keys for ``key=Decimal`` in several forms of one number."""
    return Decimal(("1", "1.0", "1.00", "0", "-0.0", "10", "1E+1", "NaN")[number(value) % 8])


def moment(value: Any) -> Any:
    """Keys for ``key=tuple[str, datetime]``; two instants, each in several time zones."""
    zone = timezone(timedelta(hours=number(value) % 3))
    return "at", datetime(2024, 1, 1, number(value) % 2, tzinfo=UTC).astimezone(zone)


def colour(value: Any) -> Any:
    """Keys for ``key=str``, some as members of an Enum."""
    return (Colour.RED, "red", "blue", Colour.BLUE)[number(value) % 4]


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


KEY_FUNCTIONS: tuple[tuple[Callable[[Any], Any], Any], ...] = (
    (new_key, str),
    (mixed_key, None),
    (wide_number, float),
    (amount, Decimal),
    (moment, tuple[str, datetime]),
    (colour, str),
)


def under_another_key(record: Record[Any, Any]) -> Record[Any, Any]:
    if number(record.value) % 7 == 5:
        raise ValueError("5 of 7")
    key = KEYS[number(record.value) % 3] if record.key is None else str(record.key)[-1:]
    later_ms = record.timestamp_ms + 1_000 if is_even(record.value) else -1
    return Record(
        key, number(record.value) + 1, later_ms, (("step", b"one"),) if is_large(record.value) else ()
    )


def twice(record: Record[Any, Any]) -> Iterable[Record[Any, Any]]:
    for copy in range(number(record.value) % 3):
        yield Record(KEYS[copy], copy, record.timestamp_ms - 500 * copy)


def joined(value: Any, found: Any) -> int:
    return number(value) * 10 + number(found)


def joined_or_failed(value: Any, found: Any) -> int:
    result = joined(value, found)
    if result % 5 == 3:
        raise ValueError("3 of 5")
    return result


def joined_or_none(value: Any, found: Any) -> int | None:
    if number(value) == 7:
        raise ValueError("7")
    return None if number(found) % 4 == 1 else joined(value, found)


def seconds_ms(value: int) -> int:
    if value == 9:
        raise ValueError("no time")
    return number(value) * 1_000


def event_time_ms(topic: TopicSpec, record: Record[bytes | None, bytes | None]) -> int:
    """The time of a record as the application sees it; before all times where it has none."""
    if topic.timestamp is None:
        return record.timestamp_ms if 0 <= record.timestamp_ms <= TIME_MS_MAX else NO_TIME
    if record.value is None:
        return NO_TIME
    try:
        return seconds_ms(int(record.value))
    except ValueError:
        return NO_TIME


def odd_or_none(value: Any) -> int | None:
    return number(value) if not is_even(value) else None


def shown(record: Record[Any, Any]) -> Record[str, str]:
    """A record that any topic of text can hold. Offsets are left out: markers take some in real topics."""
    return Record(str(record.key), f"{record.value!r} from {record.topic}-{record.partition}")


class Gathering(sc.Processor[Any, Any, str, int]):
    """Sums values, and forwards the sum of a key some time after each of its values."""

    sums = sc.Store(key=str, value=int, default=0)

    def on_record(self, record: sc.Record[Any, Any]) -> None:
        key, value = str(record.key), number(record.value)
        self.sums[key] += value
        self.forward(value=value, headers=record.headers)
        if record.key is None:
            return
        self.schedule(after=f"{value % 4}s", name="later")
        if value == 6:
            self.schedule(max(0, record.timestamp_ms - 3_000), name="before")
        if value == 7:
            self.cancel(record.timestamp_ms + 2_000, name="later")
        if value == 8:
            raise ValueError("8")

    def on_timer(self, timer: sc.DueTimer[Any]) -> None:
        total = self.sums.pop(timer.key, 0)
        self.forward(value=total)
        if total > 10 and timer.name == "later":
            self.schedule(after="1s", name="again")
        if total == 9:
            raise ValueError("9")


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
    match draw(st.sampled_from(["map", "filter", "filter_not", "join", "join", "suppress"])):
        case "map":
            options["name"] = drawn.name("mapped")
            made = table.map(risky(draw(st.sampled_from(ON_VALUES))), **options)
        case "filter" | "filter_not" as verb:
            made = getattr(table, verb)(
                risky(draw(st.sampled_from(TESTS))), name=drawn.name("passing"), **options
            )
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
    made = left.join(
        draw(st.sampled_from(others)),
        draw(st.sampled_from([joined, joined_or_failed])),
        before=before,
        after=after,
        grace=grace,
        how=draw(st.sampled_from(["inner", "left", "outer"])),
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


def _draw_limit(
    draw: st.DrawFn, drawn: Drawn, stream: Stream[Any, Any], kind: str, policy: ErrorPolicy | None
) -> None:
    span, grace = f"{draw(st.integers(1, 6))}s", f"{draw(st.integers(0, 4))}s"
    options: dict[str, Any] = {"grace": grace, "name": drawn.name(kind.replace("_", "-")), "on_error": policy}
    match kind:
        case "take":
            made = stream.take(draw(st.integers(1, 3)), within=span, **options)
        case "rate_limit":
            made = stream.rate_limit(draw(st.integers(1, 3)), per=span, **options)
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
    late = {"late": "late"} if draw(st.booleans()) else {}
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
WITHOUT_MERGE = {"joined"}
WITHOUT_REMOVE = {"joined", "estimated", "median"}
Of = Callable[[Any], Any]
AGGREGATES: dict[str, Callable[[Of], Aggregator[Any, Any]]] = {
    "records": lambda of: aggregations.count(),
    "odd": lambda of: aggregations.count(odd_or_none),
    "total": aggregations.sum,
    "least": lambda of: aggregations.min(odd_or_none),
    "greatest": lambda of: aggregations.max(number),
    "average": lambda of: aggregations.mean(number),
    "first": lambda of: aggregations.first(odd_or_none),
    "last": lambda of: aggregations.last(number),
    "variance": aggregations.variance,
    "deviation": lambda of: aggregations.stddev(odd_or_none),
    "smallest": lambda of: kept_aggregations.argmin(of, of=number),
    "largest": lambda of: kept_aggregations.argmax(odd_or_none, of=number),
    "podium": lambda of: kept_aggregations.top(2, lambda value: number(value) % 3, of=of),
    "collected": kept_aggregations.collect,
    "newest": lambda of: kept_aggregations.collect(number, limit=2),
    "different": kept_aggregations.distinct,
    "joined": lambda of: aggregations.aggregation(list, in_a_list, of=of, result=tuple),
}
if importlib.util.find_spec("datasketches") is not None:
    AGGREGATES |= {
        "estimated": sketches.approx_distinct,
        "median": lambda of: sketches.quantile(of, 0.5),
    }


def in_a_list(accumulator: list[int], value: Any) -> list[int]:
    return [*accumulator, number(value)]


def fails_on_sum(accumulator: Any, value: Any) -> int:
    total = number(accumulator) + number(value)
    if total % 11 == 7:
        raise ValueError("7 of 11")
    return total


@st.composite
def stored_values(draw: st.DrawFn, topic: TopicSpec) -> bytes | None:
    """The bytes of a value: a number, mostly; a tombstone; or something that is none."""
    choice = draw(st.integers(0, 11))
    if choice == 0:
        return None
    if choice == 1:
        return b"?"
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
