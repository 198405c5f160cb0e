"""Bounds the memory that requests of all connections take while they are received and answered.

When there is no more, nobody is read from: what is being answered is answered, and gives memory back. What
holds memory may also be unfinished frames, which only reading on can end; so one connection at a
time, the one whose frame began first, is read from all the same. The bound is therefore ``bytes_max``
and one frame.
"""

from __future__ import annotations

from typing import Protocol


class FetchState(Protocol):
    """A connection, as far as memory goes."""

    @property
    def is_inside_frame(self) -> bool:
        """Whether a frame has begun and is not complete."""

    def read_or_not(self) -> None:
        """Think again about whether to read from the peer."""


class RequestMemory:
    """How much is held, and who may read on when it is too much."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._enough_bytes = bytes_max * 3 // 4
        self._held: dict[FetchState, int] = {}
        self._favoured: FetchState | None = None
        self.held_bytes = 0
        self.is_short = False

    def add(self, reading: FetchState) -> None:
        """A connection has come."""
        self._held[reading] = 0

    def remove(self, reading: FetchState) -> None:
        """A connection is gone, and with it what it held."""
        self.held_bytes -= self._held.pop(reading)
        if reading is self._favoured:
            self._favoured = None
        self._reconsider()

    def hold(self, reading: FetchState, size_bytes: int) -> None:
        """A connection now holds so much."""
        self.held_bytes += size_bytes - self._held[reading]
        self._held[reading] = size_bytes
        if self.is_short or self.held_bytes > self._bytes_max:
            self._reconsider()

    def may_read(self, reading: FetchState) -> bool:
        """Whether a connection may be read from."""
        return not self.is_short or reading is self._favoured

    def _reconsider(self) -> None:
        if not self.is_short:
            if self.held_bytes > self._bytes_max:
                self.is_short = True
                self._favour_next()
                self._tell_all()
        elif self.held_bytes <= self._enough_bytes:
            self.is_short = False
            self._favoured = None
            self._tell_all()
        elif self._favoured is None or not self._favoured.is_inside_frame:
            self._favour_next()

    def _favour_next(self) -> None:
        before = self._favoured
        self._favoured = next((each for each in self._held if each.is_inside_frame), None)
        for each in (before, self._favoured):
            if each is not None and each in self._held:
                each.read_or_not()

    def _tell_all(self) -> None:
        for each in list(self._held):
            each.read_or_not()
