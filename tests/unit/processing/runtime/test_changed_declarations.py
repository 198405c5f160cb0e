"""A step that is declared in another way under its old name: what its stores hold is used, or refused."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

import streamcore as sc
from streamcore.processing.runtime.stores import description_of
from streamcore.state.descriptions import StoreDescription, change_between
from streamcore.testing import TopologyDriver

Declare = Callable[[sc.Topic[str, int]], object]


def pair(left: int | None, right: int | None) -> str:
    return f"{left} {right}"


def joined(how: Any = "inner", after: str = "5s", grace: str = "0s") -> Declare:
    return lambda events: events.join(
        events, pair, before="5s", after=after, grace=grace, how=how, name="join", value=str
    )


def stores(declare: Declare) -> dict[str, StoreDescription]:
    app = sc.App("app")
    declare(app.topic("events", key=str, value=int))
    return {
        store.name: description_of(store, store.name, follows="")
        for sub_topology in app.plan().sub_topologies
        for store in sub_topology.stores
    }


def by_number(value: int) -> int:
    return value % 2


CHANGES: list[tuple[Declare, Declare, str | None]] = [
    # before, after, the fact by which the new declaration is refused
    (lambda e: e.tumbling("5s").count("t"), lambda e: e.tumbling("7s").count("t"), "window_size_ms"),
    (
        lambda e: e.hopping("6s", "2s").count("t"),
        lambda e: e.hopping("6s", "3s").count("t"),
        "window_advance_ms",
    ),
    (lambda e: e.tumbling("5s").count("t"), lambda e: e.tumbling("5s", grace="3s").count("t"), None),
    (lambda e: e.tumbling("5s").count("t"), lambda e: e.session("5s").count("t"), "kind"),
    (lambda e: e.tumbling("5s").count("t"), lambda e: e.sliding("5s").count("t"), "kind"),
    (lambda e: e.session("5s").count("t"), lambda e: e.session("6s").count("t"), "session_gap_ms"),
    (lambda e: e.calendar("day").count("t"), lambda e: e.calendar("week").count("t"), "window_calendar"),
    (lambda e: e.count("t"), lambda e: e.sum("t", lambda value: value), "aggregations"),
    (lambda e: e.count("t"), lambda e: e.group_by(by_number, key=int).count("t"), "key_codec"),
    (joined(), joined(after="9s"), "window_size_ms"),
    (joined(), joined(grace="9s"), None),
    (joined("outer"), joined("left"), None),
    (joined("left"), joined("inner"), None),
    (joined("left"), joined("outer"), "marks_matches"),
    (joined("inner"), joined("left"), "marks_matches"),
    (
        lambda e: e.take(1, within="5s", name="t"),
        lambda e: e.take(1, within="9s", name="t"),
        "window_size_ms",
    ),
    (lambda e: e.take(1, within="5s", name="t"), lambda e: e.take(3, within="5s", name="t"), None),
    (
        lambda e: e.take(1, within="5s", name="t"),
        lambda e: e.dedupe(None, within="5s", name="t"),
        "value_type",
    ),
    (lambda e: e.rate_limit(2, per="5s", name="t"), lambda e: e.take(1, within="5s", name="t"), "value_type"),
    (
        lambda e: e.table("events-table").map(by_number, name="t", value=int),
        lambda e: e.table("events-table").map(str, name="t", value=str),
        "value_codec",
    ),
    (
        lambda e: e.table("events-table").group_by(by_number, key=int).sum("t", by_number),
        lambda e: e.table("events-table").group_by(by_number, key=int).count("t"),
        "aggregations",
    ),
]


@pytest.mark.parametrize(("before", "after", "refused_by"), CHANGES)
def test_a_store_is_taken_over_only_if_its_bytes_mean_the_same(
    before: Declare, after: Declare, refused_by: str | None
) -> None:
    written, declared = stores(before), stores(after)

    both = sorted(written.keys() & declared.keys())
    changes = [change_between(written[name], declared[name]) for name in both]

    assert {change.what for change in changes if change is not None} == ({refused_by} - {None})


@pytest.mark.parametrize(
    ("key_type", "key"),
    [
        (datetime, datetime(2024, 1, 1)),
        (Decimal, Decimal("1.5")),
        (tuple[str, int], ("a", 1)),
        (int, 7),
        (str, "a"),
    ],
)
def test_final_results_in_a_topic_have_the_keys_of_their_windows(key_type: Any, key: Any) -> None:
    app = sc.App("app")
    events = app.topic("events", key=key_type, value=int)
    events.tumbling("1s").count("counts").final().to("finals")

    with TopologyDriver(app) as driver:
        driver.send(events, key=key, value=1, at=0)
        driver.close_windows()

        assert [record.key for record in driver.read("finals")] == [sc.Windowed(key, 0, 1000)]
