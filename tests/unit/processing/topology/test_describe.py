"""What people see of an application: golden text, and a flowchart that holds together."""

from __future__ import annotations

import re
from typing import Any

import pytest

from streamcore.durations import duration_text
from streamcore.processing.dsl.app import App
from streamcore.processing.topology.describe import mermaid_text, plain_text


def shop() -> App:
    app = App("shop")
    orders = app.topic("orders", key=str, value=dict, partitions=4, timestamp=lambda order: order["ts"])
    rates = app.topic("rates", key=str, value=float).global_table("rates")
    seen = app.table("seen", key=str, value=int, default=0)

    @orders.filter
    def big(order: dict[str, Any]) -> bool:
        return bool(order["amount"] > 100)

    @big.group_by
    def country(order: dict[str, Any]) -> str:
        return str(order["country"])

    hourly = country.tumbling("1h", grace="90s").count("hours", late="late")
    hourly.final().to("closed")
    orders.join(
        rates, lambda order, rate: order["amount"] * rate, on=lambda order: order["currency"], name="priced"
    )

    @app.agent(orders, concurrency=3)
    async def watch(events: Any) -> None:
        async for order in events:
            seen[order["country"]] += 1

    return app


def test_the_text_shows_each_sub_topology_with_its_steps_stores_and_topics() -> None:
    text = plain_text(shop().plan())

    assert (
        text
        == """\
application shop

sub-topology seen
  reads
    orders (4 partitions, time from the value)
  steps
    orders               source of topic orders
    big                  filter <- orders
    country              group_by <- big
    country.repartition  repartition to topic shop-country-repartition <- country
    priced               join <- orders (table rates)
    watch                agent <- orders (3 events at once, uses table seen)
  stores
    seen (changelog shop-seen-changelog)
  writes
    shop-country-repartition (internal)

sub-topology hours
  reads
    shop-country-repartition (internal)
  steps
    country.repartition    source of topic shop-country-repartition
    hours                  aggregate tumbling <- country.repartition (store hours, late to topic late)
    hours.final            final <- hours
    hours.final.to.closed  to topic closed <- hours.final
  stores
    hours (count, windows of 1h, grace 90s, changelog shop-hours-changelog)
  writes
    late
    closed

global tables
  rates (changelog rates)
"""
    )


def test_an_application_describes_itself_in_both_ways() -> None:
    app = shop()

    assert app.describe() == plain_text(app.plan())
    assert app.describe(mermaid=True) == mermaid_text(app.plan())


def test_a_topic_that_is_a_table_is_its_own_changelog() -> None:
    app = App("shop")
    app.topic("customers", key=str).table("known")

    assert "known (changelog customers)" in plain_text(app.plan())


def test_the_flowchart_draws_each_topic_store_and_step_once_and_every_edge_between_two_of_them() -> None:
    lines = [line.strip() for line in mermaid_text(shop().plan()).splitlines()]

    shapes = [re.fullmatch(r'(\w+)(\(\[".*"\]\)|\[\(".*"\)\]|\[".*"\])', line) for line in lines]
    ids = [shape[1] for shape in shapes if shape]
    edges = [re.fullmatch(r"(\w+) (?:-->|-->\|late\||-\.-|-\.->) (\w+)", line) for line in lines]
    ends = [end for edge in edges if edge for end in edge.groups()]
    rest = [line for line, shape, edge in zip(lines, shapes, edges, strict=True) if not (shape or edge)]
    assert len(ids) == len(set(ids)) == 17
    assert set(ends) == set(ids)
    assert rest == [
        "flowchart TD",
        'subgraph sub0["seen<br/>sub-topology"]',
        "end",
        'subgraph sub1["hours<br/>sub-topology"]',
        "end",
    ]


def test_the_flowchart_leads_through_a_repartition_topic_from_one_sub_topology_to_the_other() -> None:
    text = mermaid_text(shop().plan())

    ids = {name: id_ for id_, name in re.findall(r'(\w+)[\[(]+"([^"]+)"', text)}
    writer = ids["country.repartition<br/>repartition"]
    topic = ids["shop-country-repartition<br/>topic"]
    reader = ids["hours<br/>aggregate tumbling"]
    assert f"{writer} --> {topic}" in text
    assert f"{topic} --> {reader}" in text
    assert f"{reader} -->|late| {ids['late<br/>topic']}" in text


@pytest.mark.parametrize(
    ("duration_ms", "text"),
    [
        (0, "0s"),
        (1, "1ms"),
        (1_500, "1500ms"),
        (10_000, "10s"),
        (90_000, "90s"),
        (3_600_000, "1h"),
        (172_800_000, "2d"),
    ],
)
def test_durations_are_shown_in_the_largest_unit_that_divides_them(duration_ms: int, text: str) -> None:
    assert duration_text(duration_ms) == text


def test_a_join_of_streams_shows_its_span_and_its_stores() -> None:
    app = App("app")
    left, right = app.topic("l", key=str, value=str), app.topic("r", key=str, value=str)
    left.join(right, lambda a, b: "", before="1s", after="1h", how="outer", name="near")

    text = app.describe()

    assert "near  outer join of streams <- l, r (before 1s, after 1h, grace 0s, store near.left, " in text
    assert "near.left (rows of a join" in text
    assert "changelog app-near.right-changelog" in text
    assert app.describe(mermaid=True).count("-.-") == 2
