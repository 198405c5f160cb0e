"""Serves a log to Kafka's clients: an event loop in a thread of its own, over a log that is open here.

The log stays usable in this process meanwhile: threads and connections meet at the driver's lock.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

from streamcore.clock import Clock
from streamcore.errors import UsageError, fact_text
from streamcore.log.client.embedded import EmbeddedLog
from streamcore.log.server.connection import Connection
from streamcore.log.server.connections import Connections
from streamcore.log.server.listeners import Listener
from streamcore.log.server.parts import ListenerParts, ServerParts
from streamcore.log.server.request_memory import RequestMemory
from streamcore.log.server.runner import OperationRunner
from streamcore.log.server.settings import ServerSettings
from streamcore.log.wire.calls import Endpoint

_logger = logging.getLogger(__name__)

_READER_THREADS: Final = 4
_STOP_POLL_S: Final = 0.005


class Server:
    """A log, served. Not for a log of a simulated disk."""

    def __init__(
        self, log: EmbeddedLog, listeners: Sequence[Listener], clock: Clock, settings: ServerSettings
    ) -> None:
        self._log = log
        self._listeners = listeners
        self._clock = clock
        self._settings = settings
        self._thread = threading.Thread(target=self._run, name="streamcore-server", daemon=True)
        self._ready: Future[list[Endpoint]] = Future()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self.addresses: list[Endpoint] = []

    def start(self) -> None:
        """Listen; returns once connections are taken.

        Raises:
            UsageError: an address is not free, or not this machine's.
        """
        self._thread.start()
        self.addresses = self._ready.result()

    def stop(self) -> None:
        """Take no more connections, let requests that are under way end, and close."""
        if self._loop is not None and self._stopping is not None and self._thread.is_alive():
            with contextlib.suppress(RuntimeError):  # it is over already
                self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()

    # --- in the thread --------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=_new_event_loop) as runner:
                runner.run(self._serve())
        except BaseException as error:
            if not self._ready.done():
                self._ready.set_exception(error)
            else:
                _logger.exception("the server has ended")

    async def _serve(self) -> None:
        self._loop = loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        async with contextlib.AsyncExitStack() as undo:
            readers = undo.enter_context(
                ThreadPoolExecutor(_READER_THREADS, thread_name_prefix="streamcore-server-read")
            )
            runner = OperationRunner(self._log.driver, self._log.broker.unsynced, self._clock, loop)
            runner.start()
            undo.callback(runner.stop)
            parts = ServerParts(
                broker=self._log.broker,
                clock=self._clock,
                settings=self._settings,
                runner=runner,
                readers=readers,
                connections=Connections(self._settings),
                memory=RequestMemory(self._settings.request_bytes_max),
            )
            undo.push_async_callback(self._end_connections, parts)
            endpoints: list[Endpoint] = []
            for listener in self._listeners:
                server, endpoint = await self._listen(listener, parts)
                undo.callback(server.close)
                endpoints.append(endpoint)
            self._ready.set_result(endpoints)
            while not self._stopping.is_set():
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), self._settings.sweep_s)
                parts.connections.end_silent(self._clock.monotonic_s())

    async def _listen(self, listener: Listener, parts: ServerParts) -> tuple[asyncio.Server, Endpoint]:
        shared: ListenerParts | None = None

        def connected() -> Connection:
            assert shared is not None
            return Connection(shared)

        loop = asyncio.get_running_loop()
        try:
            server = await loop.create_server(connected, listener.host, listener.port, start_serving=False)
        except OSError as error:
            raise UsageError(
                f"cannot listen here ({error.strerror or error}): choose another address "
                + fact_text(listen=f"{listener.host}:{listener.port}")
            ) from error
        port = server.sockets[0].getsockname()[1]
        endpoint = Endpoint(listener.advertised_host, listener.advertised_port or port)
        shared = ListenerParts(parts, endpoint)
        await server.start_serving()
        return server, endpoint

    async def _end_connections(self, parts: ServerParts) -> None:
        """Let what is under way end, then close everything."""
        deadline_s = self._clock.monotonic_s() + self._settings.stop_s
        while len(parts.connections):
            is_late = self._clock.monotonic_s() >= deadline_s
            for connection in parts.connections:
                if is_late:
                    connection.abort()
                elif not connection.is_working:
                    connection.close()
            await asyncio.sleep(_STOP_POLL_S)


def _new_event_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()
