"""When a server's runner looks at the deadlines of groups."""

from __future__ import annotations

import asyncio
from asyncio import TimerHandle
from typing import Any

import pytest

from streamcore.clock import ManualClock
from streamcore.log.broker.operations import Unsynced
from streamcore.log.node.operation_driver import OperationDriver
from streamcore.log.server.runner import OperationRunner

NOW_S = 1000.0


class Deadline:
    """One deadline that stays as it is."""

    def __init__(self, time_s: float) -> None:
        self.time_s = time_s

    def expire_members(self) -> None:
        """Nothing ends here."""

    def next_deadline_s(self) -> float:
        return self.time_s


class RecordingLoop(asyncio.SelectorEventLoop):
    """Records after how many seconds it is asked to call; it is never run."""

    def __init__(self) -> None:
        super().__init__()
        self.delays_s: list[float] = []

    def call_at(self, when: float, *args: Any, **more: Any) -> TimerHandle:  # type: ignore[override]
        self.delays_s.append(when - NOW_S)
        return super().call_at(when, *args, **more)

    def time(self) -> float:
        return NOW_S


def delays_of(deadline: Deadline) -> list[float]:
    clock = ManualClock()
    loop = RecordingLoop()
    unsynced = Unsynced()
    deadline.time_s += clock.monotonic_s()
    runner = OperationRunner(OperationDriver(clock, unsynced, deadline), unsynced, clock, loop)
    try:
        runner.start()
    finally:
        runner.stop()
        loop.close()
    return loop.delays_s


@pytest.mark.parametrize(
    ("deadline_s", "delay_s"),
    [(float("inf"), 0.05), (0.3, 0.05), (0.05, 0.05), (0.012, 0.012), (0.0, 0.001)],
)
def test_the_next_look_is_at_the_next_deadline_or_soon(deadline_s: float, delay_s: float) -> None:
    assert delays_of(Deadline(deadline_s)) == [pytest.approx(delay_s)]
