"""Queries follow the tasks of a worker: partitions come, go and are closed while queries are under way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import streamcore as sc
from streamcore.partitioning import partition_of_key
from streamcore.processing.runtime.key_partitions import KeyPartition
from streamcore.processing.runtime.open_engines import EngineSource
from streamcore.processing.runtime.running import MemoryEngines
from streamcore.processing.runtime.settings import WorkerSettings
from streamcore.processing.runtime.table_query import TableQuery, table_query
from streamcore.processing.runtime.task import TaskId
from streamcore.processing.runtime.worker import TaskWorker
from streamcore.state.directory import StateDirectory
from tests.support.application_house import House

KEYS = [f"k{number}" for number in range(20)]
HOUR_MS = 3_600_000


def shop() -> sc.App:
    """Tables whose keys are brought by a topic of others, and by a repartition topic."""
    app = sc.App("shop")
    words = app.topic("words", key=str, value=int, partitions=4)
    words.count("counts")
    words.tumbling("1h").count("hourly")
    words.repartition(4, name="again").count("moved")
    app.topic("names", key=str, value=int).global_table("names")
    app.topic("prices", key=str, value=int, partitions=4).table("prices", history="1h")
    seen = app.table("seen", key=str, value=int, default=0)

    @app.agent(words)
    async def watch(events: Any) -> None:
        async for key, _ in events.items():
            seen[key] += 1

    return app


def partition(key: str) -> int:
    return partition_of_key(key.encode(), 4)


def keys_in(*partitions: int) -> list[str]:
    return sorted(key for key in KEYS if partition(key) in partitions)


@pytest.fixture
def house() -> Iterator[House]:
    made = House()
    for topic in ("words", "prices"):
        made.log.create_topic(topic, partitions=4)
        for number in range(4):
            made.produce(topic, *((key, 1) for key in keys_in(number)), partition=number)
    made.log.create_topic("names")
    made.produce("names", ("anne", 1))
    yield made
    made.log.close()


def hours() -> sc.App:
    app = sc.App("hours")
    app.topic("words", key=str, value=int, partitions=4).tumbling("1h").count("hourly")
    return app


def with_worker(
    house: House,
    check: Callable[[TaskWorker], None],
    app: Callable[[], sc.App] = shop,
    engines: EngineSource | None = None,
) -> None:
    """Check a worker that has processed everything."""

    async def work() -> None:
        worker = TaskWorker(
            app().declared(), house.log, engines or MemoryEngines(), house.clock, WorkerSettings()
        )
        try:
            await worker.run_until_end()
            check(worker)
        finally:
            await worker.close()

    asyncio.run(work())


def query(worker: TaskWorker, table: str) -> TableQuery:
    return table_query(lambda: worker.task_set, table, lambda *_: None, lambda: True)


def give_up(worker: TaskWorker, table: str, *partitions: int) -> list[TaskId]:
    """Close the tasks of some partitions of a table, as when a group gives them to another worker."""
    (name,) = [part.name for part in worker.task_set.plan.sub_topologies if part.store_of(table) is not None]
    ids = [TaskId(name, number) for number in partitions]
    worker.task_set.remove(ids)
    return ids


def test_a_query_sees_the_tasks_that_come_and_go(house: House) -> None:
    def check(worker: TaskWorker) -> None:
        counts = query(worker, "counts")
        whole = counts.position()

        gone = give_up(worker, "counts", 1, 3)

        assert [answer.key for answer in counts.all()] == keys_in(0, 2)
        assert (counts.partitions(), counts.partition_count()) == ([0, 2], 4)
        assert {each.partition for each in counts.position() if each.topic == "words"} == {0, 2}

        worker.task_set.add([worker.task_set.open(each) for each in gone])

        assert [answer.key for answer in counts.all()] == sorted(KEYS)
        assert counts.position() == whole

    with_worker(house, check)


@pytest.mark.parametrize("table", ["counts", "moved", "seen"])
def test_an_answer_names_its_partition(house: House, table: str) -> None:
    def check(worker: TaskWorker) -> None:
        view = query(worker, table)

        for key in KEYS:
            answer = view.get(key)
            assert answer is not None
            assert answer.partition == partition(key)
        assert {answer.key: answer.partition for answer in view.all()} == {
            key: partition(key) for key in KEYS
        }

    with_worker(house, check)


@pytest.mark.parametrize("table", ["counts", "moved", "seen", "prices"])
def test_a_key_of_another_worker_is_an_error_and_no_missing_value(house: House, table: str) -> None:
    def check(worker: TaskWorker) -> None:
        give_up(worker, table, 1)
        view = query(worker, table)

        for key in keys_in(1):
            with pytest.raises(sc.RetriableError, match=r"another worker has this part.*partitions=1$"):
                view.get(key)
        assert [view.get(key) is not None for key in keys_in(0, 2, 3)] == [True] * len(keys_in(0, 2, 3))

    with_worker(house, check)


def test_the_value_at_a_time_of_a_key_of_another_worker_is_an_error(house: House) -> None:
    def check(worker: TaskWorker) -> None:
        give_up(worker, "prices", 1)
        prices, hourly = query(worker, "prices"), query(worker, "hourly")
        give_up(worker, "hourly", 1)

        for view in (prices, hourly):
            with pytest.raises(sc.NotOwnerError):
                view.get(keys_in(1)[0], at=house.clock.now_ms())
            answer = view.get(keys_in(0)[0], at=house.clock.now_ms())
            assert answer is not None
            assert (answer.value, answer.partition) == (1, 0)

    with_worker(house, check)


def test_a_key_without_a_value_is_missing_where_no_other_partition_can_hold_it(house: House) -> None:
    """The application itself wrote the repartition topic; others may have written the input in any way."""
    unknown = next(key for key in map(str, range(100)) if partition(key) == 0)

    def check(worker: TaskWorker) -> None:
        counts, moved = query(worker, "counts"), query(worker, "moved")
        assert (counts.get(unknown), moved.get(unknown)) == (None, None)

        give_up(worker, "counts", 1)
        give_up(worker, "moved", 1)

        assert moved.get(unknown) is None
        with pytest.raises(sc.NotOwnerError):
            counts.get(unknown)
        assert counts.here().get(unknown) is None

    with_worker(house, check)


def test_a_key_leads_to_the_partition_of_its_bytes(house: House) -> None:
    def check(worker: TaskWorker) -> None:
        for key in KEYS:
            assert query(worker, "moved").partition_of(key) == KeyPartition(partition(key), True)
            for table in ("counts", "hourly", "seen", "prices"):
                assert query(worker, table).partition_of(key) == KeyPartition(partition(key), False)
        assert query(worker, "names").partition_of("anne") is None
        assert query(worker, "counts").partition_of(7) is None

    with_worker(house, check)


def test_a_query_of_some_partitions_needs_all_of_them(house: House) -> None:
    def check(worker: TaskWorker) -> None:
        some = query(worker, "counts").only([0, 2])
        assert [answer.key for answer in some.all()] == keys_in(0, 2)
        assert some.get(keys_in(1)[0]) is None

        give_up(worker, "counts", 2)

        for ask in (some.all, some.position, lambda: some.get("k0")):
            with pytest.raises(sc.NotOwnerError, match="partitions=2"):
                ask()

    with_worker(house, check)


def test_a_timer_reads_what_its_worker_has(house: House) -> None:
    def check(worker: TaskWorker) -> None:
        (store,) = [
            found for part in worker.task_set.plan.sub_topologies if (found := part.store_of("counts"))
        ]
        table = worker.table(store)
        give_up(worker, "counts", 1)

        assert sorted(key for key, _ in table.items()) == keys_in(0, 2, 3)
        assert table.get(keys_in(1)[0]) is None

    with_worker(house, check)


@pytest.mark.parametrize(
    "ask",
    [
        lambda view: view.all(),
        lambda view: view.windows_between(),
        lambda view: view.windows(keys_in(1)[0]),
    ],
)
def test_rows_of_a_partition_that_goes_meanwhile_end_with_a_retriable_error(
    house: House, tmp_path: Path, ask: Callable[[TableQuery], Iterator[Any]]
) -> None:
    def check(worker: TaskWorker) -> None:
        rows = ask(query(worker, "hourly"))
        next(rows)

        (gone,) = give_up(worker, "hourly", 1)

        with pytest.raises(sc.NotOwnerError, match="during the query; make it again"):
            list(rows)
        worker.task_set.open(gone)  # No iterator that a query holds keeps the folder locked.

    with_worker(house, check, hours, StateDirectory(tmp_path / "state"))


@pytest.mark.parametrize("comes_back", [True, False])
def test_a_partition_that_is_closed_after_a_query_has_found_it_is_looked_for_again(
    house: House, comes_back: bool
) -> None:
    def check(worker: TaskWorker) -> None:
        counts = query(worker, "counts")
        find = counts._partitions
        before = find()
        gone = give_up(worker, "counts", 1)
        if comes_back:
            worker.task_set.add([worker.task_set.open(each) for each in gone])
        finds = iter([before])
        counts._partitions = lambda: next(finds, None) or find()

        if comes_back:
            answer = counts.get(keys_in(1)[0])
            assert answer is not None
            assert answer.value == 1
        else:
            with pytest.raises(sc.NotOwnerError):
                counts.get(keys_in(1)[0])
        assert next(finds, None) is None

    with_worker(house, check)


def test_queries_of_a_worker_that_has_stopped_say_so(house: House) -> None:
    is_open = True

    def check(worker: TaskWorker) -> None:
        nonlocal is_open
        counts = table_query(lambda: worker.task_set, "counts", lambda *_: None, lambda: is_open)
        is_open = False
        give_up(worker, "counts", 0, 1, 2, 3)

        for ask in (counts.all, counts.position, lambda: counts.get("k0")):
            with pytest.raises(sc.ClosedError, match="the application has stopped"):
                ask()

    with_worker(house, check)
