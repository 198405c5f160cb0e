"""Processes of a measurement are bounded in time, and what goes wrong in them is told."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.broker.children import Child, Children

LIMIT_S = 30.0


@pytest.fixture
def children() -> Iterator[Children]:
    with Children() as started:
        yield started


def start(children: Children, tmp_path: Path, program: str, *, limit_s: float = LIMIT_S) -> Child:
    return children.start([sys.executable, "-c", program], log=tmp_path / "log.txt", limit_s=limit_s)


def test_the_numbers_of_a_child_are_its_last_line(children: Children, tmp_path: Path) -> None:
    child = start(children, tmp_path, """print("ready"); print('{"count": 7}')""")

    assert child.line() == "ready"
    assert child.numbers() == {"count": 7}


def test_a_child_that_outlives_its_limit_is_killed(children: Children, tmp_path: Path) -> None:
    child = start(children, tmp_path, "import signal; signal.pause()", limit_s=0.1)

    with pytest.raises(SystemExit, match="took more than 0 s"):
        child.numbers()

    assert not child.is_running


def test_what_a_failed_child_said_is_told(children: Children, tmp_path: Path) -> None:
    child = start(children, tmp_path, "raise ValueError('7 records of 8')")

    with pytest.raises(SystemExit, match="ValueError: 7 records of 8"):
        child.numbers()


def test_a_child_that_goes_on_ends_with_the_block(tmp_path: Path) -> None:
    with Children() as children:
        child = start(children, tmp_path, "import signal; signal.pause()")
        assert child.is_running

    assert not child.is_running
