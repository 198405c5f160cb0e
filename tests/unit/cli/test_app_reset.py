"""``streamcore app MODULE:APP reset``, and the commands that refuse an application's group."""

from __future__ import annotations

from pathlib import Path

import pytest

import streamcore as sc
from streamcore.cli.app_reset import plan_lines
from streamcore.processing.runtime.resetting import ApplicationReset
from tests.unit.cli.conftest import RunCommand

SHOP = "tests.unit.cli.shop:app"


@pytest.fixture
def data(command: RunCommand, tmp_path: Path) -> Path:
    """A folder in which the shop has processed some orders."""
    assert command("app", SHOP, "load", "30")[0] == 0
    assert command("worker", SHOP, "--until-end")[0] == 0
    return tmp_path / "data"


def per_item(command: RunCommand) -> list[str]:
    code, out, err = command("tables", "scan", "per-item", "--json")
    return out.splitlines() if code == 0 else [err]


@pytest.mark.slow
def test_a_reset_says_what_it_does_and_the_next_worker_counts_once_again(
    command: RunCommand, data: Path
) -> None:
    before = per_item(command)

    code, out, err = command("app", SHOP, "reset", "--yes")

    assert code == 0
    assert "deletes  shop-per-item-changelog" in out.replace(", ", "\n  deletes  ")
    assert "reads    orders-0 from 0" in out
    assert "these topics get their records again: hourly-final" in out
    assert "shop was reset" in err
    assert not list((data / "state" / "shop").glob("per-item-*"))
    assert command("worker", SHOP, "--until-end")[0] == 0
    assert per_item(command) == before


def test_a_dry_run_and_a_reset_that_nobody_confirms_change_nothing(command: RunCommand, data: Path) -> None:
    before = per_item(command)

    shown = command("app", SHOP, "reset", "--dry-run")
    unasked = command("app", SHOP, "reset")

    assert (shown[0], "--dry-run" in shown[2]) == (0, True)
    assert (unasked[0], "give --yes" in unasked[2]) == (1, True)
    assert per_item(command) == before


def test_a_reset_of_a_table_names_the_tables_that_share_its_records(command: RunCommand, data: Path) -> None:
    code, out, _ = command("app", SHOP, "reset", "--table", "per-item", "--dry-run")

    assert code == 0
    assert "per-item" in out
    assert command("app", SHOP, "reset", "--table", "nothing", "--yes")[0] == 1


def test_a_reset_takes_offsets_of_partitions(command: RunCommand, data: Path) -> None:
    code, out, _ = command("app", SHOP, "reset", "--offset", "orders:1:3", "--to", "latest", "--dry-run")

    assert code == 0
    assert "reads    orders-1 from 3" in out
    assert command("app", SHOP, "reset", "--offset", "orders", "--yes")[0] == 1


def test_a_reset_without_a_log_says_where_it_looked(command: RunCommand, tmp_path: Path) -> None:
    code, _, err = command("app", SHOP, "reset", "--yes", "--data", str(tmp_path / "none"))

    assert code == 1
    assert "no log in this folder" in err


def test_a_reset_is_refused_while_the_application_runs(tmp_path: Path) -> None:
    app = sc.App("busy")
    app.topic("numbers", key=str, value=int).count("counts")

    with (
        sc.run(app, data=tmp_path),
        ApplicationReset(app, tmp_path) as reset,
        pytest.raises(sc.UsageError, match="this process runs the application"),
    ):
        reset.plan()
    with ApplicationReset(app, tmp_path) as reset:
        assert plan_lines(reset.plan(), [])[0] == "reset of busy: counts"


def test_the_group_of_an_application_is_left_alone_unless_one_insists(
    command: RunCommand, data: Path
) -> None:
    refused = [
        command("groups", "reset", "shop", "--to", "earliest"),
        command("groups", "delete", "shop"),
        command("consume", "orders", "--group", "shop"),
    ]

    assert [code for code, _, _ in refused] == [1, 1, 1]
    assert all("the group belongs to an application" in err for _, _, err in refused)
    assert all("tables reflect its committed offsets;" in err for _, _, err in refused)
    assert command("groups", "reset", "shop", "--to", "earliest", "--dry-run")[0] == 0
    assert command("groups", "reset", "shop", "--to", "earliest", "--yes")[0] == 0
    code, _, err = command("worker", SHOP, "--until-end")
    assert code == 1
    assert "another program moved the committed offsets" in err


def test_an_application_may_have_a_reset_of_its_own(
    command: RunCommand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_reset.py").write_text(
        "import streamcore as sc\napp = sc.App('own')\n\n\n@app.command()\ndef reset():\n    print('mine')\n"
    )
    monkeypatch.chdir(tmp_path)

    assert command("app", "own_reset:app", "reset")[:2] == (0, "mine\n")
