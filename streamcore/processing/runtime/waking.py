"""Wakes the loop of a worker: a round has ended, a timer has failed, new records may be readable."""

from __future__ import annotations

import asyncio


class Waking:
    """An event to wait for. ``set`` and ``wait`` are for the event loop's thread."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_set = False
        self._waiter: asyncio.Future[None] | None = None

    def attach(self) -> None:
        """Use the running event loop; to be called before ``set_from_any_thread``."""
        self._loop = asyncio.get_running_loop()

    def set(self) -> None:
        """End the wait, or the next one."""
        self._is_set = True
        self._end_wait()

    def set_from_any_thread(self) -> None:
        """Set the event from another thread; without effect before ``attach``, or when the loop is closed."""
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self.set)

    async def wait(self, timeout_s: float) -> None:
        """Wait for ``set``, for ``timeout_s`` at most; return at once if it was called since."""
        loop = asyncio.get_running_loop()
        if not self._is_set:
            self._waiter = loop.create_future()
            handle = loop.call_later(timeout_s, self._end_wait)
            try:
                await self._waiter
            finally:
                handle.cancel()
                self._waiter = None
        self._is_set = False

    def _end_wait(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
