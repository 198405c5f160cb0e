"""A silent input does not hold the watermark of its task; with a declared time it follows the clock."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator

import pytest

import streamcore as sc
from streamcore.clock import ManualClock
from streamcore.processing.runtime.idle import IDLE_AFTER_MS, IdleTime
from streamcore.processing.runtime.worker import TaskWorker
from tests.support.application_house import START_MS, House


@pytest.fixture
def house() -> Iterator[House]:
    made = House()
    made.log.create_topic("left")
    made.log.create_topic("right")
    yield made
    made.log.close()


def merged(idle_after: str | None = None, *, window: bool = True) -> sc.App:
    app = sc.App("merging")
    left = app.topic("left", key=str, value=int, idle_after=idle_after)
    both = left.merge(app.topic("right", key=str, value=int))
    if window:
        both.tumbling("1s").count("counts")
    else:
        both.count("counts")
    return app


def watching(house: House, app: sc.App, check: Callable[[TaskWorker, IdleTime], None]) -> None:
    async def work() -> None:
        worker = house.worker(app)
        try:
            check(worker, IdleTime(worker.task_set.states, START_MS))
        finally:
            await worker.close()

    asyncio.run(work())


def idle_inputs(worker: TaskWorker) -> list[str]:
    (state,) = worker.task_set.states
    return sorted(queue.partition.topic for queue in state.task.inputs if queue.is_idle)


def process(worker: TaskWorker) -> None:
    for part in worker.parts:
        for queue in part.queues:
            worker.fetcher.fill(queue)


def test_an_input_without_records_is_idle_when_its_time_is_over(house: House) -> None:
    def check(worker: TaskWorker, idle: IdleTime) -> None:
        assert idle.next_due_ms(START_MS) == START_MS + IDLE_AFTER_MS

        idle.mark(START_MS + IDLE_AFTER_MS - 1)
        early = idle_inputs(worker)
        idle.mark(START_MS + IDLE_AFTER_MS)

        assert early == []
        assert idle_inputs(worker) == ["left", "right"]
        assert idle.next_due_ms(START_MS + IDLE_AFTER_MS) is None

    watching(house, merged(), check)


def test_an_input_that_has_records_is_not_idle(house: House) -> None:
    def check(worker: TaskWorker, idle: IdleTime) -> None:
        house.produce("left", ("a", 1))
        process(worker)

        idle.mark(START_MS + IDLE_AFTER_MS)

        assert idle_inputs(worker) == ["right"]
        assert idle.next_due_ms(START_MS + IDLE_AFTER_MS) == START_MS + 2 * IDLE_AFTER_MS

    watching(house, merged(), check)


def test_each_topic_may_declare_its_time(house: House) -> None:
    def check(worker: TaskWorker, idle: IdleTime) -> None:
        idle.mark(START_MS + IDLE_AFTER_MS)

        assert idle_inputs(worker) == ["right"]
        assert idle.next_due_ms(START_MS + IDLE_AFTER_MS) == START_MS + 5_000

    watching(house, merged("5s"), check)


def test_all_inputs_without_records_are_idle_at_once_if_asked(house: House) -> None:
    def check(worker: TaskWorker, idle: IdleTime) -> None:
        idle.mark(START_MS, at_once=True)

        assert idle_inputs(worker) == ["left", "right"]

    watching(house, merged("5s"), check)


def test_tasks_without_windows_are_not_watched(house: House) -> None:
    def check(worker: TaskWorker, idle: IdleTime) -> None:
        idle.mark(START_MS, at_once=True)

        assert idle_inputs(worker) == []
        assert idle.next_due_ms(START_MS) is None

    watching(house, merged(window=False), check)


@pytest.mark.parametrize(("idle_after", "moved_ms"), [(None, 0), ("5s", 7_000)])
def test_the_watermark_follows_the_clock_only_if_a_topic_declares_its_time(
    house: House, idle_after: str | None, moved_ms: int
) -> None:
    async def work() -> None:
        worker = house.worker(merged(idle_after))
        house.produce("left", ("a", 1))
        await worker.run_until_end()
        (state,) = worker.task_set.states
        idle = IdleTime(worker.task_set.states, START_MS)
        before_ms = state.task.time.watermark_ms
        idle.mark(START_MS + 7_000)

        due = list(idle.due(START_MS + 7_000))
        without_clock = list(idle.due(None))
        await worker.close()

        reached_ms = max([before_ms, *(watermark_ms for _, watermark_ms in due)])
        assert reached_ms == START_MS + moved_ms
        assert max([before_ms, *(watermark_ms for _, watermark_ms in without_clock)]) == START_MS

    asyncio.run(work())


def test_the_watermark_follows_the_clock_only_from_the_last_record_of_any_input(house: House) -> None:
    async def work() -> None:
        worker = house.worker(merged("5s"))
        house.produce("left", ("a", 1))
        house.produce("right", ("a", 1))
        await worker.run_until_end(input_ends=False)
        idle = IdleTime(worker.task_set.states, START_MS)

        idle.mark(START_MS + 5_000)
        house.produce("right", ("a", 2))
        await worker.run_until_end(input_ends=False)
        idle.mark(START_MS + 6_000)
        while_one_is_not_silent = [watermark_ms for _, watermark_ms in idle.due(START_MS + 7_000)]
        idle.mark(START_MS + 8_000)
        from_its_record = [watermark_ms for _, watermark_ms in idle.due(START_MS + 8_000)]
        await worker.close()

        assert while_one_is_not_silent == []
        assert from_its_record == [START_MS + 2_000]

    asyncio.run(work())


class RunningClock(ManualClock):
    """A clock that moves on whenever it is read."""

    def now_ms(self) -> int:
        self.advance(50)
        return super().now_ms()


def test_the_clock_moves_no_watermark_once_the_input_has_ended(house: House) -> None:
    app = sc.App("ends")
    words = app.topic("words", key=str, value=int, partitions=2, idle_after="1h")
    words.group_by(lambda number: str(number), name="by-number").tumbling("1m").count("counts")
    house.clock = RunningClock(START_MS)

    async def work() -> int:
        worker = house.worker(app)
        house.produce("words", ("a", 1))
        rounds = itertools.count()
        await worker.run_until_end(is_stopped=lambda: next(rounds) == 200)
        watermarks_ms = [state.task.time.watermark_ms for state in worker.task_set.states]
        await worker.close()
        return max(watermarks_ms)

    assert asyncio.run(work()) < START_MS + 1_000


def test_a_silent_application_follows_the_clock_by_a_second_at_least(house: House) -> None:
    async def work() -> None:
        worker = house.worker(merged("5s"))
        house.produce("left", ("a", 1))
        await worker.run_until_end()
        (state,) = worker.task_set.states
        idle = IdleTime(worker.task_set.states, START_MS)
        idle.mark(START_MS + 5_000)
        before_ms = state.task.time.watermark_ms

        for elapsed_ms, moved_ms in ((999, 0), (5_999, 5_999)):
            due = [watermark_ms for _, watermark_ms in idle.due(START_MS + elapsed_ms)]
            assert max([before_ms, *due]) == before_ms + moved_ms
        await worker.close()

    asyncio.run(work())
