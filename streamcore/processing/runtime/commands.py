"""Runs a command of an application: a function with ``@app.command()``, outside all tasks.

A command may write topics with ``topic.send``, ``topic.send_many`` and ``topic.send_and_wait``, which go
to the log, in a data folder or behind a broker, at once. The log is opened at the first use, so a command
that does not use it creates no folder. The application's topics are created then, as a worker does.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from streamcore.clock import SystemClock
from streamcore.errors import UsageError, fact_text
from streamcore.log.client.port import Producer
from streamcore.log.connect import broker_place, connect
from streamcore.log.connected_log import ConnectedLog
from streamcore.processing.context import TaskTable, user_context
from streamcore.processing.runtime.sending import DirectSender
from streamcore.processing.runtime.topics import ensure_topics, topics_read_before
from streamcore.processing.topology.application import DeclaredApplication, ensure_application
from streamcore.processing.topology.nodes import StoreSpec


class CommandContext:
    """The context of a command while it runs: the log, and a sender to it."""

    def __init__(
        self,
        app: DeclaredApplication,
        data: Path | str,
        *,
        broker: str | None = None,
        security: Mapping[str, str] | None = None,
        durability: Literal["durable", "relaxed"] = "durable",
    ) -> None:
        """Create the context; nothing is opened yet. With a broker, the folder is not used."""
        ensure_application(app)
        self._app = app
        self._where = data if broker is None else broker_place(broker)
        self._security = security
        self._durability = durability
        self._log: ConnectedLog | None = None
        self._producer: Producer | None = None

    @property
    def log(self) -> ConnectedLog:
        """The log; opened, and its topics created, at the first use.

        Raises:
            DirectoryInUseError: another process uses the folder.
            RequestTimeoutError: the broker does not answer.
            TopologyError: the application does not fit this log.
        """
        if self._log is None:
            log = connect(self._where, durability=self._durability, security=self._security)
            try:
                read_before = topics_read_before(log, self._app.app_id)
                self._counts = ensure_topics(log, self._app.declared(), read_before)
            except BaseException:
                log.close()
                raise
            self._log = log
        return self._log

    @cached_property
    def sender(self) -> DirectSender:
        """The sender that ``topic.send`` uses; records are durable when it returns."""
        self._producer = self.log.producer_port()
        return DirectSender(self._producer, self._counts, SystemClock())

    @property
    def event_time_ms(self) -> None:
        """``None``: a command has no event."""

    def table(self, store: StoreSpec) -> TaskTable:
        """Raise ``UsageError``: commands belong to no task, so they have no table."""
        raise UsageError(
            "a command belongs to no partition; write tables in agents, read them with "
            f"`streamcore tables` or sc.run: {fact_text(table=store.name)}"
        )

    def call(self, function: Callable[..., Any], arguments: dict[str, Any]) -> Any:
        """Run a function of the application, plain or async, in this context; return its result."""
        with user_context(self):
            if inspect.iscoroutinefunction(function):
                return asyncio.run(function(**arguments))
            return function(**arguments)

    def close(self) -> None:
        """Wait for the records that were sent and release the folder."""
        producer, self._producer = self._producer, None
        log, self._log = self._log, None
        try:
            if producer is not None:
                producer.close()
        finally:
            if log is not None:
                log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
