"""Applications on a log that a server has: their state is in a folder, their truth over the network."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import streamcore as sc
from streamcore.log.serving import ServedLog
from streamcore.processing.runtime.background import Running
from streamcore.processing.runtime.worker_presence import worker_name
from tests.unit.processing.runtime.test_running import (
    Restores,
    counting,
    expected,
    run_once,
    send,
    tables_of,
)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[ServedLog]:
    with sc.serve(tmp_path / "served", listen="127.0.0.1:0") as found:
        yield found


@pytest.mark.slow
@pytest.mark.parametrize("guarantee", ["exactly-once", "at-least-once"])
def test_a_lost_store_is_restored_over_the_network_and_nothing_counts_twice(
    served: ServedLog, tmp_path: Path, guarantee: str
) -> None:
    state = tmp_path / "state"
    before = run_once(state, range(100), broker=served.address, guarantee=guarantee)
    shutil.rmtree(state)
    restores: Restores = []

    after = run_once(state, range(100, 200), restores, broker=served.address, guarantee=guarantee)

    assert before == expected(range(100))
    assert after == expected(range(200))
    assert any(name.startswith("counts-") and done == total > 0 for name, done, total in restores)


@pytest.mark.slow
def test_a_worker_whose_place_was_taken_ends_with_what_happened(served: ServedLog, tmp_path: Path) -> None:
    app, _ = counting()
    with (
        pytest.raises(sc.ProducerFencedError, match="another worker has taken over the name of this one"),
        sc.run(app, data=tmp_path / "first", broker=served.address) as first,
    ):
        send(first, range(50))
        tables_of(first)
        name = worker_name(tmp_path / "first", "counting", has_state=True)
        first.log.producer(transactional_id=f"counting-worker-{name}").close()
        send(first, range(50, 100))
        first.wait_until_caught_up("30s")


def test_a_folder_with_state_is_one_processs_at_a_time(served: ServedLog, tmp_path: Path) -> None:
    app, _ = counting()
    state = tmp_path / "state"

    with sc.run(app, data=state, broker=served.address):
        other, _ = counting("other")
        with pytest.raises(sc.DirectoryInUseError), sc.run(other, data=state, broker=served.address):
            pass


@pytest.mark.slow
def test_an_input_with_as_many_records_that_is_created_again_under_a_worker_is_counted_once(
    served: ServedLog, tmp_path: Path
) -> None:
    """librdkafka continues in the new topic at the old offset, without an error."""
    app = sc.App("following", on_recreated_topic="go-on")
    numbers = app.topic("numbers", key=str, value=int, partitions=1)
    numbers.count("counts")

    def send_all(running: Running, count: int) -> None:
        with running.log.producer() as producer:
            producer.send_many("numbers", [(b"a", b"1")] * count).result()

    with sc.run(app, data=tmp_path / "state", broker=served.address) as running:
        send_all(running, 3)
        running.wait_until_caught_up("30s")
        running.log.delete_topic("numbers")
        running.log.create_topic("numbers")
        send_all(running, 6)
        running.wait_until_caught_up("30s")
        answer = running.table("counts").get("a")

    assert answer is not None
    assert answer.value == 9


@pytest.mark.slow
def test_an_application_that_has_only_a_global_table_follows_it(served: ServedLog, tmp_path: Path) -> None:
    app = sc.App("reader")
    prices = app.topic("prices", key=str, value=int, partitions=2).global_table("prices")
    with sc.connect(served.address) as log:
        log.create_topic("prices", partitions=2)
        with log.producer() as producer:
            producer.send_and_wait("prices", key=b"tea", value=b"3")

    with sc.run(app, data=tmp_path / "state", broker=served.address) as running:
        running.wait_until_caught_up("30s")

        found = running.table(prices).get("tea")
        assert found is not None
        assert found.value == 3


@pytest.mark.slow
def test_the_timers_of_an_application_without_inputs_are_called(served: ServedLog, tmp_path: Path) -> None:
    app = sc.App("clock")
    called = threading.Event()
    app.timer("10ms")(called.set)

    with sc.run(app, data=tmp_path / "state", broker=served.address):
        assert called.wait(30)


@pytest.mark.slow
def test_a_timer_for_one_worker_needs_a_task_that_says_which_one(served: ServedLog, tmp_path: Path) -> None:
    app = sc.App("clock")
    app.timer("10ms", name="tick", leader=True)(lambda: None)

    with (
        pytest.raises(sc.TopologyError, match=r"leave out leader=True .* timer=tick"),
        sc.run(app, data=tmp_path / "state", broker=served.address),
    ):
        pass


@pytest.mark.slow
def test_partitions_added_to_the_topic_of_a_global_table_are_refused_at_the_next_start(
    served: ServedLog, tmp_path: Path
) -> None:
    app = sc.App("reader")
    app.topic("prices", key=str, value=int).global_table("prices")
    with sc.connect(served.address) as log:
        log.create_topic("prices", partitions=1)
        with sc.run(app, data=tmp_path / "state", broker=served.address) as running:
            running.wait_until_caught_up("30s")
        log.alter_topic("prices", partitions=2)

        with (
            pytest.raises(sc.TopologyError, match="copy its records into a new topic of 2 partitions"),
            sc.run(app, data=tmp_path / "state", broker=served.address),
        ):
            pass
