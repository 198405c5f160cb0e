"""Faults that users have met in other frameworks, where no other test shows that they are not here.

``docs/peers-bugs.md`` lists all of them, with the test of each.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

import streamcore as sc
from streamcore.errors import UserCodeError
from streamcore.model import TopicPartition
from streamcore.state.engine import KeyValueEngine
from streamcore.state.memory import MemoryEngine
from streamcore.testing import TopologyDriver
from tests.support.application_house import House, counting

DAY_MS = 86_400_000


class CountingEngine(MemoryEngine):
    """An engine that counts the rows it gives, and keeps them when a task is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.read_rows = 0

    def get_many(self, store: str, keys: Sequence[bytes]) -> list[bytes | None]:
        self.read_rows += len(keys)
        return super().get_many(store, keys)

    def scan(self, *arguments: Any, **named: Any) -> Iterator[tuple[bytes, bytes]]:
        for pair in super().scan(*arguments, **named):
            self.read_rows += 1
            yield pair

    def close(self) -> None:
        """Keep everything."""


class CountingHouse(House):
    """A house with one engine that counts its reads."""

    def __init__(self) -> None:
        self.engine = CountingEngine()
        super().__init__()

    def open(self, app: str, task: str) -> KeyValueEngine:
        return self.engine


def value_of(driver: TopologyDriver, table: str) -> object:
    """The value of the key ``k``."""
    answer = driver.table(table).get("k")
    return None if answer is None else answer.value


def test_a_record_whose_agent_fails_is_not_done_and_comes_again() -> None:
    """Faust: an exception in an agent acknowledged the event, which was lost."""
    app = sc.App("failing")
    numbers = app.topic("numbers", key=str, value=int, partitions=1)
    seen = app.table("seen", key=str, value=int, default=0)
    broken = True

    @app.agent(numbers)
    async def add(stream: sc.Events[int]) -> None:
        async for key, number in stream.items():
            if number == 3 and broken:
                raise ValueError("not yet")
            seen[key] += number

    with TopologyDriver(app) as driver:
        with pytest.raises(UserCodeError, match="offset=2"):
            driver.send(numbers, key="k", value=1)
            driver.send(numbers, key="k", value=2)
            driver.send(numbers, key="k", value=3)
            driver.process()
        broken = False
        driver.crash()

        assert value_of(driver, "seen") == 6


def test_a_commit_writes_the_last_value_of_each_key_to_the_changelog() -> None:
    """Faust: each write of a table was a record of the changelog."""
    house = House()
    house.log.create_topic("numbers", partitions=1)
    house.produce("numbers", *((key, 1) for key in "abc" * 1_000))

    house.run(counting())

    changelog = TopicPartition("counting-counts-changelog", 0)
    # The values of the three keys, and the marker of the transaction.
    assert house.log.offsets([changelog])[changelog].log_end == 3 + 1


@pytest.mark.parametrize("restart", [False, True])
def test_the_clock_drops_no_window_and_later_records_do_also_after_a_restore(restart: bool) -> None:
    """Faust: windows expired by the clock of the machine, and after a recovery no longer at all."""
    app = sc.App("windows")
    numbers = app.topic("numbers", key=str, value=int, partitions=1, timestamp=lambda value: value)
    numbers.tumbling("10s", retention="1h").count("counts")
    house = House()
    house.log.create_topic("numbers", partitions=1)
    house.produce("numbers", ("k", 5_000), ("k", 6_000))

    def windows() -> dict[int, int]:
        found = house.run(app, "counts")
        return {key.start_ms: count for key, count in found.items()}

    assert windows() == {0: 2}
    house.clock.advance(400 * DAY_MS)
    if restart:
        house.lose_state()
    assert windows() == {0: 2}

    house.produce("numbers", ("k", 2 * 3_600_000 + 20_000))
    assert windows() == {7_220_000: 1}


@pytest.mark.parametrize("live", [100, 10_000])
def test_closing_a_window_reads_what_closes_and_not_what_is_live(live: int) -> None:
    """Quix: closing windows scanned the store."""
    app = sc.App("windows")
    numbers = app.topic("numbers", key=str, value=int, partitions=1, timestamp=lambda value: value)
    numbers.hopping("1h", "1h").count("counts").final().to("finals")
    house = CountingHouse()
    house.log.create_topic("numbers", partitions=1)
    house.produce("numbers", ("old", 1_000), *((f"k{number}", 3_700_000) for number in range(live)))
    house.run(app)
    read_before = house.engine.read_rows

    house.produce("numbers", ("k0", 7_100_000))
    house.run(app)

    assert house.engine.read_rows - read_before <= 20


@pytest.mark.parametrize("live", [10, 10_000])
def test_a_record_reads_the_rows_of_its_key_however_many_keys_there_are(live: int) -> None:
    """Bytewax: the cost of a record grew with the number of live keys."""
    house = CountingHouse()
    house.log.create_topic("numbers", partitions=1)
    house.produce("numbers", *((f"k{number}", 1) for number in range(live)))
    house.run(counting())
    read_before = house.engine.read_rows

    house.produce("numbers", ("k1", 1), ("k2", 1))
    house.run(counting())

    assert house.engine.read_rows - read_before <= 4


def test_state_stays_with_its_name_when_steps_come_before_it() -> None:
    """Kafka Streams: a new step changed the generated names of stores, whose state was orphaned."""
    house = House()
    house.log.create_topic("numbers", partitions=1)
    house.produce("numbers", ("a", 1), ("b", 2))
    house.run(counting())

    app = sc.App("counting")
    numbers = app.topic("numbers", key=str, value=int)
    changed = numbers.map(lambda value: value + 1, value=int).filter(lambda value: value > 0)
    changed.sum("sums", lambda value: value)
    changed.peek(lambda value: None).count("counts")
    house.produce("numbers", ("a", 3))

    assert house.run(app, "counts") == {"a": 2, "b": 1}


def test_a_table_takes_no_write_of_a_task_that_outlives_its_event() -> None:
    """Faust: writes of other tasks than the agent's were lost, or came after the commit of their event."""
    app = sc.App("tasks")
    numbers = app.topic("numbers", key=str, value=int, partitions=1)
    totals = app.table("totals", key=str, value=int, default=0)
    refused: list[str] = []

    async def later() -> None:
        await asyncio.sleep(0)
        try:
            totals["later"] = 1
        except sc.UsageError as error:
            refused.append(str(error))

    @app.agent(numbers)
    async def add(stream: sc.Events[int]) -> None:
        async for key, number in stream.items():
            totals[key] += number
            if number == 2:
                tasks.append(asyncio.ensure_future(later()))

    tasks: list[asyncio.Future[None]] = []
    with TopologyDriver(app) as driver:
        for number in (1, 2, 3):
            driver.send(numbers, key="k", value=number)
        driver.process()

        assert value_of(driver, "totals") == 6
        assert driver.table("totals").get("later") is None
    assert len(refused) == 1
