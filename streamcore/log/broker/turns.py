"""Lets operations on one name go on in the order in which they came, although each of them may wait.

A producer sends batches without waiting for answers, and they must be appended as they came: the first one of
a transaction waits for the disk before it is, and those behind it would overtake it.
"""

from __future__ import annotations

from typing import Final

from streamcore.log.broker.operations import Kept, Operation, Promise

_FOR_EVER_S: Final = float("inf")


class Turns:
    """Whose turn it is, by name."""

    def __init__(self) -> None:
        self._last: dict[str, Promise[object]] = {}

    def take(self, name: str) -> Operation[Promise[object]]:
        """Wait until all who came before have ended their turn; then end this one with ``end``."""
        before = self._last.get(name)
        mine: Promise[object] = Promise()
        self._last[name] = mine
        if before is not None:
            try:
                while not before.is_kept:
                    yield Kept(before, _FOR_EVER_S)
            except BaseException:
                # Given up. Who comes after waits for those before, all the same.
                if before.is_kept:
                    self.end(name, mine)
                else:
                    before.listeners[object()] = lambda: self.end(name, mine)
                raise
        return mine

    def end(self, name: str, mine: Promise[object]) -> None:
        """Let the next one go on, once this operation waits again or is done."""
        mine.keep(None)
        if self._last.get(name) is mine:
            del self._last[name]
