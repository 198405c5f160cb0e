"""A whole application on a disk that crashes at any operation: each event counts once.

The application repartitions, aggregates by key and by all kinds of windows, keeps tables by an agent and by a
processor, joins streams and tables, and limits what passes. While it works the power goes off at random
operations, stores are kept or lost, late data comes, and the same topology runs undisturbed beside it. At the
end, and after each crash, outputs, tables and finals are the same.
"""

from __future__ import annotations

import os
from collections import Counter
from random import Random

import pytest

import streamcore as sc
from streamcore.testing import TopologyDriver

SEEDS = max(1, int(os.environ.get("SIMULATION_SEEDS", "4")) // 4)


class Reminders(sc.Processor[str, int, str, int]):
    """Forwards the sum of a key some seconds after each of its values, and fails on one of them."""

    sums = sc.Store(key=str, value=int, default=0)

    def on_record(self, record: sc.Record[str, int]) -> None:
        self.sums[record.key] += record.value
        self.schedule(after=f"{record.value % 9}s", name="remind")
        if record.value == 13:
            raise ValueError("unlucky")
        if record.value % 10 == 0:
            self.cancel(record.timestamp_ms + 8_000, name="remind")

    def on_timer(self, timer: sc.DueTimer[str]) -> None:
        self.forward(value=self.sums.pop(timer.key, 0))


def pair(left: object, right: object) -> str:
    return f"{left} {right}"


def together(earlier: list[int], later: list[int]) -> list[int]:
    return [*earlier, *later]


def application() -> sc.App:
    app = sc.App("simulated", on_error=sc.skip)
    events = app.topic("events", key=str, value=int, partitions=2)
    names = app.topic("names", key=str, value=str, partitions=2, config={"cleanup.policy": "compact"})
    marked = app.topic("marked", key=str, value=str, partitions=2)
    seen = app.table("seen", key=str, value=int, default=0)
    visits = app.table("visits", key=str, value=list[int], default=list).session("8s", merge=together)
    overlapping = app.table("overlapping", key=str, value=int, default=0).hopping("9s", "3s")

    @events.filter
    def odd_or_large(value: int) -> bool:
        if value == 13:
            raise ValueError("unlucky")
        return value % 2 == 1 or value > 50

    @odd_or_large.group_by
    def tens(value: int) -> int:
        return value // 10

    tens.aggregate(
        "by-tens", n=sc.count(), total=sc.sum(lambda value: value), least=sc.min(lambda value: value)
    )
    tens.tumbling("10s", grace="5s").count("windows", late="too-late").final().to("finals")

    registry = names.table("names")

    @events.join(registry, how="left")
    def named(value: int, name: str | None) -> str:
        return f"{name}:{value}"

    named.to(marked)

    sessions = events.session("8s", grace="5s").aggregate("sessions", n=sc.count(), all=sc.collect())
    sessions.final().to("session-finals")
    sessions.updates().to("session-changes")
    hopping = events.hopping("9s", "3s", grace="4s").sum("hopping", lambda value: value)
    hopping.updates(every="5s").to("hopping-paced")
    sliding = events.sliding("8s", grace="3s").aggregate("sliding", n=sc.count(), all=sc.collect())
    sliding.final().to("sliding-finals")
    sliding.updates().to("sliding-changes")
    odd_or_large.sliding("5s").fold("sliding-folded", 0, lambda total, value: total + value)
    events.calendar("day", tz="Asia/Tokyo").count("days", late="days-too-late")
    events.join(odd_or_large, pair, before="6s", after="9s", grace="3s", how="outer", name="near").to("near")
    events.take(2, within="10s", grace="5s", name="taken").to("taken")
    events.rate_limit(2, per="10s", grace="5s", name="limited").to("limited")
    events.dedupe(lambda value: value % 4, within="10s", grace="5s", name="once").to("once")
    events.process("reminders", Reminders).to("reminders")

    counts = events.count("counts")
    registry.join(counts, pair, how="outer", name="accounts", value=str)
    counts.join(registry, pair, on=lambda count: "abcdefg"[count % 7], how="left", name="called", value=str)
    registry.join(registry, pair, on=lambda name: "a" if name == "x" else None, name="followers", value=str)
    registry.filter(lambda name: name == "x", name="x-only").to_stream().to("x-changes")
    by_name = registry.group_by(lambda name: name, key=str)
    by_name.count("names-counted").updates().to("names-changes")

    @app.agent(events)
    async def follow(stream):  # type: ignore[no-untyped-def]
        async for key, value in stream.items():
            seen[key] += value
            overlapping[key] += value
            visits[key] = [*visits[key], value]
            if value % 7 == 0:
                await marked.send(key=key, value=f"seven {value}")
            if value == 13:
                raise ValueError("unlucky")

    return app


OUTPUTS = (
    *("marked", "finals", "too-late", "session-finals", "session-changes", "hopping-paced", "near", "taken"),
    *("limited", "once", "reminders", "x-changes", "names-changes", "sliding-finals", "sliding-changes"),
)
TABLES = (
    *("by-tens", "windows", "seen", "names", "sessions", "hopping", "days", "reminders.sums"),
    *("reminders.timers", "counts", "accounts", "x-only", "names-counted", "sliding", "sliding-folded"),
    *("overlapping", "visits", "called", "called-references", "called-rows", "followers"),
)
"""Without the stores of joins and limits: a restore brings expired spans back until the next record comes."""


def outputs_of(driver: TopologyDriver, found: dict[str, Counter[object]]) -> None:
    for topic in OUTPUTS:
        counter = found.setdefault(topic, Counter())
        counter.update(repr((record.key, record.value)) for record in driver.read(topic))


def tables_of(driver: TopologyDriver) -> dict[str, list[tuple[object, object]]]:
    return {
        name: [(repr(answer.key), repr(answer.value)) for answer in driver.table(name).all()]
        for name in TABLES
    }


@pytest.mark.parametrize("seed", range(SEEDS))
def test_crashes_change_nothing(seed: int) -> None:
    random = Random(seed)
    undisturbed, crashing = TopologyDriver(application(), seed=seed), TopologyDriver(application(), seed=seed)
    expected: dict[str, Counter[object]] = {}
    found: dict[str, Counter[object]] = {}
    with undisturbed, crashing:
        now_ms = 1_000_000
        for _ in range(random.randrange(2, 7)):
            for _ in range(random.randrange(1, 30)):
                now_ms += random.randrange(0, 3_000)
                at = max(0, now_ms - random.choice([0, 0, 0, 4_000, 30_000]))
                key = random.choice("abcdef")
                if random.random() < 0.15:
                    topic, value = "names", random.choice(["x", "y", None])
                else:
                    topic, value = "events", random.choice([13, *range(100)])
                for driver in (undisturbed, crashing):
                    driver.send(topic, key=key, value=value, at=at)
            undisturbed.process()
            for _ in range(random.randrange(0, 3)):
                crashing.crash_at(random.randrange(1, 40))
                crashing.process()
            if random.random() < 0.3:
                crashing.crash()
            outputs_of(undisturbed, expected)
            outputs_of(crashing, found)
            assert tables_of(crashing) == tables_of(undisturbed)
            assert found == expected
        undisturbed.close_windows()
        crashing.crash_at(random.randrange(1, 40))
        crashing.close_windows()
        outputs_of(undisturbed, expected)
        outputs_of(crashing, found)

        assert tables_of(crashing) == tables_of(undisturbed)
        assert found == expected
