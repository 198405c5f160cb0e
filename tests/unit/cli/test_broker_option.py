"""``--broker``: the same commands on a log that a server has, and what is refused."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import streamcore as sc
from streamcore.cli.main import main
from streamcore.log.serving import ServedLog
from tests.support.command_process import CommandProcess

Run = Callable[..., tuple[int, str, str]]

SHOP = "tests.unit.cli.shop:app"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[ServedLog]:
    with sc.serve(tmp_path / "served", listen="127.0.0.1:0") as found:
        yield found


@pytest.fixture
def run(
    served: ServedLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """Run a command with the broker named in the environment; returns exit code, stdout and stderr."""
    monkeypatch.setenv("STREAMCORE_BROKER", served.address)
    monkeypatch.setenv("STREAMCORE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("COLUMNS", "200")

    def run_command(*words: str, stdin: bytes = b"") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        with pytest.raises(SystemExit) as left:
            main(words)
        captured = capsys.readouterr()
        code = left.value.code
        assert isinstance(code, int)
        return code, captured.out, captured.err

    return run_command


def rows(output: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in output.splitlines()]


@pytest.mark.slow
def test_topics_records_and_groups_are_used_as_in_a_folder(run: Run, tmp_path: Path) -> None:
    created = run("topics", "create", "orders", "--partitions", "2", "--config", "retention.ms=-1")
    produced = run("produce", "orders", "--key-separator", ":", stdin=b"a:1\nb:2\nc:3\n")
    listed = rows(run("topics", "list", "--json")[1])
    described = rows(run("topics", "describe", "orders", "--json")[1])
    consumed = rows(run("consume", "orders", "--json")[1])
    first = rows(run("consume", "orders", "--group", "g", "--max", "1", "--json")[1])
    rest = rows(run("consume", "orders", "--group", "g", "--json")[1])
    groups = rows(run("groups", "list", "--json")[1])
    moved = rows(run("groups", "reset", "g", "--to", "earliest", "--json")[1])
    deleted = [run("groups", "delete", "g")[0], run("topics", "delete", "orders")[0]]

    assert created == (0, "", "created orders with 2 partitions\n")
    assert produced == (0, "", "produced 3 records to orders\n")
    assert [(row["topic"], row["offsets"]) for row in listed] == [("orders", 3)]
    assert sum(int(str(row["high_watermark"])) for row in described) == 3
    assert sorted((row["key"], row["value"]) for row in consumed) == [("a", "1"), ("b", "2"), ("c", "3")]
    assert sorted(str(row["key"]) for row in first + rest) == ["a", "b", "c"]
    assert [(row["group"], row["state"], row["lag"]) for row in groups] == [("g", "Empty", 0)]
    assert {row["after"] for row in moved} == {0}
    assert deleted == [0, 0]
    assert not (tmp_path / "data").exists()


def test_the_option_is_stronger_than_the_environment(run: Run, tmp_path: Path) -> None:
    with sc.serve(tmp_path / "other", listen="127.0.0.1:0") as other:
        run("topics", "create", "elsewhere", "--broker", f"kafka://{other.address}")
        found = other.log.topics()

    assert "elsewhere" in found
    assert "elsewhere" not in run("topics", "list")[1]


@pytest.mark.slow
def test_an_application_runs_on_a_broker_with_its_state_in_the_folder(run: Run, tmp_path: Path) -> None:
    loaded = run("app", SHOP, "load", "20")
    worked = run("worker", SHOP, "--until-end")
    again = run("worker", SHOP, "--until-end")
    tables = rows(run("tables", "scan", "per-item", "--json")[1])

    assert loaded[0] == 0
    assert worked[0] == 0
    assert worked[1].startswith("shop: log at kafka://127.0.0.1:")
    assert f"state in {tmp_path / 'data'}, exactly-once" in worked[1]
    assert "processed 0 records" not in worked[1]
    assert "processed 0 records" in again[1]
    assert sum(int(str(row["value"])) for row in tables) == 20
    assert not (tmp_path / "data" / "log").exists()


def test_a_folder_that_is_served_says_where(
    served: ServedLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STREAMCORE_BROKER", raising=False)

    with CommandProcess("topics", "list", "--data", str(tmp_path / "served")) as command:
        code, output = command.end()

    assert code == 1
    assert f"use it with --broker {served.address}, or stop it" in output


def test_a_login_is_read_from_a_properties_file(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "client.properties"
    path.write_text("security.protocol=PLAINTEXT\nclient.id=ann\nbootstrap.servers=ignored:1\n")
    known = run("topics", "list", "--command-config", str(path))
    path.write_text("security.protocol=PLAINTEXT\nfetch.min.bytes=1\n")
    unknown = run("topics", "list", "--command-config", str(path))

    assert known[0] == 0
    assert unknown[0] == 1
    assert "given=fetch.min.bytes" in unknown[2]


def test_users_are_managed_over_the_network(run: Run) -> None:
    added = run("users", "add", "ann", "--password-stdin", stdin=b"secret\n")
    listed = rows(run("users", "list", "--json")[1])
    deleted = run("users", "delete", "ann")

    assert added == (0, "", "added ann\n")
    assert [(row["user"], row["mechanisms"]) for row in listed] == [
        ("ann", ["SCRAM-SHA-256", "SCRAM-SHA-512"])
    ]
    assert deleted == (0, "", "deleted ann\n")
    assert rows(run("users", "list", "--json")[1]) == []


def test_a_broker_that_is_none_is_told_in_one_line(run: Run) -> None:
    code, _, error = run("topics", "list", "--broker", "nowhere")

    assert code == 1
    assert error.startswith("error: name the broker as HOST:PORT")
    assert error.count("\n") == 1
