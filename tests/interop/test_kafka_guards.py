"""Applications on Apache Kafka refuse topics, tables and offsets that are no longer what they were.

The rules are tested on a simulated disk (``tests/unit/processing/runtime/test_guards.py``). Here Kafka
changes the topics: it deletes them asynchronously, gives them new ids, and deletes records by retention.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

import streamcore as sc
from streamcore.log.connected_log import ConnectedLog
from streamcore.model import CommittedOffset
from streamcore.processing.runtime.background import Running
from tests.interop.kafka_processes import kafka_running
from tests.interop.programs import wait_until

pytestmark = pytest.mark.interop

_OFTEN = ("log.retention.check.interval.ms=200", "log.initial.task.delay.ms=200")
_LIMIT = "60s"


@pytest.fixture(scope="module")
def address(jars: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a node of Apache Kafka that applies retention at once."""
    with kafka_running(jars, tmp_path_factory.mktemp("kafka-guards"), *_OFTEN) as node:
        yield f"kafka://{node}"


@pytest.fixture
def log(address: str) -> Iterator[ConnectedLog]:
    with sc.connect(address) as connected:
        yield connected


class House:
    """A topic of numbers, an application that reads it, and the application's state."""

    def __init__(self, log: ConnectedLog, address: str, name: str, folder: Path) -> None:
        self.log = log
        self.app_id = name
        self.numbers = f"{name}-numbers"
        self.changelog = f"{name}-counts-changelog"
        self._address = address
        self._folder = folder
        log.create_topic(self.numbers, partitions=1)

    def counting(self, **options: Any) -> sc.App:
        """An application that counts the records of each key, in the table ``counts``."""
        app = sc.App(self.app_id, **options)
        app.topic(self.numbers, key=str, value=int).count("counts")
        return app

    def windowed(self, size: str) -> sc.App:
        """An application that counts the records of each key and window, in the table ``counts``."""
        app = sc.App(self.app_id)
        app.topic(self.numbers, key=str, value=int).tumbling(size).count("counts")
        return app

    def produce(self, *keys: str, partition: int = 0) -> None:
        with self.log.producer() as producer:
            for key in keys:
                producer.send(self.numbers, key=key.encode(), value=b"1", partition=partition)

    def recreate(self, *keys: str) -> None:
        """Delete the topic of numbers, and create another one of the same name."""
        self.delete(self.numbers)
        self.log.create_topic(self.numbers, partitions=1)
        self.produce(*keys)

    def delete(self, topic: str) -> None:
        """Delete a topic, and wait until Kafka does not know it any more."""
        self.log.delete_topic(topic)
        wait_until(lambda: topic not in self.log.topics(), lambda: f"{topic} is still there")

    def lose_state(self) -> None:
        shutil.rmtree(self._folder)

    def worker(self, app: sc.App) -> AbstractContextManager[Running]:
        return sc.run(app, data=self._folder, broker=self._address)

    def run(self, app: sc.App, table: str | None = "counts") -> dict[Any, Any]:
        """Process the records that are there, and return the table."""
        with self.worker(app) as worker:
            worker.wait_until_caught_up(_LIMIT)
            return {} if table is None else table_of(worker, table)


def table_of(worker: Running, table: str) -> dict[Any, Any]:
    return {answer.key: answer.value for answer in worker.table(table).all()}


@pytest.fixture
def house(log: ConnectedLog, address: str, name: str, tmp_path: Path) -> House:
    made = House(log, address, name[-40:].lstrip("-"), tmp_path / "state")
    made.produce("a", "b", "a")
    return made


# --- topics that were deleted and created again -------------------------------------------------


def test_an_input_that_was_created_again_is_refused(house: House) -> None:
    assert house.run(house.counting()) == {"a": 2, "b": 1}
    house.recreate("a")

    with pytest.raises(sc.TopologyError, match=r"deleted and made again.*on_recreated_topic"):
        house.run(house.counting())


