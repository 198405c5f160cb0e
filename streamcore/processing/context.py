"""The context of user code: the task of the current agent, and where ``send`` writes to.

A context variable holds it, so an agent that waits keeps its context while other agents run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

from streamcore.errors import InvalidTimestampError, UsageError, fact_text
from streamcore.model import Record
from streamcore.processing.topology.nodes import StoreSpec, TopicSpec
from streamcore.processing.topology.windows import RecordWindows


class Sender(Protocol):
    """Writes records to topics for user code."""

    def send(self, topic: TopicSpec, records: Iterable[Record[Any, Any]]) -> int:
        """Encode and write records; return their number."""


class TaskTable(Protocol):
    """The part of a table that belongs to one task."""

    def get(self, key: Any) -> Any:
        """Return the value, or ``None``."""

    def put(self, key: Any, value: Any) -> None:
        """Set a value."""

    def delete(self, key: Any) -> None:
        """Remove a key."""

    def items(self) -> Iterable[tuple[Any, Any]]:
        """Return all keys and values, in key order."""


class UserContext(Protocol):
    """What user code can reach while it runs: topics to send to, tables, the time of its event."""

    @property
    def sender(self) -> Sender:
        """The sender that ``topic.send`` uses."""

    def table(self, store: StoreSpec) -> TaskTable:
        """Return the part of a table that this code may use."""

    @property
    def event_time_ms(self) -> int | None:
        """The time of the current event; ``None`` without an event."""


_current: ContextVar[UserContext | None] = ContextVar("streamcore_user_context", default=None)


@contextmanager
def user_context(context: UserContext) -> Iterator[None]:
    """Run the block with this context."""
    token = _current.set(context)
    try:
        yield
    finally:
        _current.reset(token)


def current_sender(topic: str) -> Sender:
    """Return the sender of the current context.

    Raises:
        UsageError: no code of the application is running here.
    """
    context = _current.get()
    if context is None:
        raise UsageError(
            "send from an agent, a timer or a command of a running application; elsewhere use sc.connect: "
            + fact_text(topic=topic)
        )
    return context.sender


def window_starts_now(store: StoreSpec) -> list[int]:
    """Return the starts of the windows that hold the current event's time, earliest first.

    Sessions and sliding windows are found by the time itself.

    Raises:
        UsageError: there is no current event.
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
    if isinstance(store.windows, RecordWindows):
        return [event_time_ms]
    return store.windows.starts_of(event_time_ms)


def table_in_task(store: StoreSpec) -> TaskTable:
    """Return the current task's part of a table.

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
