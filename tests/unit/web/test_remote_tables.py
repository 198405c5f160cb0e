"""``streamcore tables --http`` on several workers: any of them is asked for all, also while tasks move."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import streamcore as sc
from streamcore.cli.remote_tables import RemoteTables
from streamcore.cli.tables import _columns
from streamcore.partitioning import partition_of_key
from tests.support.application_house import House
from tests.support.workers_in_halves import Halves, halves

KEYS = [f"k{number}" for number in range(10)]


@pytest.fixture
def workers() -> Iterator[Halves]:
    app = sc.App("counting")
    words = app.topic("words", key=str, value=int, partitions=2)
    words.count("counts")
    words.tumbling("1h").count("hourly")
    house = House()
    house.log.create_topic("words", partitions=2)
    for number in range(2):
        keys = [key for key in KEYS if partition_of_key(key.encode(), 2) == number]
        house.produce("words", *((key, 1) for key in keys), partition=number)
    with halves(app, house) as found:
        yield found
    house.log.close()


def asked(workers: Halves) -> list[RemoteTables]:
    return [
        RemoteTables(server.url, sleep=lambda seconds: pytest.fail("asked again"))
        for server in workers.servers
    ]


def test_each_worker_lists_gets_and_scans_everything(workers: Halves) -> None:
    first, second = asked(workers)

    assert first.tables() == second.tables()
    assert sum(first.tables()[0]["position"]["words"].values()) == len(KEYS)
    for remote in (first, second):
        assert [row["key"] for row in remote.scan("counts", None, None, None)] == KEYS
        assert [row["key"] for row in remote.scan("counts", "k3", "k7", 3)] == ["k3", "k4", "k5"]
        assert len(list(remote.scan("hourly", None, None, None))) == len(KEYS)
        for key in KEYS:
            (row,) = remote.get("counts", key, None)
            assert (row["value"], row["partition"]) == (1, partition_of_key(key.encode(), 2))
            assert len(remote.get("hourly", key, None)) == 1
        assert remote.get("counts", "nobody", None) == []


def test_a_question_is_asked_again_until_the_task_has_moved(workers: Halves) -> None:
    gone = workers.tasks("counts", 1)
    workers.second.give_up(gone)
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            workers.first.take(gone)

    remote = RemoteTables(workers.servers[0].url, sleep=sleep)

    assert [row["key"] for row in remote.scan("counts", None, None, None)] == KEYS
    assert pauses == [1, 1]


def test_a_question_is_not_asked_for_ever(workers: Halves) -> None:
    workers.second.give_up(workers.tasks("counts", 1))
    pauses: list[float] = []

    with pytest.raises(sc.UsageError, match="try again: table=counts partition=1"):
        list(RemoteTables(workers.servers[1].url, sleep=pauses.append).scan("counts", None, None, None))

    assert sum(pauses) == 20


def test_a_table_for_people_shows_no_partitions(workers: Halves) -> None:
    rows = asked(workers)[0].get("counts", "k1", None)

    assert _columns(rows) == [{"key": "k1", "value": 1}]
