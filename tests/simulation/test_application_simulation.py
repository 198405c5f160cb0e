"""A whole application on a disk that crashes at any operation: each event counts once.

The application repartitions, aggregates by key and window, keeps a table by an agent and joins it
with a topic's table. While it works the power goes off at random operations, stores are kept or lost,
late data comes, and the same topology runs undisturbed beside it. At the end, and after each crash,
outputs, tables and finals are the same.
"""

from __future__ import annotations

import os
from collections import Counter
from random import Random

import pytest

import streamcore as sc
from streamcore.testing import TopologyDriver

SEEDS = max(1, int(os.environ.get("SIMULATION_SEEDS", "8")) // 4)


def application() -> sc.App:
    app = sc.App("simulated", on_error=sc.skip)
    events = app.topic("events", key=str, value=int, partitions=2)
    names = app.topic("names", key=str, value=str, partitions=2, config={"cleanup.policy": "compact"})
    marked = app.topic("marked", key=str, value=str, partitions=2)
    seen = app.table("seen", key=str, value=int, default=0)

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

    @app.agent(events)
    async def follow(stream):  # type: ignore[no-untyped-def]
        async for key, value in stream.items():
            seen[key] += value
            if value % 7 == 0:
                await marked.send(key=key, value=f"seven {value}")
            if value == 13:
                raise ValueError("unlucky")

    return app


def outputs_of(driver: TopologyDriver, found: dict[str, Counter[object]]) -> None:
    for topic in ("marked", "finals", "too-late"):
        counter = found.setdefault(topic, Counter())
        counter.update(repr((record.key, record.value)) for record in driver.read(topic))


def tables_of(driver: TopologyDriver) -> dict[str, list[tuple[object, object]]]:
    return {
        name: [(repr(answer.key), repr(answer.value)) for answer in driver.table(name).all()]
        for name in ("by-tens", "windows", "seen", "names")
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
