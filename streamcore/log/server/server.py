"""Serves an open log to Kafka clients, with an event loop in a thread of its own.

This process can use the log at the same time: threads and connections share the driver's lock.
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
from streamcore.errors import ServerFailedError, with_facts
from streamcore.log.api.calls import Endpoint
from streamcore.log.broker.access.authorizer import Authorizer
from streamcore.log.node.node import Node
from streamcore.log.server.connection import Connection
from streamcore.log.server.connections import Connections
from streamcore.log.server.descriptors import make_room
from streamcore.log.server.grouped_produce import GroupedProduce
from streamcore.log.server.listeners import Listener
from streamcore.log.server.listening import listening_sockets
from streamcore.log.server.parts import ListenerParts, ServerParts
from streamcore.log.server.passwords import PasswordThread
from streamcore.log.server.request_memory import RequestMemory
from streamcore.log.server.runner import OperationRunner
from streamcore.log.server.security import Security
from streamcore.log.server.settings import ServerSettings
from streamcore.log.server.tls import TlsContexts
from streamcore.log.server.tls_arrivals import TlsAcceptor

_logger = logging.getLogger(__name__)

_READER_THREADS: Final = 4
_STOP_POLL_S: Final = 0.005


class Server:
    """A log that is served. Not for a log of a simulated disk."""

    def __init__(
        self,
        node: Node,
        listeners: Sequence[Listener],
        clock: Clock,
        settings: ServerSettings,
        security: Security,
    ) -> None:
        """Raises ``UsageError`` if the security settings lack something that the listeners need."""
        security.ensure_fits(listeners)
        self._node = node
        self._listeners = listeners
        self._clock = clock
        self._settings = settings
        self._security = security
        self._contexts = None if security.tls is None else TlsContexts(security.tls, clock)
        self._thread = threading.Thread(target=self._run, name="streamcore-server", daemon=True)
        self._ready: Future[list[Endpoint]] = Future()
        self._failure: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self.addresses: list[Endpoint] = []

    def start(self) -> None:
        """Listen; return after connections are accepted.

        Raises:
            UsageError: an address is in use, or not one of this machine.
        """
        make_room(self._settings.connections_max)
        self._thread.start()
        self.addresses = self._ready.result()

    @property
    def listening(self) -> list[str]:
        """Where clients connect, and how, listener by listener."""
        return [
            f"{listener.scheme.value}://{listener.advertised_host or listener.host or '*'}:{address.port}"
            for listener, address in zip(self._listeners, self.addresses, strict=True)
        ]

    def reload_certificates(self) -> None:
        """Read the files of the TLS certificates again, for new connections; from any thread.

        Raises:
            UsageError: a file is not valid; the certificates read before stay in use.
        """
        if self._contexts is not None:
            self._contexts.reload()

    def stop(self) -> None:
        """Accept no more connections, complete the requests that are under way, and close.

        Raises:
            ServerFailedError: the server had stopped because of an error.
        """
        if self._loop is not None and self._stopping is not None and self._thread.is_alive():
            with contextlib.suppress(RuntimeError):  # it has ended already
                self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()
        self.ensure_serving()

    def ensure_serving(self) -> None:
        """Raise ``ServerFailedError`` if the server has stopped because of an error."""
        if self._failure is not None:
            raise ServerFailedError(
                with_facts(
                    "the server has stopped because of a bug: start it again, and report "
                    "what the program has logged",
                    error=repr(self._failure),
                )
            ) from self._failure

    # --- in the thread --------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=_new_event_loop) as runner:
                runner.run(self._serve())
        except BaseException as error:
            if not self._ready.done():
                self._ready.set_exception(error)
            else:
                self._failure = error
                _logger.exception("the server has stopped because of an error")

    async def _serve(self) -> None:
        self._loop = loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        async with contextlib.AsyncExitStack() as undo:
            readers = undo.enter_context(
                ThreadPoolExecutor(_READER_THREADS, thread_name_prefix="streamcore-server-read")
            )
            runner = OperationRunner(self._node.driver, self._node.broker.unsynced, self._clock, loop)
            runner.start()
            produce = GroupedProduce(self._node.broker, self._node.driver, loop, runner.ask_sync)
            runner.on_progress = produce.progressed
            runner.before_sync = produce.write
            undo.callback(runner.stop)
            passwords = PasswordThread(self._node.driver)
            undo.callback(passwords.stop)
            parts = ServerParts(
                broker=self._node.broker,
                clock=self._clock,
                settings=self._settings,
                runner=runner,
                produce=produce,
                readers=readers,
                connections=Connections(self._settings),
                memory=RequestMemory(self._settings.request_bytes_max),
                passwords=passwords,
                authorizer=self._authorizer(),
            )
            undo.push_async_callback(self._end_connections, parts)
            endpoints = [await self._listen(listener, parts, undo) for listener in self._listeners]
            self._ready.set_result(endpoints)
            while not self._stopping.is_set():
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), self._settings.sweep_s)
                parts.connections.end_silent(self._clock.monotonic_s())

    def _authorizer(self) -> Authorizer | None:
        if not self._security.authorize:
            return None
        return Authorizer(
            self._node.broker.access_rules,
            super_users=self._security.super_users,
            allows_where_no_rule_is=self._security.allow_if_no_rule,
        )

    async def _listen(
        self, listener: Listener, parts: ServerParts, undo: contextlib.AsyncExitStack
    ) -> Endpoint:
        """Accept the connections of a listener."""
        loop = asyncio.get_running_loop()
        scheme = listener.scheme
        sockets = listening_sockets(listener)
        port = sockets[0].getsockname()[1]
        sasl = self._security.sasl_settings(scheme) if scheme.has_sasl else None
        shared = ListenerParts(parts, listener, port, sasl)
        for listening in sockets:
            undo.callback(listening.close)
            if self._contexts is not None and scheme.has_tls:
                accepting = loop.create_task(TlsAcceptor(shared, listening, self._contexts).run())
                undo.push_async_callback(_end, accepting)
            else:
                server = await loop.create_server(lambda: Connection(shared), sock=listening)
                undo.callback(server.close)
        return Endpoint(listener.local_host, listener.advertised_port or port)

    async def _end_connections(self, parts: ServerParts) -> None:
        """Complete the requests that are under way, then close all connections."""
        deadline_s = self._clock.monotonic_s() + self._settings.stop_s
        while len(parts.connections):
            is_late = self._clock.monotonic_s() >= deadline_s
            for connection in parts.connections:
                if is_late:
                    connection.abort()
                elif not connection.is_working:
                    connection.close()
            await asyncio.sleep(_STOP_POLL_S)


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def _new_event_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()
