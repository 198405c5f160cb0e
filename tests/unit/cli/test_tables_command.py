"""``streamcore tables`` on a folder that nobody runs: no application is needed to read it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import streamcore as sc
from streamcore.log.node.directory_lock import DirectoryLock
from tests.unit.cli.shop import START_MS, app

RunCommand = Callable[..., tuple[int, str, str]]

NOON_MS = START_MS - START_MS % 3_600_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a worker left that had processed twelve orders of a minute each, over two partitions."""
    data = tmp_path_factory.mktemp("shop") / "data"
    with sc.run(app, data=data) as running:
        with running.log.producer() as producer:
            for number in range(12):
                order = (
                    f'{{"ts":{START_MS + number * 60_000},"item":"item{number % 3}","amount":{number % 2}}}'
                )
                producer.send("orders", key=f"k{number % 5}".encode(), value=order.encode())
            producer.send("customers", key=b"7", value=b"Anna")
            producer.send("customers", key=b"12", value=b"Ben")
        running.wait_until_caught_up(timeout="20s")
    return data


@pytest.fixture
def tables(command: RunCommand, folder: Path) -> Callable[..., Iterator[dict[str, Any]]]:
    """Ask for rows as JSON."""

    def ask(*words: str) -> Iterator[dict[str, Any]]:
        code, out, err = command("tables", *words, "--data", str(folder), "--json")
        assert code == 0, err
        return map(json.loads, out.splitlines())

    return ask


Tables = Callable[..., Iterator[dict[str, Any]]]


def test_list_names_the_tables_with_their_kinds(tables: Tables) -> None:
    found = {row["table"]: (row["kind"], row["key_type"], row["window_size_ms"]) for row in tables("list")}

    assert found == {
        "hourly": ("windows", "str", 3_600_000),
        "names": ("global", "int", None),
        "per-item": ("keys", "str", None),
        "per-item-and-amount": ("keys", "(str,int)", None),
        "seen": ("keys", "str", None),
    }


def test_get_gives_the_value_and_the_position_that_it_reflects(tables: Tables) -> None:
    (row,) = tables("get", "seen", "k1")

    assert (row["key"], row["value"]) == ("k1", 3)
    assert sum(row["position"]["orders"].values()) == 12


def test_aggregations_are_shown_by_their_names_and_a_mean_as_a_mean(tables: Tables) -> None:
    (row,) = tables("get", "hourly", "k1", "--at", str(START_MS))

    assert (row["start_ms"], row["end_ms"]) == (NOON_MS, NOON_MS + 3_600_000)
    assert row["value"] == {"orders": 3, "amount": 2 / 3}


def test_an_aggregation_without_a_name_is_shown_bare(tables: Tables) -> None:
    assert [(row["key"], row["value"]) for row in tables("scan", "per-item")] == [
        ("item0", 4),
        ("item1", 4),
        ("item2", 4),
    ]


def test_a_windowed_table_gives_all_windows_of_a_key_without_a_time(tables: Tables) -> None:
    assert [row["start_ms"] for row in tables("get", "hourly", "k1")] == [NOON_MS]


def test_a_global_table_is_one_table_with_the_position_of_its_topic(tables: Tables) -> None:
    (row,) = tables("get", "names", "7")

    assert row == {"key": 7, "value": "Anna", "position": {"customers": {"0": 2}}}


def test_keys_of_several_fields_are_arrays(tables: Tables) -> None:
    (row,) = tables("get", "per-item-and-amount", '["item0",1]')

    assert (row["key"], row["value"]) == (["item0", 1], 2)


def test_a_scan_is_in_order_and_its_end_is_left_out(tables: Tables) -> None:
    assert [row["key"] for row in tables("scan", "seen", "--from", "k1", "--to", "k3")] == ["k1", "k2"]
    assert [row["key"] for row in tables("scan", "names")] == [7, 12]
    assert [row["key"] for row in tables("scan", "seen", "--limit", "2")] == ["k0", "k1"]


def test_a_scan_of_a_prefix_has_the_keys_that_begin_so(tables: Tables) -> None:
    assert [row["key"] for row in tables("scan", "per-item", "--prefix", "item")] == [
        "item0",
        "item1",
        "item2",
    ]
    assert [row["key"] for row in tables("scan", "per-item", "--prefix", "item1")] == ["item1"]
    assert list(tables("scan", "per-item", "--prefix", "x")) == []


