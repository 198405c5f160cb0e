"""What is done to a broker while its clients work: killed, killed while it starts, paused, its disk full.

What and when is drawn from a seed, so that a round that failed can be tried again with the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from random import Random
from typing import Final

from tests.crash.broker_process import BrokerProcess
from tests.crash.clients.world import World, now_us
from tests.histories.operations import Disturbance

_PAUSES_S: Final = (0.05, 0.3, 0.6, 1.5, 3.0)


class Disturber:
    """Disturbs one broker for some seconds."""

    def __init__(self, broker: BrokerProcess, world: World) -> None:
        self._broker = broker
        self._world = world
        self._random = Random(f"{world.seed} disturbances")
        self.kinds: dict[str, int] = {}

    def disturb(self, working_s: float) -> None:
        """Do one thing after the other, and leave the broker running; its clients work in between."""
        choices: tuple[tuple[Callable[[], None], int], ...] = (
            (self._kill, 6),
            (self._kill_while_starting, 2),
            (self._pause, 3),
            (self._stop, 1),
            (self._fill_disk, 1),
        )
        while working_s > 0 and not self._world.failures:
            quiet_s = self._random.uniform(0.1, 0.9)
            time.sleep(quiet_s)
            working_s -= quiet_s
            actions, weights = zip(*choices, strict=True)
            action = self._random.choices(actions, weights)[0]
            begun_us = now_us()
            action()
            self._note(action.__name__.strip("_"), begun_us)

    def _note(self, what: str, begun_us: int) -> None:
        self.kinds[what] = self.kinds.get(what, 0) + 1
        self._world.record(Disturbance(client="disturber", begun_us=begun_us, ended_us=now_us(), what=what))

    def _kill(self) -> None:
        self._broker.kill()
        self._broker.start()

    def _kill_while_starting(self) -> None:
        self._broker.kill()
        for _ in range(self._random.choice((1, 2))):
            self._broker.start_and_kill(self._random.uniform(0.0, 0.8))
        self._broker.start()

    def _pause(self) -> None:
        self._broker.pause()
        time.sleep(self._random.choice(_PAUSES_S))
        self._broker.resume()

    def _stop(self) -> None:
        self._broker.stop()
        self._broker.start()

    def _fill_disk(self) -> None:
        """No file may grow beyond some size; as Kafka would, the broker may then have to be started again."""
        self._broker.limit_files(self._random.choice((0, 3_000, 20_000)))
        time.sleep(self._random.uniform(0.05, 0.5))
        self._broker.kill()
        self._broker.start()
