"""A client in a thread of its own: it takes steps until the round is over, whatever becomes of the broker.

Its one connection is made anew whenever it is gone. A question whose connection goes before the answer has
come raises ``NoAnswer``: the broker may have done it or not.
"""

from __future__ import annotations

import threading
import traceback
from random import Random
from typing import Any, Final

from streamcore.log.protocol.fields import Message
from tests.crash.clients.world import SHORT_WAIT_S, World
from tests.support.wire_client import BY_NAME, WireClient

_ANSWER_S: Final = (0.4, 2.0, 10.0)
"""How long clients wait for an answer before they take the connection for dead: some are impatient."""
_CUT_SHARE: Final = 0.01


class NoAnswer(Exception):
    """The connection is gone, or the broker cannot say now what was asked."""


class Client:
    """Somebody who uses the broker. Subclasses say what a step is."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.random: Random = world.random_for(name)
        self.answer_s = self.random.choice(_ANSWER_S)
        self.cut_share = _CUT_SHARE
        """How often it closes the connection instead of waiting for the answer."""
        self._thread = threading.Thread(target=self.run, name=name, daemon=True)
        self._connection: WireClient | None = None

    def start(self) -> None:
        """Begin, in a thread."""
        self._thread.start()

    def has_ended(self, within_s: float) -> bool:
        """Wait for its end, for so long at most."""
        self._thread.join(within_s)
        return not self._thread.is_alive()

    def run(self) -> None:
        """Take steps until the end; whatever else goes wrong is a failure of the test."""
        try:
            while not self.world.is_over.is_set():
                try:
                    self.step()
                except NoAnswer:
                    self.world.is_over.wait(SHORT_WAIT_S)
            self.finish()
        except Exception:  # noqa: BLE001 - reported by the round
            self.world.failures.append(f"{self.name}: {traceback.format_exc()}")
        finally:
            self.drop()

    def step(self) -> None:
        """Do the next thing."""
        raise NotImplementedError

    def finish(self) -> None:
        """Come to an end: settle what is under way, if it can be settled."""

    def pause(self) -> None:
        """Wait a moment, as one does before asking again."""
        self.world.is_over.wait(SHORT_WAIT_S)

    # --- the connection -------------------------------------------------------------------------

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection, as far as one knows."""
        return self._connection is not None

    def drop(self) -> None:
        """Give the connection up, with the answers that are still to come."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def connection(self) -> WireClient:
        """The connection, made if there is none."""
        if self._connection is None:
            try:
                self._connection = WireClient("127.0.0.1", self.world.port, client_id=self.name)
            except OSError as error:
                raise NoAnswer from error
            self._connection.socket.settimeout(self.answer_s)
        return self._connection

    def send(self, request: Message, version: int) -> None:
        """Ask, and leave the answer to ``receive``."""
        try:
            self.connection().send(request, version)
        except OSError as error:
            self.drop()
            raise NoAnswer from error

    def receive(self, request: Message, version: int) -> Any:
        """The answer to what was asked first."""
        api = BY_NAME[type(request).__name__.removesuffix("Request")]
        try:
            if self.random.random() < self.cut_share:
                raise ConnectionError("cut by the client")
            return self.connection().receive(api, version)
        except OSError as error:
            self.drop()
            raise NoAnswer from error

    def ask(self, request: Message, version: int) -> Any:
        """Ask and wait for the answer."""
        self.send(request, version)
        return self.receive(request, version)

    def version_of(self, api: str, low: int, high: int) -> int:
        """One of the versions ``[low, high]`` that are served."""
        served = BY_NAME[api]
        return self.random.randint(max(low, served.version_min), min(high, served.version_max))
