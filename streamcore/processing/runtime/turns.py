"""When the agents of a part give way: to the event loop after a while, to a commit between two events.

Agents compare the clock with one number before each event: the time at which they give way. A cut sets it
to the past.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

TURN_S: Final = 0.01
"""How long an agent that never waits may occupy the event loop."""


class Turn:
    """The times at which agents give way, shared by the agents of one part and their worker."""

    __slots__ = ("cut_if_due", "is_cut", "is_stopping", "monotonic_s", "yield_at_s")

    def __init__(self, monotonic_s: Callable[[], float]) -> None:
        self.monotonic_s = monotonic_s
        self.cut_if_due: Callable[[], None] = lambda: None
        """Looks whether it is time for a commit, and cuts the round for it."""
        self.yield_at_s = 0.0
        self.is_cut = False
        """Whether agents hand out no further event, and return when those under way are acknowledged."""
        self.is_stopping = False
        """Whether the worker ends: what cannot be cut may be left uncommitted."""

    def begin(self) -> None:
        """Start a round: the cut of the last one is over."""
        self.is_cut = self.is_stopping
        self.yield_at_s = self.monotonic_s() + TURN_S

    def cut(self) -> None:
        """Request that agents end the round between two events."""
        self.is_cut = True
        self.yield_at_s = float("-inf")

    def was_given(self) -> None:
        """Record that the event loop had its turn."""
        self.yield_at_s = self.monotonic_s() + TURN_S
