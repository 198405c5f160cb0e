"""Restores on the real log and the real engine: transactions, compaction, kills, relaxed durability."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamcore.clock import ManualClock
from streamcore.log.client.embedded.log import EmbeddedLog
from streamcore.model import RecordColumns, TopicPartition
from streamcore.state import changelog
from streamcore.state.keys import key_codec
from streamcore.state.restore import RestoreTarget, restore_store
from streamcore.state.restoring import Restoring
from streamcore.state.rocks import RocksEngine
from streamcore.state.write_back import WriteBack
from streamcore.testing.sim_disk import SimDisk

NOW_MS = 1_700_000_000_000
SOURCE = TopicPartition("app-counts-changelog", 0)
TARGET = RestoreTarget(store="counts", partition=SOURCE)


class House:
    """A log, the state of one task, and the commit that joins them."""

    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock(NOW_MS)
        self.disk = SimDisk(1)
        self.log = self.open_log()
        self.log.create_topic(SOURCE.topic, config=changelog.changelog_config())
        self.folder = folder
        self.engine = RocksEngine.open(folder / "0")
        restore_store(self.engine, TARGET, self.log, self.clock)

    def open_log(self) -> EmbeddedLog:
        return EmbeddedLog.open("/data", clock=self.clock, file_system=self.disk, maintenance=False)

    def commit(self, values: dict[str, int | None], *, applies: bool = True) -> None:
        store: WriteBack[str, int] = WriteBack(
            self.engine, "counts", key_codec(str), lambda value: b"%d" % value, int
        )
        for key, value in values.items():
            store.put(key, value)
        writes = store.drain()
        assert writes is not None
        producer = self.log.producer_port(transactional_id="task")
        with producer.transaction() as transaction:
            run = transaction.append_columns(SOURCE, changelog.columns(writes, self.clock.now_ms()))
        producer.close()
        if applies:
            self.engine.apply(
                [writes], changelog.checkpoints({"counts": run.result().end_offset}, self.clock.now_ms())
            )

    def lose_the_store(self) -> None:
        self.engine.close()
        self.engine = RocksEngine.open(self.folder / "1")

    def held(self) -> dict[bytes, bytes]:
        return dict(self.engine.scan("counts"))

    def close(self) -> None:
        self.engine.close()
        self.log.close()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    yield house
    house.close()


def test_a_lost_store_equals_the_one_that_was_lost(house: House) -> None:
    house.commit({f"k{number}": number for number in range(500)})
    house.commit({"k1": 99, "k2": None})
    before = house.held()
    house.lose_the_store()

    restored = restore_store(house.engine, TARGET, house.log, house.clock)

    assert restored.plan.kind is Restoring.REBUILD
    assert restored.record_count == 502
    assert house.held() == before


def test_an_intact_store_replays_nothing_after_a_restart(house: House) -> None:
    house.commit({"a": 1})
    house.log.close()
    house.log = house.open_log()

    restored = restore_store(house.engine, TARGET, house.log, house.clock)

    assert restored.record_count == 0
    assert house.held() == {b"a": b"1"}


def test_a_commit_that_never_reached_the_store_is_replayed(house: House) -> None:
    house.commit({"a": 1, "b": 1})
    house.commit({"a": 2, "b": None}, applies=False)

    restored = restore_store(house.engine, TARGET, house.log, house.clock)

    assert (restored.plan.kind, restored.record_count) == (Restoring.TAIL, 2)
    assert house.held() == {b"a": b"2"}


def test_an_aborted_transaction_is_not_restored(house: House) -> None:
    house.commit({"a": 1})
    producer = house.log.producer_port(transactional_id="task")
    with contextlib.suppress(ZeroDivisionError), producer.transaction() as transaction:
        transaction.append_columns(SOURCE, RecordColumns([b"a"], [b"9"], [NOW_MS]))
        raise ZeroDivisionError
    producer.close()
    house.commit({"b": 2})
    house.lose_the_store()

    restore_store(house.engine, TARGET, house.log, house.clock)

    assert house.held() == {b"a": b"1", b"b": b"2"}


def test_a_compacted_changelog_restores_the_same_store(house: House) -> None:
    house.log.alter_topic(SOURCE.topic, config={"segment.bytes": "2000", "min.cleanable.dirty.ratio": "0"})
    for number in range(60):
        values: dict[str, int | None] = {f"k{key}": number for key in range(5)}
        house.commit(values | {"gone": None if number % 2 else number})
    before = house.held()
    house.log.maintain()
    house.lose_the_store()

    restored = restore_store(house.engine, TARGET, house.log, house.clock)

    assert restored.record_count < 360
    assert house.held() == before


def test_a_changelog_of_the_same_name_made_anew_empties_the_store(house: House) -> None:
    house.commit({"a": 1})
    house.log.delete_topic(SOURCE.topic)
    house.log.create_topic(SOURCE.topic, config=changelog.changelog_config())

    restored = restore_store(house.engine, TARGET, house.log, house.clock)

    assert restored.plan.kind is Restoring.REBUILD
    assert house.held() == {}


def test_windowed_settings_are_accepted_by_the_log(house: House) -> None:
    created = house.log.create_topic("w", config=changelog.changelog_config(window_retention_ms=1000))

    assert created.config["cleanup.policy"] == "compact,delete"
