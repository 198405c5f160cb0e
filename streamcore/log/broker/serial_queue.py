"""Runs operations on one name in the order of their arrival, although each of them may wait.

A producer sends batches without waiting for answers, and they must be appended in order: the first batch of a
transaction waits for the disk before its append, and later batches would overtake it.
"""

from __future__ import annotations

from typing import Final

from streamcore.log.broker.operations import Completed, Operation, OperationFuture

_FOR_EVER_S: Final = float("inf")


class SerialQueue:
    """The operations that wait for their turn, by name."""

    def __init__(self) -> None:
        self._last: dict[str, OperationFuture[object]] = {}

    def take(self, name: str) -> Operation[OperationFuture[object]]:
        """Wait until all operations that arrived before have ended their turn; then end this one with
        ``end``.
        """
        before = self._last.get(name)
        mine: OperationFuture[object] = OperationFuture()
        self._last[name] = mine
        if before is not None:
            try:
                while not before.is_done:
                    yield Completed(before, _FOR_EVER_S)
            except BaseException:
                # Abandoned. Operations that arrive later still wait for those before.
                if before.is_done:
                    self.end(name, mine)
                else:
                    before.listeners[object()] = lambda: self.end(name, mine)
                raise
        return mine

    def end(self, name: str, mine: OperationFuture[object]) -> None:
        """Start the next operation, once this one waits again or is complete."""
        mine.keep(None)
        if self._last.get(name) is mine:
            del self._last[name]
