"""Applications on a real folder: restart, restore, guarantees, freshness, refusals."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest

import streamcore as sc

Restores = list[tuple[str, int, int]]


def counting(app_id: str = "counting", *, out: bool = False) -> tuple[sc.App, Any]:
    app = sc.App(app_id)
    events = app.topic("events", key=str, value=int, partitions=2)
    counts = events.count("counts")
    if out:
        counts.updates().to("changes")
    events.group_by(lambda value: value % 3, key=int).sum("by-rest", lambda value: value)
    return app, events


def send(running: sc.Running, values: range) -> None:
    with running.log.producer() as producer:
        producer.send_many("events", [(f"k{value % 10}".encode(), str(value).encode()) for value in values])


def tables_of(running: sc.Running) -> dict[str, dict[Any, Any]]:
    running.wait_until_caught_up("30s")
    return {
        name: {answer.key: answer.value for answer in running.table(name).all()}
        for name in ("counts", "by-rest")
    }


def expected(values: range) -> dict[str, dict[Any, Any]]:
    counts: dict[str, int] = {}
    sums: dict[int, int] = {}
    for value in values:
        counts[f"k{value % 10}"] = counts.get(f"k{value % 10}", 0) + 1
        sums[value % 3] = sums.get(value % 3, 0) + value
    return {"counts": counts, "by-rest": sums}


def run_once(data: Path, values: range, restores: Restores | None = None, **options: Any) -> dict[str, Any]:
    app, _ = counting()
    progress = None if restores is None else (lambda *facts: restores.append(facts))
    with sc.run(app, data=data, progress=progress, **options) as running:
        send(running, values)
        return tables_of(running)


def test_a_restart_with_an_intact_store_replays_nothing(tmp_path: Path) -> None:
    run_once(tmp_path, range(100))
    restores: Restores = []

    found = run_once(tmp_path, range(100, 200), restores)

    assert found == expected(range(200))
    assert restores == []


def test_a_lost_store_is_restored_from_its_changelog_with_progress(tmp_path: Path) -> None:
    run_once(tmp_path, range(100))
    shutil.rmtree(tmp_path / "state")
    restores: Restores = []

    found = run_once(tmp_path, range(100, 200), restores)

    assert found == expected(range(200))
    assert any(name.startswith("counts-") and done == total > 0 for name, done, total in restores)


def test_state_in_memory_is_restored_at_each_start(tmp_path: Path) -> None:
    run_once(tmp_path, range(100), state="memory")

    assert run_once(tmp_path, range(100, 150), state="memory") == expected(range(150))
    assert not list((tmp_path / "state").glob("*/*/"))


def test_at_least_once_counts_each_record_once(tmp_path: Path) -> None:
    run_once(tmp_path, range(100), guarantee="at-least-once")
    shutil.rmtree(tmp_path / "state")

    assert run_once(tmp_path, range(100, 130), guarantee="at-least-once") == expected(range(130))


def test_a_table_reflects_an_acknowledged_record_also_behind_a_repartition_topic(tmp_path: Path) -> None:
    app, _ = counting()
    with sc.run(app, data=tmp_path) as running, running.log.producer() as producer:
        for value in range(1, 8):
            acknowledged = producer.send_and_wait("events", key=b"k1", value=str(3 * value).encode())

            answer = running.table("by-rest").get(0, at_least=acknowledged.position, timeout="10s")

            assert answer is not None
            assert answer.value == 3 * sum(range(1, value + 1))


def test_a_position_that_is_never_reached_times_out(tmp_path: Path) -> None:
    app, _ = counting()
    with sc.run(app, data=tmp_path) as running:
        far = sc.Position({sc.TopicPartition("events", 0): 1_000})

        with pytest.raises(sc.RequestTimeoutError):
            running.table("counts").get("k1", at_least=far, timeout="50ms")


def test_an_error_in_user_code_reaches_the_caller(tmp_path: Path) -> None:
    app = sc.App("failing")
    app.topic("events", key=str, value=int).map(lambda value: 1 // value, value=int).to("out")

    with pytest.raises(sc.UserCodeError, match="ZeroDivisionError"), sc.run(app, data=tmp_path) as running:
        with running.log.producer() as producer:
            producer.send_and_wait("events", value=b"0")
        running.wait_until_caught_up("10s")


def test_outputs_before_an_error_are_committed_once_it_is_mended(tmp_path: Path) -> None:
    def app_with(function: Any) -> sc.App:
        app = sc.App("mended")
        app.topic("events", key=str, value=int).map(function, value=int, name="divided").to("out")
        return app

    with (
        pytest.raises(sc.UserCodeError),
        sc.run(app_with(lambda value: 10 // value), data=tmp_path) as running,
    ):
        with running.log.producer() as producer:
            for value in (1, 2, 0, 5):
                producer.send_and_wait("events", value=str(value).encode())
        running.wait_until_caught_up("10s")
    with sc.run(app_with(lambda value: 10 // value if value else 0), data=tmp_path) as running:
        running.wait_until_caught_up("10s")
        with running.log.consumer("out", start="earliest") as consumer:
            records = consumer.poll(timeout="1s", records_max=100)

    assert [record.value for record in records] == [b"10", b"5", b"0", b"2"]


def test_a_topic_with_other_partitions_than_declared_is_refused(tmp_path: Path) -> None:
    with sc.connect(tmp_path) as log:
        log.create_topic("events", partitions=3)
    app, _ = counting()

    with (
        pytest.raises(sc.TopologyError, match=r"topic=events declared=2 existing=3"),
        sc.run(app, data=tmp_path),
    ):
        pass


def test_a_table_declared_with_other_types_than_stored_is_refused(tmp_path: Path) -> None:
    run_once(tmp_path, range(10))
    app = sc.App("counting")
    app.topic("events", key=str, value=int, partitions=2).tumbling("1s").count("counts")

    with pytest.raises(sc.TopologyError, match="counts"), sc.run(app, data=tmp_path):
        pass


def test_records_deleted_before_they_were_processed_are_passed_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run_once(tmp_path, range(10))
    with sc.connect(tmp_path) as log, log.producer() as producer:
        producer.send_many("events", [(b"k1", b"5")] * 10).result()
        end = log.offsets([sc.TopicPartition("events", 0), sc.TopicPartition("events", 1)])
        log.delete_records({place: marks.log_end for place, marks in end.items()})

    found = run_once(tmp_path, range(10, 20))

    assert found == expected(range(20))
    assert "records were deleted from the topic before they were processed" in caplog.text


async def work_in_a_loop(tmp_path: Path) -> None:
    app, _ = counting()
    async with sc.Worker(app, data=tmp_path) as worker:
        with worker.log.producer() as producer:
            producer.send_and_wait("events", key=b"k", value=b"1")
        await worker.wait_until_caught_up("30s")
        answer = worker.table("counts").get("k")
        assert answer is not None
        assert answer.value == 1


def test_the_worker_runs_inside_an_event_loop(tmp_path: Path) -> None:
    asyncio.run(work_in_a_loop(tmp_path))


async def fail_in_a_loop(tmp_path: Path) -> None:
    app = sc.App("failing")
    app.topic("events", value=int).map(lambda value: 1 // value, name="divide").to("out")
    async with sc.Worker(app, data=tmp_path) as worker:
        with worker.log.producer() as producer:
            producer.send_and_wait("events", value=b"0")
        await worker.wait_until_caught_up("30s")


def test_an_error_in_user_code_ends_the_wait_inside_an_event_loop(tmp_path: Path) -> None:
    with pytest.raises(sc.UserCodeError, match="node=divide"):
        asyncio.run(fail_in_a_loop(tmp_path))


def test_a_second_run_of_an_application_in_one_process_is_refused_and_harms_nobody(tmp_path: Path) -> None:
    app, _ = counting()
    with sc.run(app, data=tmp_path) as running:
        with pytest.raises(sc.DirectoryInUseError, match="app=counting"), sc.run(app, data=tmp_path):
            pass
        send(running, range(10))

        assert tables_of(running) == expected(range(10))


def test_topics_that_an_application_creates_keep_old_events(tmp_path: Path) -> None:
    app, _ = counting(out=True)
    with sc.run(app, data=tmp_path) as running:
        topics = running.log.topics()

    assert topics["events"].config["retention.ms"] == "-1"
    assert topics["changes"].config["retention.ms"] == "-1"


@pytest.mark.parametrize("given", [42, "x", None, sc.App, sc])
def test_what_is_run_is_an_application(given: Any) -> None:
    for run in (sc.run, sc.Worker, sc.testing.TopologyDriver):
        with pytest.raises(sc.UsageError, match=r"give an application, app = sc.App\('name'\).*given="):
            run(given)


def test_an_invalid_argument_of_run_is_refused_at_the_call() -> None:
    with pytest.raises(sc.UsageError, match="guarantee"):
        sc.run(sc.App("app"), guarantee="once")


def test_the_repr_of_a_running_application_names_it_and_says_whether_it_runs(tmp_path: Path) -> None:
    with sc.run(sc.App("named"), data=tmp_path) as running:
        during = repr(running)

    assert (during, repr(running)) == ("<Running 'named' running>", "<Running 'named' stopped>")
