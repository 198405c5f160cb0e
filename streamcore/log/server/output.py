"""Sends answers, no faster than the peer takes them.

Records are read from their files in chunks, each after the peer has taken the bytes before it. So a slow peer
costs the memory of one chunk, not of the whole response. Data outside the system's page cache is read in a
thread, so that a reader of old data does not delay others.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from typing import Final, TypeAlias

from streamcore.errors import StorageError
from streamcore.log.storage.files import Bytes
from streamcore.log.storage.partition.partition_replies import StoredRecords

_CHUNK_BYTES: Final = 256 * 1024

Part: TypeAlias = bytes | bytearray | memoryview | StoredRecords


class Output:
    """The sending half of a connection. All methods run in the event loop."""

    def __init__(
        self, transport: asyncio.Transport, readers: Executor, on_drained: Callable[[], None]
    ) -> None:
        """``on_drained`` is called when another response may be sent again."""
        self._transport = transport
        self._readers = readers
        self._on_drained = on_drained
        self._loop = asyncio.get_running_loop()
        self._parts: deque[Part] = deque()
        self._is_paused = False
        self._is_reading = False
        self._is_closed = False
        transport.set_write_buffer_limits(high=_CHUNK_BYTES)

    @property
    def is_congested(self) -> bool:
        """Whether bytes wait because the peer does not take them."""
        return bool(self._parts) or self._is_paused

    def send(self, parts: Sequence[Part]) -> None:
        """Send parts after those that wait."""
        if self._is_closed:
            _close(parts)
            return
        self._parts.extend(parts)
        self._pump()

    def pause(self) -> None:
        """Stop sending: the peer does not take more."""
        self._is_paused = True

    def resume(self) -> None:
        """Send again: the peer has taken the bytes before."""
        self._is_paused = False
        self._pump()
        if not self.is_congested:
            self._on_drained()

    def close(self) -> None:
        """Close the files of parts that were not sent, because the connection is closed."""
        self._is_closed = True
        self._on_drained = _nobody_waits  # without this the connection would be part of a reference cycle
        if not self._is_reading:
            self._drop()

    def _drop(self) -> None:
        _close(self._parts)
        self._parts.clear()

    def _pump(self) -> None:
        while self._parts and not self._is_paused and not self._is_reading:
            part = self._parts[0]
            if not isinstance(part, StoredRecords):
                self._transport.write(part)
                self._parts.popleft()
                continue
            try:
                data = part.take_ready(_CHUNK_BYTES)
            except StorageError:
                self._transport.abort()
                return
            if data is None:
                self._is_reading = True
                self._readers.submit(part.take, _CHUNK_BYTES).add_done_callback(self._has_read)
                return
            self._write_records(part, data)

    def _write_records(self, part: StoredRecords, data: Bytes) -> None:
        self._transport.write(data)
        if not len(part):
            part.close()
            self._parts.popleft()

    def _has_read(self, reading: Future[Bytes]) -> None:
        """Send a chunk that a thread has read; called in that thread."""
        self._loop.call_soon_threadsafe(self._take_read, reading)

    def _take_read(self, reading: Future[Bytes]) -> None:
        self._is_reading = False
        if self._is_closed:
            self._drop()
            return
        part = self._parts[0]
        assert isinstance(part, StoredRecords)
        try:
            data = reading.result()
        except StorageError:
            self._transport.abort()
            return
        self._write_records(part, data)
        self._pump()
        if not self.is_congested:
            self._on_drained()


def _nobody_waits() -> None:
    pass


def _close(parts: Sequence[Part] | deque[Part]) -> None:
    for part in parts:
        if isinstance(part, StoredRecords):
            part.close()
