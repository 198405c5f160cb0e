"""The first signal stops a program in order, whatever happens to its output."""

from __future__ import annotations

import os
import signal
from typing import NoReturn

import pytest

from streamcore.cli.stop_signals import StopSignals


class GoneReader:
    """Standard error whose reader has ended."""

    def write(self, text: str) -> NoReturn:
        raise BrokenPipeError


def test_a_signal_asks_to_stop_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[bool] = []
    with StopSignals() as signals:
        signals.ask_with(lambda: asked.append(True))
        os.kill(os.getpid(), signal.SIGTERM)

    assert asked == [True]
    assert signals.is_stopped
    assert capsys.readouterr().err.startswith("SIGTERM: committing and stopping; send SIGTERM again")


def test_a_signal_asks_to_stop_although_nobody_reads_the_output(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []
    monkeypatch.setattr("sys.stderr", GoneReader())
    with StopSignals() as signals:
        signals.ask_with(lambda: asked.append(True))
        os.kill(os.getpid(), signal.SIGTERM)

    assert asked == [True]


def test_a_signal_before_there_is_work_interrupts() -> None:
    with StopSignals() as signals, pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGTERM)

    assert signals.is_stopped
