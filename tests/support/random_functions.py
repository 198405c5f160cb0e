"""The functions, aggregations and processors of random applications (``random_topologies``).

Every function takes small integers, ``None``, and what aggregations make of them; some fail on some values.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from enum import StrEnum
from typing import Any

import streamcore as sc
from streamcore.model import Record
from streamcore.processing.topology import aggregations, kept_aggregations, sketches
from streamcore.processing.topology.aggregator import Aggregator
from streamcore.processing.topology.nodes import TopicSpec
from streamcore.processing.topology.times import NO_TIME, TIME_MS_MAX

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
