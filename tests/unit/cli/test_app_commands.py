"""``streamcore app`` and ``streamcore describe``: finding an application and running what it declares."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import streamcore as sc
from streamcore.errors import UsageError
from streamcore.processing.runtime.commands import CommandContext
from tests.unit.cli import shop

SHOP = "tests.unit.cli.shop:app"

RunCommand = Callable[..., tuple[int, str, str]]


def lines_of(data: Path, topic: str) -> list[tuple[bytes | None, bytes | None]]:
    with sc.connect(data) as log, log.consumer(topic) as consumer:
        return [(record.key, record.value) for record in consumer.poll(timeout="1s")]


def test_a_command_writes_topics_and_makes_those_that_are_missing(
    command: RunCommand, tmp_path: Path
) -> None:
    assert command("app", SHOP, "load", "3") == (0, "", "")

    found = lines_of(tmp_path / "data", "orders")
    assert sorted(key for key, _ in found if key) == [b"k0", b"k1", b"k2"]
    assert lines_of(tmp_path / "data", "customers") == [(b"7", b"Anna")]


def test_an_async_command_gets_its_options_by_annotation(command: RunCommand, tmp_path: Path) -> None:
    words = ("app", SHOP, "order-one", "k", "--amount", "4", "--size", "large")

    assert command(*words, "--data", str(tmp_path / "other")) == (0, "", "")

    (record,) = lines_of(tmp_path / "other", "orders")
    assert record[0] == b"k"
    assert record[1] is not None
    assert b'"item":"large","amount":4' in record[1]


@pytest.mark.parametrize("place", [1, 2, 3])
def test_the_folder_is_named_before_the_application_before_the_command_or_behind_it(
    command: RunCommand, tmp_path: Path, place: int
) -> None:
    words = ["app", SHOP, "load", "3"]
    words[place if place < 3 else 4 : place if place < 3 else 4] = ["--data", str(tmp_path / "other")]

    assert command(*words) == (0, "", "")

    assert len(lines_of(tmp_path / "other", "orders")) == 3
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("place", [1, 2, 4])
def test_a_broker_may_be_named_at_the_same_places(command: RunCommand, tmp_path: Path, place: int) -> None:
    words = ["app", SHOP, "load", "3"]
    words[place:place] = ["--broker", "kafka://:"]

    code, _, err = command(*words)

    assert (code, err.count("\n")) == (1, 1)
    assert "kafka://:" in err
    assert not (tmp_path / "data").exists()


def test_a_parameter_annotated_as_the_log_receives_it(command: RunCommand) -> None:
    assert command("app", SHOP, "topics") == (0, "customers,orders\n", "")


def test_help_lists_the_commands_of_the_application(command: RunCommand) -> None:
    code, out, _ = command("app", SHOP, "--help")

    assert code == 0
    assert "Write orders of three items" in out
    assert "order-one" in out


def test_a_missing_argument_is_a_usage_error_of_the_command(command: RunCommand) -> None:
    code, _, err = command("app", SHOP, "load")

    assert code == 2
    assert "count" in err


def test_a_failing_command_is_one_line_with_the_place(command: RunCommand) -> None:
    code, _, err = command("app", SHOP, "fail")

    assert code == 1
    assert err.startswith("error: the command failed: command=fail error=RuntimeError: out of paper at=")
    assert "shop.py:" in err
    assert err.count("\n") == 1


def test_a_command_that_needs_no_log_leaves_no_folder(command: RunCommand, tmp_path: Path) -> None:
    command("app", SHOP, "fail")

    assert not (tmp_path / "data").exists()


def test_a_command_has_no_table(command: RunCommand) -> None:
    code, _, err = command("app", SHOP, "touch-table")

    assert code == 1
    assert "a command belongs to no partition" in err


def test_an_application_without_commands_says_how_to_declare_one(command: RunCommand) -> None:
    code, _, err = command("app", "tests.unit.cli.shop:empty", "x")

    assert code == 1
    assert "@app.command()" in err


def test_a_parameter_that_no_command_line_can_give_is_refused_by_name(
    command: RunCommand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "odd_app.py").write_text(
        "import streamcore as sc\napp = sc.App('odd')\n\n\n@app.command()\n"
        "def strange(value: complex | sc.App) -> None: ...\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)

    code, _, err = command("app", "odd_app:app", "strange", "1")

    assert code == 1
    assert "command=strange" in err


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("tests.unit.cli.shop", "MODULE:APP"),
        ("apps/shop.py:app", "MODULE:APP"),
        ("no_such_module:app", "missing=no_such_module"),
        ("tests.unit.cli.nothing:app", "missing=tests.unit.cli.nothing"),
        ("tests.unit.cli.shop:ap", "apps=tests.unit.cli.shop:app,tests.unit.cli.shop:empty"),
        ("tests.unit.cli.shop:not_an_app", "type=str"),
    ],
)
def test_what_is_no_application_is_one_clear_error(command: RunCommand, where: str, said: str) -> None:
    code, out, err = command("describe", where)

    assert (code, out) == (1, "")
    assert said in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import streamcore as sc\napp = sc.App('x')\n1 / 0\n", "ZeroDivisionError"),
        ("def broken(:\n", "SyntaxError"),
        ("import no_such_library\n", "no_such_library"),
    ],
)
def test_a_module_that_fails_on_import_says_where(
    command: RunCommand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, said: str
) -> None:
    (tmp_path / "broken_app.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    sys.modules.pop("broken_app", None)

    code, _, err = command("describe", "broken_app:app")

    assert code == 1
    assert "fails while it is imported" in err
    assert said in err
    assert "broken_app.py:" in err


def test_describe_prints_text_or_a_flowchart(command: RunCommand) -> None:
    assert command("describe", SHOP)[1].startswith("application shop\n")
    assert command("describe", SHOP, "--mermaid")[1].startswith("flowchart TD\n")


def test_a_context_that_sent_nothing_opens_nothing(tmp_path: Path) -> None:
    with CommandContext(shop.app, tmp_path / "data") as context:
        assert context.call(lambda number: number + 1, {"number": 1}) == 2

    assert not (tmp_path / "data").exists()


def test_sending_outside_of_anything_running_is_refused() -> None:
    with pytest.raises(UsageError, match="send from an agent"):
        shop.customers.send_and_wait(key=1, value="x")


def test_describe_prints_a_sub_topology_a_line_for_programs(command: RunCommand) -> None:
    code, out, _ = command("describe", SHOP, "--json")

    rows = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert rows
    for row in rows:
        assert row.get("sub_topology") or row.get("global_table")
        assert row["reads"]
    assert command("describe", SHOP, "--json", "--mermaid")[0] == 1