def test_a_deleted_input_is_not_created_again(house: House) -> None:
    house.run(house.counting())
    house.delete(house.numbers)

    with pytest.raises(sc.TopologyError, match="reads was deleted, "):
        house.run(house.counting())
    assert house.numbers not in house.log.topics()


@pytest.mark.parametrize(
    ("policy", "counts"), [("start-over", {"a": 1}), ("go-on", {"a": 3, "b": 1})], ids=str
)
def test_an_application_starts_over_or_continues_with_an_input_that_was_created_again(
    house: House, policy: str, counts: dict[str, int]
) -> None:
    house.run(house.counting())
    house.recreate("a")

    assert house.run(house.counting(on_recreated_topic=policy)) == counts
    house.lose_state()
    assert house.run(house.counting()) == counts


@pytest.mark.parametrize("records", [1, 6], ids=["fewer", "more"])
@pytest.mark.parametrize("policy", ["stop", "start-over", "go-on"])
def test_an_input_that_is_created_again_under_a_worker_never_gives_a_wrong_table(
    house: House, policy: str, records: int
) -> None:
    """A worker that looks while there is no topic ends with an error; the next start applies the policy."""
    app = house.counting(on_recreated_topic=policy)
    house.run(app)
    with contextlib.suppress(sc.TopologyError), house.worker(app) as worker:
        worker.wait_until_caught_up(_LIMIT)
        house.recreate(*["a"] * records)
        worker.wait_until_caught_up(_LIMIT)

    if policy == "stop":
        with pytest.raises(sc.TopologyError, match="deleted and made again"):
            house.run(app)
    else:
        before = {} if policy == "start-over" else {"b": 1}
        total = records if policy == "start-over" else 2 + records
        assert house.run(app) == before | {"a": total}


@pytest.mark.parametrize("topic", ["numbers", "changelog"])
def test_a_topic_that_is_deleted_under_a_worker_stops_it_with_what_to_do(house: House, topic: str) -> None:
    with (
        pytest.raises(sc.UsageError, match=r"deleted.*start over with `streamcore app MODULE:APP reset"),
        house.worker(house.counting()) as worker,
    ):
        worker.wait_until_caught_up(_LIMIT)
        house.delete(getattr(house, topic))
        if topic == "changelog":
            house.produce("a")
        worker.wait(_LIMIT)


# --- tables -------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["kept", "lost"])
def test_a_window_of_another_size_is_refused(house: House, state: str) -> None:
    before = house.run(house.windowed("1h"))
    if state == "lost":
        house.lose_state()

    with pytest.raises(sc.TopologyError, match="what=window_size_ms stored=3600000 declared=1800000"):
        house.run(house.windowed("30m"))
    assert house.run(house.windowed("1h")) == before


def test_a_deleted_changelog_is_refused_instead_of_created_again_empty(house: House) -> None:
    house.run(house.counting())
    house.delete(house.changelog)

    with pytest.raises(sc.UsageError, match=r"changelog of a table was deleted.*reset --table counts"):
        house.run(house.counting())


def test_a_changelog_that_lost_records_is_refused_when_the_state_is_lost_too(house: House) -> None:
    expected = house.run(house.counting())
    partition = sc.TopicPartition(house.changelog, 0)
    house.log.alter_topic(house.changelog, config={"cleanup.policy": "compact,delete"})
    house.log.delete_records({partition: house.log.offsets([partition])[partition].log_end})

    assert house.run(house.counting()) == expected
    house.lose_state()
    with pytest.raises(sc.UsageError, match="lost its first records"):
        house.run(house.counting())


# --- records that were deleted before they were read ---------------------------------------------


def by_retention(house: House) -> None:
    house.log.alter_topic(house.numbers, config={"retention.ms": "1"})
    partition = sc.TopicPartition(house.numbers, 0)
    end = house.log.offsets([partition])[partition].log_end
    wait_until(
        lambda: house.log.offsets([partition])[partition].log_start == end,
        lambda: "retention deleted nothing",
    )
    house.log.alter_topic(house.numbers, config={"retention.ms": "-1"})


