"""An application that joins streams and tables and cuts sessions, to be killed while it works.

``expected`` computes the same in plain Python, from the records that ``made_records`` makes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import streamcore as sc
from streamcore.partitioning import partition_of_key
from tests.support import plain_answers as plain

PARTITIONS = 2
S = 1_000
FRIENDS = {"Ann": "c1", "Bo": "c2", "Cy": None}
"""Name -> the key of another row."""

app = sc.App("shop")
orders = app.topic("orders", key=str, value=int, partitions=PARTITIONS)
payments = app.topic("payments", key=str, value=int, partitions=PARTITIONS)
names = app.topic("names", key=str, value=str, partitions=PARTITIONS)
limits = app.topic("limits", key=str, value=int, partitions=PARTITIONS)

registry = names.table("registry")
allowed = limits.table("allowed")


@orders.join(payments, before="5s", after="20s", grace="5s", how="outer")
def paid(order: int | None, payment: int | None) -> str:
    return f"{order} {payment}"


@orders.join(registry, how="left")
def named(order: int, name: str | None) -> str:
    return f"{order} {name}"


@registry.join(allowed, how="outer")
def account(name: str | None, limit: int | None) -> str:
    return f"{name} {limit}"


@registry.join(allowed, on=lambda name: FRIENDS[name], how="left")
def friends_limit(name: str, limit: int | None) -> str:
    return f"{name} {limit}"


paid.to("paid")
named.to("named")
orders.session("10s", grace="5s").sum("visits", lambda order: order).final().to("visits-final")
orders.group_by(lambda order: f"g{order % 7}", key=str, name="by-group").tumbling("1m", grace="10s").count(
    "by-group"
).final().to("groups-final")


@dataclass(frozen=True, slots=True)
class Sent:
    """A record of one of the topics."""

    topic: str
    key: str
    value: Any
    at_ms: int

    @property
    def partition(self) -> int:
        return partition_of_key(self.key.encode(), PARTITIONS)


def made_records(seed: int, count: int, start_ms: int = 0) -> list[Sent]:
    """Records of all topics, mostly in the order of their times; some are late, some delete."""
    random = Random(seed)
    # Each partition of each topic begins at the same time, so that all of them hold the watermark.
    first_keys = {partition_of_key(f"first-{number}".encode(), PARTITIONS): number for number in range(99)}
    topics = ("names", "limits", "orders", "payments")
    found = [
        Sent(topic, f"first-{number}", None, start_ms) for topic in topics for number in first_keys.values()
    ]
    now_ms = start_ms
    for _ in range(count):
        now_ms += random.choice((0, 1, 40, 200))
        at_ms = max(start_ms, now_ms - random.choice((0, 0, 0, 0, 3 * S, 8 * S, 60 * S)))
        key = f"c{random.randrange(200)}"
        kind = random.random()
        if kind < 0.05:
            found.append(Sent("names", key, random.choice((None, "Ann", "Bo", "Cy")), now_ms))
        elif kind < 0.1:
            found.append(Sent("limits", key, random.choice((None, 1, 2, 3)), now_ms))
        else:
            topic = "orders" if kind < 0.6 else "payments"
            found.append(Sent(topic, key, random.randrange(1_000), at_ms))
    return found


def expected(sent: Sequence[Sent]) -> Mapping[str, Any]:
    """Topic -> its rows, and table -> its content."""
    by_topic = {
        topic: [(each.partition, each.key, each.value, each.at_ms) for each in sent if each.topic == topic]
        for topic in ("orders", "payments", "names", "limits")
    }
    of_orders, of_payments = plain.events_of(by_topic["orders"]), plain.events_of(by_topic["payments"])
    names_now = plain.newest_of((key, value) for _, key, value, _ in by_topic["names"])
    limits_now = plain.newest_of((key, value) for _, key, value, _ in by_topic["limits"])
    by_group = [
        plain.Event(f"g{each.value % 7}", each.value, each.at_ms, each.source_ms) for each in of_orders
    ]
    rows = plain.joined_streams(of_orders, of_payments, 5 * S, 20 * S, 5 * S, "outer")
    return {
        "paid": Counter(
            {(key, f"{left} {right}", at_ms): count for (key, left, right, at_ms), count in rows.items()}
        ),
        "named": _named(by_topic["names"], of_orders),
        "visits-final": Counter(
            (*window, sum(values)) for window, values in plain.in_sessions(of_orders, 10 * S, 5 * S).items()
        ),
        "groups-final": Counter(
            (*window, len(values))
            for window, values in plain.in_windows(by_group, 60 * S, 60 * S, 10 * S).items()
        ),
        "account": {key: f"{names_now.get(key)} {limits_now.get(key)}" for key in {*names_now, *limits_now}},
        "friends_limit": {
            key: f"{name} {limits_now.get(FRIENDS[name] or '')}" for key, name in names_now.items()
        },
    }


def _named(changes: Sequence[tuple[int, str, Any, int]], events: Sequence[plain.Event]) -> Counter[Any]:
    """Each order with the name as of its source's time; the changes of a time come before its orders."""
    rows: Counter[Any] = Counter()
    by_key: dict[str, list[tuple[int, Any]]] = {}
    for _, key, name, at_ms in changes:  # their times ascend
        by_key.setdefault(key, []).append((at_ms, name))
    for event in events:
        known = [name for at_ms, name in by_key.get(event.key, ()) if at_ms <= event.source_ms]
        rows[event.key, f"{event.value} {known[-1] if known else None}", event.at_ms] += 1
    return rows
