"""Folders that older versions wrote open, hold what was written, and their application continues."""

from __future__ import annotations

import tarfile
from collections import Counter
from pathlib import Path

import pytest

import streamcore as sc
from streamcore.log.tools.verification import verify
from tests.folders.make_folder import COMPRESSIONS, PROCESSED, WAITING
from tests.folders.orders_app import ITEMS, Spent, app, order

HERE = Path(__file__).parent
ARCHIVES = sorted(HERE.glob("folder-*.tar.xz"))
EVENT_COUNT = PROCESSED + WAITING


@pytest.fixture(params=ARCHIVES, ids=lambda path: path.name.removesuffix(".tar.xz"))
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of what the older version left."""
    with tarfile.open(request.param) as archive:
        archive.extractall(tmp_path / "data", filter="data")
    return tmp_path / "data"


def test_there_is_a_folder_of_the_version_before() -> None:
    assert [path.name for path in ARCHIVES] == ["folder-0.1.0.tar.xz"]


def test_records_in_every_compression_are_read_back(folder: Path) -> None:
    records: list[sc.Record[bytes | None, bytes | None]] = []
    with sc.connect(folder) as log, log.consumer("letters") as consumer:
        while len(records) < len(COMPRESSIONS) * 60:
            records += consumer.poll(timeout="5s")

    assert [(r.key, r.value) for r in records] == [
        (b"%d" % number, compression.encode() * 20) for compression in COMPRESSIONS for number in range(60)
    ]
    assert records[-1].headers == (("number", b"59"),)
    assert records[-1].timestamp_ms == 1_700_000_000_059


def test_only_committed_transactions_are_read(folder: Path) -> None:
    with sc.connect(folder) as log, log.consumer("decided") as consumer:
        values = [record.value for record in consumer.poll(timeout="5s")]

    assert values == [b"0", b"2", b"4"]


def test_a_transactional_id_continues(folder: Path) -> None:
    with sc.connect(folder) as log, log.producer(transactional_id="decider") as producer:
        with producer.transaction():
            producer.send("decided", value=b"new")
        with log.consumer("decided") as consumer:
            assert consumer.poll(timeout="5s")[-1].value == b"new"


def test_committed_offsets_and_users_are_there(folder: Path) -> None:
    partition = sc.TopicPartition("letters", 0)
    with sc.connect(folder) as log:
        assert {name: position.offset for name, position in log.committed("readers").items()} == {
            partition: 100
        }
        assert list(log.access.users()) == ["ada"]


def test_the_application_continues_where_it_stopped(folder: Path) -> None:
    orders = [order(number) for number in range(EVENT_COUNT)]
    with sc.run(app, data=folder) as running:
        running.wait_until_caught_up("60s")
        spent, per_item, prices = (
            {answer.key: answer.value for answer in running.table(name).all()}
            for name in ("spent", "per-item", "price-table")
        )
        hours = [row for customer in ["ada", "bob"] for row in running.table("hourly").windows(customer)]

    assert spent == {
        name: Spent(count, sum(each.amount for each in orders if each.customer == name))
        for name, count in Counter(each.customer for each in orders).items()
    }
    assert per_item == {item: sum(each.item == item for each in orders) for item in ITEMS}
    assert prices["item-2"] == 18
    assert "item-3" not in prices
    assert len(hours) == 2 * len({each.ts // 3_600_000 for each in orders})


def test_the_files_are_sound(folder: Path) -> None:
    assert list(verify(folder)) == []
