"""``streamcore worker``: what it says, how it stops, and how it fails. Real processes for signals."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import streamcore as sc
from tests.support.command_process import PROJECT, TIMEOUT_S, CommandProcess

SHOP = "tests.unit.cli.shop:app"

RunCommand = Callable[..., tuple[int, str, str]]


def worker_process(application: str, data: Path, *words: str, cwd: Path = PROJECT) -> CommandProcess:
    """A worker in a process of its own."""
    return CommandProcess("worker", application, "--data", str(data), *words, cwd=cwd)


@pytest.fixture
def loaded(command: RunCommand, tmp_path: Path) -> Path:
    """A folder with 50 orders that nobody has processed."""
    assert command("app", SHOP, "load", "50")[0] == 0
    return tmp_path / "data"


def rows(output: str) -> Iterator[dict[str, object]]:
    return map(json.loads, output.splitlines())


def test_the_first_lines_say_what_it_does(command: RunCommand, loaded: Path) -> None:
    code, out, _ = command("worker", SHOP, "--until-end")

    assert code == 0
    first, *rest = out.splitlines()
    assert first == f"shop: embedded log in {loaded} (durable), exactly-once, commits every 100ms"
    words = {line.split()[0]: line for line in rest}
    assert "orders (2 partitions), customers (1 partition)" in words["reads"]
    assert "hourly-final (2 partitions)" in words["writes"] or "hourly-final (1 partition)" in words["writes"]
    assert "shop-item-repartition (2 partitions)" in words["between"]
    assert "hourly (windows of 1h), seen" in words["tables"]
    assert "names (global)" in words["tables"]
    assert words["tasks"].split()[1] == "6:"
    assert re.search(r"processed 50 records in .* a second; 100 more from repartition topics", out)


def test_what_is_there_is_processed_once_and_the_next_run_finds_nothing(
    command: RunCommand, loaded: Path
) -> None:
    command("worker", SHOP, "--until-end", "--guarantee", "at-least-once", "--durability", "relaxed")
    code, out, _ = command("worker", SHOP, "--until-end")

    assert code == 0
    assert "processed 0 records" in out
    assert "restoring" not in out
    found = rows(command("tables", "scan", "per-item", "--json")[1])
    assert {row["key"]: row["value"] for row in found} == {"item0": 17, "item1": 17, "item2": 16}


@pytest.mark.slow
def test_windows_stay_open_until_told_that_the_input_has_ended(command: RunCommand, loaded: Path) -> None:
    command("worker", SHOP, "--until-end")
    before = len(command("consume", "hourly-final", "--json")[1].splitlines())

    command("worker", SHOP, "--until-end", "--close-windows")

    after = len(command("consume", "hourly-final", "--json")[1].splitlines())
    windows = len(command("tables", "scan", "hourly", "--json")[1].splitlines())
    assert before < windows
    assert after == windows


def test_lost_state_is_restored_and_said_so(command: RunCommand, loaded: Path) -> None:
    command("worker", SHOP, "--until-end")
    before = command("tables", "scan", "seen", "--json")[1]
    shutil.rmtree(loaded / "state")

    code, out, _ = command("worker", SHOP, "--until-end")

    assert code == 0
    assert re.search(r"^restoring seen-\d: (\d+) of \1 records$", out, re.MULTILINE)
    assert "processed 0 records" in out
    assert command("tables", "scan", "seen", "--json")[1] == before


def test_a_failing_agent_stops_the_worker_and_names_the_record(command: RunCommand, tmp_path: Path) -> None:
    command("app", SHOP, "load", "5", "--bad")

    code, _, err = command("worker", SHOP, "--until-end")

    assert code == 1
    assert err.count("\n") == 1
    assert err.startswith("error: application code failed, nothing is committed past this record")
    for fact in ("node=watch", "topic=orders", "partition=", "offset=", "a negative amount", "shop.py:"):
        assert fact in err
    with sc.connect(tmp_path / "data") as log:
        committed = log.committed("shop")
        ends = log.offsets(committed)
    assert all(position.offset <= ends[place].log_end for place, position in committed.items())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--instance-id", "a"), "leave --instance-id out"),
        (("--workers", "2", "--http", "127.0.0.1:0"), "leave --http out"),
        (("--broker", "nowhere"), "HOST:PORT"),
        (("--broker", "h:9092", "--listen", "127.0.0.1:0"), "leave --listen or --broker out"),
        (("--broker", "h:9092", "--durability", "relaxed"), "leave durability out"),
        (("--command-config", "client.properties"), "name a --broker"),
        (("--close-windows",), "give --until-end, too"),
        (("--durability", "brave"), "'durable' or 'relaxed'"),
        (("--guarantee", "maybe"), "'exactly-once' or 'at-least-once'"),
        (("--commit-interval", "often"), "duration"),
        (("--http", "nowhere"), "HOST:PORT"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    command: RunCommand, words: tuple[str, ...], said: str
) -> None:
    code, out, err = command("worker", SHOP, *words)

    assert code == 1
    assert said in err
    assert err.count("\n") == 1
    assert "running" not in out


@pytest.mark.slow
def test_a_worker_answers_until_a_signal_stops_it_in_order(command: RunCommand, loaded: Path) -> None:
    with worker_process(SHOP, loaded, "--http", "127.0.0.1:0") as worker:
        address = worker.read_until("http ").split()[-1]
        worker.read_until("running")

        refused = command("worker", SHOP)
        in_use = command("tables", "list")
        fresh = ("--http", address)
        while '"value":10' not in command("tables", "get", "seen", "k1", "--json", *fresh)[1]:
            pass  # the process is at work; the time-out of the test run is the bound
        listed = command("tables", "list", "--json", *fresh)
        scanned = command("tables", "scan", "hourly", "--limit", "3", "--json", *fresh)
        missing = command("tables", "get", "seen", "nobody", *fresh)
        unknown = command("tables", "get", "nothing", "k", *fresh)
        worker.signal(signal.SIGTERM)
        code, said = worker.end()

    assert refused[0] == 1
    assert f"pid={worker.pid}" in refused[2]
    assert in_use[0] == 1
    assert f"pid={worker.pid}" in in_use[2]
    assert [row["table"] for row in rows(listed[1])] == [
        "hourly",
        "names",
        "per-item",
        "per-item-and-amount",
        "seen",
    ]
    assert len(list(rows(scanned[1]))) == 3
    assert (missing[0], missing[2]) == (1, "error: the key has no value: table=seen key=nobody\n")
    assert "there is no such table" in unknown[2]
    assert code == 0, said
    assert "SIGTERM: committing and stopping" in said
    assert said.endswith("stopped; what was processed is committed\n")
    (row,) = rows(command("tables", "get", "seen", "k1", "--json")[1])
    assert row["value"] == 10


@pytest.mark.slow
def test_a_second_interrupt_stops_at_once(command: RunCommand, tmp_path: Path) -> None:
    (tmp_path / "slow_app.py").write_text(
        "import time\nimport streamcore as sc\n\n"
        "app = sc.App('slow')\nwords = app.topic('words', value=str)\n\n\n"
        "@app.agent(words)\nasync def slow(events):\n    async for _ in events:\n"
        "        print('holding the loop', flush=True)\n        time.sleep(60)\n"
    )
    data = tmp_path / "data"
    with sc.connect(data) as log:
        log.create_topic("words")
        with log.producer() as producer:
            producer.send_and_wait("words", value=b"v")

    with worker_process("slow_app:app", data, cwd=tmp_path) as worker:
        worker.read_until("holding the loop")
        worker.signal(signal.SIGINT)
        worker.read_until("SIGINT: committing and stopping")
        worker.signal(signal.SIGINT)
        code, _ = worker.end()

    assert code == 130


@pytest.mark.slow
def test_a_terminal_gets_progress_bars(command: RunCommand, loaded: Path) -> None:
    command("worker", SHOP, "--until-end")
    shutil.rmtree(loaded / "state")
    mine, theirs = pty.openpty()

    done = subprocess.run(
        [sys.executable, "-m", "streamcore.cli.main", "worker", SHOP, "--until-end", "--data", str(loaded)],
        cwd=PROJECT,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    os.close(theirs)
    drawn = b""
    with contextlib.suppress(OSError):
        while part := os.read(mine, 65536):
            drawn += part
    os.close(mine)

    assert done.returncode == 0
    assert b"restoring seen-" in drawn
    assert b"processing" in drawn
    assert "restoring" not in done.stdout
    assert "processed 0 records" in done.stdout
