"""The interpreter's switch interval is short while a log is served, and then what it was."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import streamcore as sc
from streamcore.log.server.switch_interval import SERVING_INTERVAL_S, short_switch_interval


@pytest.fixture(autouse=True)
def interval() -> Iterator[None]:
    before_s = sys.getswitchinterval()
    sys.setswitchinterval(0.005)
    yield
    sys.setswitchinterval(before_s)


def test_a_served_log_gives_the_interval_back_when_it_is_closed(tmp_path: Path) -> None:
    with sc.serve(tmp_path, listen="127.0.0.1:0"):
        during_s = sys.getswitchinterval()

    assert (during_s, sys.getswitchinterval()) == (SERVING_INTERVAL_S, 0.005)


def test_a_log_that_cannot_be_served_gives_it_back_too(tmp_path: Path) -> None:
    with sc.serve(tmp_path / "one", listen="127.0.0.1:0") as served:
        address = served.address
        with pytest.raises(sc.UsageError):
            sc.serve(tmp_path / "two", listen=address)

        assert sys.getswitchinterval() == SERVING_INTERVAL_S
    assert sys.getswitchinterval() == 0.005


def test_the_last_of_several_gives_it_back_in_whatever_order_they_end() -> None:
    first, second = short_switch_interval(), short_switch_interval()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    between_s = sys.getswitchinterval()
    second.__exit__(None, None, None)

    assert (between_s, sys.getswitchinterval()) == (SERVING_INTERVAL_S, 0.005)


def test_a_shorter_one_and_one_that_the_program_sets_meanwhile_stay() -> None:
    sys.setswitchinterval(0.0005)
    with short_switch_interval():
        assert sys.getswitchinterval() == pytest.approx(0.0005)
    assert sys.getswitchinterval() == pytest.approx(0.0005)

    with short_switch_interval():
        sys.setswitchinterval(0.002)
    assert sys.getswitchinterval() == pytest.approx(0.002)