def by_delete_records(house: House) -> None:
    partition = sc.TopicPartition(house.numbers, 0)
    house.log.delete_records({partition: house.log.offsets([partition])[partition].log_end})


@pytest.mark.parametrize("deletion", [by_retention, by_delete_records])
def test_records_deleted_before_they_were_processed_are_passed_with_a_warning(
    house: House, deletion: Callable[[House], None], caplog: pytest.LogCaptureFixture
) -> None:
    house.run(house.counting())
    house.produce("c", "c")
    deletion(house)
    house.produce("a")

    assert house.run(house.counting()) == {"a": 3, "b": 1}
    assert "records were deleted from the topic before they were processed" in caplog.text


# --- partitions that were added -----------------------------------------------------------------


def test_partitions_added_under_a_table_are_refused_with_what_to_do(house: House) -> None:
    house.run(house.counting())
    house.log.alter_topic(house.numbers, partitions=4)

    with pytest.raises(
        sc.TopologyError, match=r"put \.repartition\(4, name=\.\.\.\) .* partitions_before=1 partitions=4"
    ):
        house.run(house.counting())


@pytest.mark.parametrize("kind", ["table", "global_table"])
def test_partitions_added_to_a_topic_read_as_a_table_ask_for_a_copy(house: House, kind: str) -> None:
    app = sc.App(house.app_id)
    getattr(app.topic(house.numbers, key=str, value=int), kind)("kept")
    house.run(app, None)
    house.log.alter_topic(house.numbers, partitions=2)

    with pytest.raises(sc.TopologyError, match="copy its records into a new topic of 2 partitions"):
        house.run(app, None)


def test_partitions_added_under_a_table_stop_a_worker_that_runs(house: House) -> None:
    with (
        pytest.raises(sc.TopologyError, match="partitions were added to the input of tables"),
        house.worker(house.counting()) as worker,
    ):
        worker.wait_until_caught_up(_LIMIT)
        house.log.alter_topic(house.numbers, partitions=2)
        worker.wait(_LIMIT)


def test_partitions_added_under_steps_without_state_are_read_while_the_worker_runs(house: House) -> None:
    app = sc.App(house.app_id)
    copies = sc.TopicPartition(f"{house.app_id}-copies", 0)
    house.log.create_topic(copies.topic, partitions=1)
    app.topic(house.numbers, key=str, value=int).map(lambda value: value, name="same", value=int).to(
        copies.topic
    )

    with house.worker(app) as worker:
        worker.wait_until_caught_up(_LIMIT)
        house.log.alter_topic(house.numbers, partitions=3)
        added = sc.TopicPartition(house.numbers, 2)
        wait_until(lambda: added in house.log.offsets([added]), lambda: "no partition was added")
        house.produce("c", partition=2)
        worker.wait_until_caught_up(_LIMIT)
        wait_until(
            lambda: house.log.committed(house.app_id).get(added) is not None, lambda: "nothing was committed"
        )

    assert house.log.committed(house.app_id)[added].offset == 1
    with house.log.consumer(copies.topic) as consumer:
        read: list[bytes] = []
        while len(read) < 4:
            polled = consumer.poll(_LIMIT)
            assert polled, read
            read.extend(record.key or b"" for record in polled)
    assert sorted(read) == [b"a", b"a", b"b", b"c"]


# --- committed offsets --------------------------------------------------------------------------


def test_offsets_that_another_program_moved_are_refused_where_a_table_depends_on_them(house: House) -> None:
    house.run(house.counting())
    partition = sc.TopicPartition(house.numbers, 0)
    house.log.commit_offsets(house.app_id, {partition: CommittedOffset(1)})

    with pytest.raises(sc.UsageError, match="another program moved the committed offsets"):
        house.run(house.counting())


def test_deleted_offsets_are_refused_where_a_table_depends_on_them(house: House) -> None:
    house.run(house.counting())
    house.log.delete_group(house.app_id, of_application=True)

    with pytest.raises(sc.UsageError, match="the committed offsets of the application are gone"):
        house.run(house.counting())
