"""Workers of a broker share the tasks of an application: each runs some, and takes over from the others."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import streamcore as sc
from streamcore.log.serving import ServedLog
from streamcore.processing.runtime.background import Running

pytestmark = pytest.mark.slow

PARTITIONS = 4
WAIT_S = 30.0


@pytest.fixture
def served(tmp_path: Path) -> Iterator[ServedLog]:
    with sc.serve(tmp_path / "served", listen="127.0.0.1:0") as found:
        found.log.create_topic("numbers", partitions=PARTITIONS)
        yield found


def counting() -> sc.App:
    app = sc.App("counting")
    numbers = app.topic("numbers", key=str, value=int, partitions=PARTITIONS)
    numbers.group_by(lambda number: f"k{number % 13}", key=str, name="last").count("counts")
    return app


def send(served: ServedLog, numbers: range) -> None:
    with served.log.producer() as producer:
        for number in numbers:
            producer.send("numbers", key=b"k", value=str(number).encode(), partition=number % PARTITIONS)


def tasks_of(running: Running) -> set[str]:
    return set(running._worker.tasks.late_counts)


def await_true(condition: Callable[[], bool], what: str) -> None:
    deadline_s = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline_s, what
        time.sleep(0.02)


def rows_of(*workers: Running) -> Counter[str]:
    found: Counter[str] = Counter()
    for worker in workers:
        found.update({answer.key: answer.value for answer in worker.table("counts").all()})
    return found


def expected(numbers: range) -> Counter[str]:
    return Counter(f"k{number % 13}" for number in numbers)


def test_two_workers_run_half_of_the_tasks_each_and_one_takes_over_when_the_other_stops(
    served: ServedLog, tmp_path: Path
) -> None:
    send(served, range(400))
    with sc.run(counting(), data=tmp_path / "first", broker=served.address) as first:
        first.wait_until_caught_up("30s")
        all_tasks = tasks_of(first)
        with sc.run(counting(), data=tmp_path / "second", broker=served.address) as second:
            await_true(lambda: len(tasks_of(second)) == PARTITIONS, "the second worker has half of the tasks")
            await_true(lambda: tasks_of(first) == all_tasks - tasks_of(second), "the first has the others")
            send(served, range(400, 1_000))
            first.wait_until_caught_up("30s")
            second.wait_until_caught_up("30s")
            shared = rows_of(first, second)
        await_true(lambda: tasks_of(first) == all_tasks, "the first worker has all tasks again")
        send(served, range(1_000, 1_100))
        first.wait_until_caught_up("30s")
        taken_over = rows_of(first)

    assert len(all_tasks) == 2 * PARTITIONS
    assert shared == expected(range(1_000))
    assert taken_over == expected(range(1_100))


def test_more_workers_than_tasks_leave_some_without(served: ServedLog, tmp_path: Path) -> None:
    app = sc.App("counting")
    app.topic("one", key=str, value=int, partitions=1).count("counts")
    with (
        sc.run(app, data=tmp_path / "first", broker=served.address) as first,
        sc.run(app, data=tmp_path / "second", broker=served.address) as second,
    ):
        await_true(lambda: len(tasks_of(first) | tasks_of(second)) == 1, "one of them runs the task")
        first.send("one", key="a", value=1)
        first.wait_until_caught_up("30s")
        second.wait_until_caught_up("30s")

        assert rows_of(first, second) == Counter(a=1)


def test_a_worker_that_runs_alone_on_the_served_folder_is_not_joined(
    served: ServedLog, tmp_path: Path
) -> None:
    app = counting()
    with (
        sc.run(app, data=tmp_path / "served"),
        pytest.raises(sc.UsageError, match=r"cannot share the application's tasks.*app=counting"),
        sc.run(counting(), data=tmp_path / "second", broker=served.address) as second,
    ):
        second.wait_until_caught_up("10s")


def test_one_worker_calls_the_timers_of_the_leader_and_each_calls_the_others(
    served: ServedLog, tmp_path: Path
) -> None:
    calls: Counter[str] = Counter()

    def counting_calls(worker: str) -> sc.App:
        app = counting()

        @app.timer("10ms", leader=True)
        def led() -> None:
            calls[f"{worker} led"] += 1

        @app.timer("10ms")
        def each() -> None:
            calls[f"{worker} each"] += 1

        return app

    with (
        sc.run(counting_calls("first"), data=tmp_path / "first", broker=served.address) as first,
        sc.run(counting_calls("second"), data=tmp_path / "second", broker=served.address) as second,
    ):
        await_true(
            lambda: len(tasks_of(first)) == len(tasks_of(second)) == PARTITIONS, "the tasks are shared"
        )
        calls.clear()
        await_true(
            lambda: calls["first each"] > 5 and calls["second each"] > 5, "each worker calls its timers"
        )
        await_true(lambda: calls.total() - calls["first each"] - calls["second each"] > 5, "the leader does")

    assert 0 in (calls["first led"], calls["second led"])


def test_workers_that_the_group_removes_while_they_work_count_each_record_once(
    served: ServedLog, tmp_path: Path
) -> None:
    with (
        sc.run(counting(), data=tmp_path / "first", broker=served.address) as first,
        sc.run(counting(), data=tmp_path / "second", broker=served.address) as second,
    ):
        await_true(lambda: len(tasks_of(first)) == len(tasks_of(second)) == PARTITIONS, "tasks are shared")
        for number in range(0, 6_000, 1_000):
            send(served, range(number, number + 1_000))
            for member in served.log.group_members("counting")[: 1 + number // 1_000 % 2]:
                served.log.embedded.leave_group("counting", member.member_id)
            send(served, range(6_000 + number, 7_000 + number))
        await_true(lambda: len(tasks_of(first) | tasks_of(second)) == 2 * PARTITIONS, "all tasks are back")
        first.wait_until_caught_up("60s")
        second.wait_until_caught_up("60s")
        await_true(lambda: len(tasks_of(first)) + len(tasks_of(second)) == 2 * PARTITIONS, "each task once")

        assert rows_of(first, second) == expected(range(12_000))
