"""What user code runs in: the task of the agent at hand, and where its ``send`` goes.

A context variable holds it, so agents that wait for something keep theirs while others run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

from streamcore.errors import InvalidTimestampError, UsageError, fact_text
from streamcore.model import Record
from streamcore.processing.topology.nodes import StoreSpec, TopicSpec


class Sender(Protocol):
    """Writes records to topics for user code."""

    def send(self, topic: TopicSpec, records: Iterable[Record[Any, Any]]) -> int:
        """Encode and write; return how many."""


class TaskTable(Protocol):
    """One task's part of a table."""

    def get(self, key: Any) -> Any:
        """The value, or ``None``."""

    def put(self, key: Any, value: Any) -> None:
        """Set a value."""

    def delete(self, key: Any) -> None:
        """Remove a key."""

    def items(self) -> Iterable[tuple[Any, Any]]:
        """All keys and values, in key order."""


class UserContext(Protocol):
    """What stands behind user code while it runs."""

    @property
    def sender(self) -> Sender:
        """Where ``topic.send`` goes."""

    def table(self, store: StoreSpec) -> TaskTable:
        """The part of a table that this code may use."""

    @property
    def event_time_ms(self) -> int | None:
        """The time of the event at hand; ``None`` where there is none."""


_current: ContextVar[UserContext | None] = ContextVar("streamcore_user_context", default=None)


@contextmanager
def user_context(context: UserContext) -> Iterator[None]:
    """Run a block with this context."""
    token = _current.set(context)
    try:
        yield
    finally:
        _current.reset(token)


def current_sender(topic: str) -> Sender:
    """Where records go now.

    Raises:
        UsageError: nothing of the application is running here.
    """
    context = _current.get()
    if context is None:
        raise UsageError(
            "send from an agent, a timer or a command of a running application; elsewhere use sc.connect: "
            + fact_text(topic=topic)
        )
    return context.sender


def window_start_now(store: StoreSpec) -> int:
    """The start of the window that the event at hand falls in; of several the last.

    Raises:
        UsageError: no event is at hand here.
        InvalidTimestampError: the event has no time.
    """
    assert store.windows is not None
    context = _current.get()
    event_time_ms = None if context is None else context.event_time_ms
    if event_time_ms is None:
        raise UsageError(
            "name the window of a windowed table, table.get(key, at=time); only agents have an event whose "
            "time names it: " + fact_text(table=store.name)
        )
    if event_time_ms < 0:
        raise InvalidTimestampError(
            "the event has no time, so it falls in no window; set the timestamp where the record is "
            f"produced, or declare timestamp= on its topic: {fact_text(table=store.name)}"
        )
    return store.windows.starts_of(event_time_ms)[-1]


def table_in_task(store: StoreSpec) -> TaskTable:
    """The current task's part of a table.

    Raises:
        UsageError: there is no task here, or it does not own this table.
    """
    context = _current.get()
    if context is None:
        raise UsageError(
            "tables are read and written by the application's own functions while it runs; from outside use "
            "running.table(name): " + fact_text(table=store.name)
        )
    return context.table(store)