def test_a_scan_of_windows_takes_times(tables: Tables) -> None:
    assert len(list(tables("scan", "hourly", "--from", str(NOON_MS), "--to", str(NOON_MS + 1)))) == 5
    assert list(tables("scan", "hourly", "--to", "2020-09-13T12:00Z")) == []


def test_people_get_a_table_with_the_fields_as_columns(command: RunCommand, folder: Path) -> None:
    code, out, err = command("tables", "get", "hourly", "k1", "--data", str(folder))

    assert code == 0
    assert out.splitlines()[0].split() == ["key", "start", "end", "orders", "amount"]
    assert "2020-09-13T12:00:00Z" in out
    assert err.startswith("as of orders-0@")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("get", "seen", "nobody"), "the key has no value: table=seen key=nobody"),
        (("get", "nothing", "k"), "tables=hourly,names,per-item,per-item-and-amount,seen"),
        (("get", "names", "seven"), "key_type=int"),
        (("get", "names", "-5"), "the key has no value: table=names key=-5"),
        (("get", "names", "--json", "-5"), "the key has no value: table=names key=-5"),
        (("get", "hourly", "k1", "--at", "-5"), "the key has no value: table=hourly key=k1 at=-5"),
        (("get", "seen", "-x5"), "no such option"),
        (("scan", "names", "--prefix", "7"), "only str and bytes keys have prefixes"),
        (("scan", "seen", "--prefix", "k", "--to", "l"), "give --prefix, or --from and --to"),
        (("get", "hourly", "k1", "--at", "noon"), "write a time as"),
        (("get", "seen", "k1", "--at", "0"), "leave out the time"),
        (("list", "--app", "other"), "apps=shop"),
        (("list", "--http", "127.0.0.1:1"), "no worker answers here"),
    ],
)
def test_a_question_that_has_no_answer_is_one_clear_error(
    command: RunCommand, folder: Path, words: tuple[str, ...], said: str
) -> None:
    code, out, err = command("tables", *words, "--data", str(folder))

    assert (code, out) == (2 if "option" in said else 1, "")
    assert said in err
    assert err.count("\n") == 1


def test_a_folder_without_state_says_so(command: RunCommand) -> None:
    code, _, err = command("tables", "list")

    assert code == 1
    assert "run the application first" in err


def test_a_folder_in_use_is_refused_with_the_pid_and_what_to_do(command: RunCommand, folder: Path) -> None:
    import os

    with DirectoryLock(folder):
        code, _, err = command("tables", "list", "--data", str(folder))

    assert code == 1
    assert f"pid={os.getpid()}" in err
    assert "--http" in err


@pytest.mark.parametrize("words", [("scan", "names"), ("get", "names", "k")])
def test_a_stored_value_that_does_not_decode_is_one_line_with_table_and_key(
    command: RunCommand, tmp_path: Path, words: tuple[str, ...]
) -> None:
    data = tmp_path / "bad"
    other = sc.App("bad")
    other.topic("people", key=str, value=dict).global_table("names")
    with sc.connect(data) as log:
        log.create_topic("people")
        with log.producer() as producer:
            producer.send_and_wait("people", key=b"k", value=b"\xff")
    with sc.run(other, data=data) as running:
        running.wait_until_caught_up(timeout="20s")

    code, _, err = command("tables", *words, "--data", str(data))

    assert (code, err.count("error: a stored value is not of the table's type")) == (1, 1)
    assert "table=names key='k' data=b'\\xff'" in err


def test_one_name_in_two_applications_asks_for_the_application(command: RunCommand, tmp_path: Path) -> None:
    data = str(tmp_path / "two")
    for app_id in ("one", "two"):
        other = sc.App(app_id)
        other.topic("words", key=str, value=str).count("counts")
        with sc.run(other, data=data) as running:
            with running.log.producer() as producer:
                producer.send_and_wait("words", key=b"k", value=b"v")
            running.wait_until_caught_up(timeout="20s")

    code, _, err = command("tables", "get", "counts", "k", "--data", data)
    assert code == 1
    assert "choose one with --app: table=counts apps=one,two" in err

    code, out, _ = command("tables", "get", "counts", "k", "--data", data, "--app", "two", "--json")
    assert code == 0
    assert json.loads(out)["value"] == 2
