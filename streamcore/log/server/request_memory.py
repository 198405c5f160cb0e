"""Bounds the memory that requests of all connections take while they are received and answered.

When the memory is used up, no connection is read from; requests under way are answered, and release memory.
But unfinished frames may hold the memory, and only more bytes complete them. So one connection at a time, the
one whose frame began first, is read from even then. The bound is therefore ``bytes_max`` and one frame.
"""

from __future__ import annotations

from typing import Protocol


class ReadConnection(Protocol):
    """A connection, as the memory bound uses it."""

    @property
    def is_inside_frame(self) -> bool:
        """Whether a frame has begun and is not complete."""

    def read_or_not(self) -> None:
        """Decide again whether to read from the peer."""


class RequestMemory:
    """The memory held, and the connections that may read while it is used up."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._enough_bytes = bytes_max * 3 // 4
        self._held: dict[ReadConnection, int] = {}
        self._favoured: ReadConnection | None = None
        self.held_bytes = 0
        self.is_short = False

    def add(self, connection: ReadConnection) -> None:
        """Register a connection."""
        self._held[connection] = 0

    def remove(self, connection: ReadConnection) -> None:
        """Remove a closed connection, with the memory that it held."""
        self.held_bytes -= self._held.pop(connection)
        if connection is self._favoured:
            self._favoured = None
        self._reconsider()

    def hold(self, connection: ReadConnection, size_bytes: int) -> None:
        """Set the bytes that a connection holds."""
        self.held_bytes += size_bytes - self._held[connection]
        self._held[connection] = size_bytes
        if self.is_short or self.held_bytes > self._bytes_max:
            self._reconsider()

    def may_read(self, connection: ReadConnection) -> bool:
        """Whether a connection may be read from."""
        return not self.is_short or connection is self._favoured

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
