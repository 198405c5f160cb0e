"""One call of an agent's function: its events, and the tables and topics that its code can use.

A lane is the context that the function's code runs in. The lane keeps the records that the code sends until
the event is part of a commit; writes to tables are journalled where they may have to be undone.

Every event has a number, which the context variables of its code carry. Code that outlives its event, such as
a task that was never awaited, carries an old number and is refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from streamcore.errors import UsageError, fact_text
from streamcore.model import Record
from streamcore.processing.context import Sender, TaskTable, user_context
from streamcore.processing.operators.batch import Batch
from streamcore.processing.operators.stateless import rows_of
from streamcore.processing.topology.made_records import encoded, made_record
from streamcore.processing.topology.nodes import StoreSpec, TopicSpec
from streamcore.state.write_back import EventJournal, WriteBack
from streamcore.state.written_sessions import WrittenSessions

if TYPE_CHECKING:
    from streamcore.processing.runtime.agents import AgentRunner

Rows: TypeAlias = Callable[[Batch], Iterable[Any]]

_event_number: ContextVar[int] = ContextVar("streamcore_event_number", default=0)

_CAREFUL_EVENTS: Final = 1_000
"""After a slow event, the writes of this many events can be undone, in case the agent is cancelled."""
_FEW_EVENTS: Final = 100
"""Events are slow if fewer than these fit into a turn of the event loop."""


class Lane:
    """One call of the agent's function, active from batch to batch."""

    def __init__(self, runner: AgentRunner) -> None:
        self.sent: list[tuple[int, TopicSpec, Record[Any, Any]]] = []
        """Index of the event, topic, record: of acknowledged events, and of the one under way."""
        self.index = -1
        """The index in the batch of the event under way; -1 for none."""
        self.attempts = 0
        """How often the event under way has failed, or the next one, if a cut came before its next try."""
        self.retry_at_s: float | None = None
        """When the event under way, which has failed, is tried again."""
        self.call: asyncio.Task[Any] | None = None
        self.is_cancelled = False
        """Whether the worker, not the application's code, cancelled the event under way."""
        self.is_doomed = False
        """Whether the event under way read writes of a failed one, and will be repeated."""
        self.depends_on: set[Lane] = set()
        """Lanes whose writes the event under way of this lane has read, while they are under way."""
        self.is_asking = False
        """Whether the code has asked for the next event."""
        self.journals: dict[str, EventJournal[Any]] = {}
        self.written_at: dict[tuple[str, Any], int] = {}
        """Table and key -> the number of this event's first write, among the writes of all lanes."""
        self.redo_index: int | None = None
        """The index in the batch of the event that a new call of the function begins with."""
        self._runner = runner
        self._number = 0
        self._sent_before = 0
        self._waiting: asyncio.Future[None] | None = None
        self._may_be_careless = runner.stops
        self._careful_until = _CAREFUL_EVENTS if runner.stops else 2**63
        """The last event whose writes are journalled."""
        if runner.stops and runner.node.concurrency > 1:
            self._may_be_careless, self._careful_until = False, -1
        self._tables: dict[int, TaskTable] = {}
        self._turn_number = 0
        self._touched = -1

    # -- the engine's side

    def resume(self) -> None:
        """Start the function, or wake it where it waits for an event."""
        if self.call is None:
            self.is_cancelled = False
            loop = asyncio.get_running_loop()
            with user_context(self):
                token = _event_number.set(self._number)
                self.call = loop.create_task(
                    _called(self, self._runner.node.function), name=self._runner.node.name
                )
                _event_number.reset(token)
            self.call.add_done_callback(lambda _: self._runner.call_ended(self))
        elif self._waiting is not None:
            waiting, self._waiting = self._waiting, None
            if not waiting.done():
                waiting.set_result(None)

    @property
    def is_waiting(self) -> bool:
        """Whether the function waits for an event."""
        return self._waiting is not None

    @property
    def can_be_taken_back(self) -> bool:
        """Whether all table writes of the event under way are journalled."""
        return self._touched != self._number

    def take_back(self) -> None:
        """Undo the writes of the event under way, and drop the records that it sent."""
        for name, journal in self.journals.items():
            self._runner.stores[name].rollback_event(journal)
        self.journals = {}
        self.written_at = {}
        self.depends_on = set()
        del self.sent[self._sent_before :]

    def end_event(self) -> None:
        """End the event under way, acknowledged or not: its code is refused from now on."""
        self.index = -1
        self._number += 1

    async def close(self) -> None:
        """Cancel the function. A function that does not end within a second is abandoned."""
        self.end_event()
        self.is_cancelled = True
        call, self.call = self.call, None
        if call is not None and not call.done():
            call.cancel()
            await asyncio.wait((call,), timeout=1)

    # -- the function's side

    def events(self, rows: Rows) -> AsyncIterator[Any]:
        """Yield the rows of batch after batch; a request for the next row acknowledges the row before."""
        return self._alone(rows) if len(self._runner.lanes) == 1 else self._among_others(rows)

    async def _alone(self, rows: Rows) -> AsyncIterator[Any]:
        """Yield the events of an agent with one lane, as most agents have."""
        runner = self._runner
        turn, monotonic_s, sent = runner.turn, runner.turn.monotonic_s, self.sent
        while True:
            listed = runner.rows(rows)
            end = len(listed)
            while (index := runner.next_index) < end:
                if monotonic_s() >= turn.yield_at_s:
                    turn.cut_if_due()
                    if turn.is_cut and runner.is_boundary(index):
                        break
                    await self._give_way()
                runner.next_index = index + 1
                self.index = index
                self._sent_before = len(sent)
                self._number = number = self._number + 1
                _event_number.set(number)
                yield listed[index]
                if self.journals:
                    self._keep_writes()
                self.attempts = 0
            await self._next()

    async def _among_others(self, rows: Rows) -> AsyncIterator[Any]:
        """Yield the events of one lane of several. Each lane takes the next event of the batch."""
        runner = self._runner
        while True:
            if runner.turn.monotonic_s() >= runner.turn.yield_at_s:
                runner.turn.cut_if_due()
                await self._give_way()
            index = runner.take(self) if self.redo_index is None else self.redo_index
            if index is None:
                await self._next()
                continue
            self.redo_index = None
            self._begin(index)
            yield runner.rows(rows)[index]
            while not await self._acknowledged():
                self._begin(index)
                yield runner.rows(rows)[index]
            runner.acknowledged(self)

    async def _give_way(self) -> None:
        """Yield to the event loop. Where events take long, the writes of the next can be undone."""
        if self._may_be_careless and self._number - self._turn_number < _FEW_EVENTS:
            self._careful_until = self._number + _CAREFUL_EVENTS
        await asyncio.sleep(0)
        self._turn_number = self._number
        self._runner.turn.was_given()

    def _begin(self, index: int) -> None:
        self.index = index
        self.is_asking = self.is_doomed = False
        self._sent_before = len(self.sent)
        self._number += 1
        _event_number.set(self._number)

    async def _acknowledged(self) -> bool:
        """Whether the event under way is done: it waits for the events whose writes it has read."""
        self.is_asking = True
        while not self.is_doomed:
            if self._runner.may_acknowledge(self):
                self._keep_writes()
                return True
            self._waiting = asyncio.get_running_loop().create_future()
            await self._waiting
        self.take_back()
        return False

    async def _next(self) -> None:
        """Wait until there may be an event."""
        self.end_event()
        self._waiting = asyncio.get_running_loop().create_future()
        self._runner.lane_waits()
        await self._waiting

    def _keep_writes(self) -> None:
        for name in self.journals:
            self._runner.stores[name].end_event()
        self.journals = {}
        self.written_at = {}
        self.depends_on = set()

    @property
    def sender(self) -> Sender:
        """The sender of the function."""
        return self

    def send(self, topic: TopicSpec, records: Iterable[Record[Any, Any]]) -> int:
        """Keep records for the commit that the event will be part of.

        Raises:
            UsageError: the code has outlived its event, the application does not have the topic, or the topic
                does not have the partition.
            InvalidRecordError: a time or headers that no record can have.
            RecordTooLargeError: a record is larger than the topic allows.
            SerdeError: a key or value that is not of the topic's type.
        """
        self._ensure_under_way(topic=topic.name)
        sink = self._runner.sink(topic)
        index, sent = max(0, self.index), []
        for record in records:
            if record.partition != -1:
                sink.ensure_partition(record)
            made = encoded(topic, made_record(record))
            sink.ensure_fits(made)
            sent.append((index, topic, made))
        self.sent += sent
        return len(sent)

    @property
    def event_time_ms(self) -> int | None:
        """The time of the current event."""
        batch = self._runner.batch
        return None if batch is None or self.index < 0 else batch.timestamps_ms[self.index]

    def table(self, store: StoreSpec) -> TaskTable:
        """Return the task's part of a table; under a policy that continues, writes can be undone.

        Raises:
            UsageError: the code has outlived its event.
        """
        number = self._number
        if _event_number.get() != number:
            self._ensure_under_way(table=store.name)
        if number > self._careful_until:
            self._touched = number
            found = self._tables.get(id(store))
            if found is None:
                found = self._tables[id(store)] = self._runner.table_of(store)
            return found
        runner = self._runner
        found = runner.table_of(store)
        if store.is_kept_by_step:  # it is only read here
            return found
        write_back = runner.stores[store.name]
        if runner.node.concurrency > 1:
            return SharedTable(self, write_back, is_windowed=store.windows is not None)
        return self.record_writes(write_back)

    def record_writes(self, write_back: WriteBack[Any, Any]) -> WriteBack[Any, Any]:
        """Journal the overwritten values of a store from here, until the event ends."""
        journal = self.journals.get(write_back.store)
        if journal is None:
            journal = self.journals[write_back.store] = write_back.begin_event()
        write_back.journal = journal
        return write_back

    def reads(self, store: str, key: Any) -> None:
        """Record that the event reads a key of a table, or any key for ``ANY``.

        ``key`` is its identity in the store's journals.
        """
        self._runner.note_use(self, store, key)

    def writes(self, store: str, key: Any, own_key: Any) -> None:
        """Record that the event writes a key of a table; ``own_key`` is compared with the event's key."""
        runner, batch = self._runner, self._runner.batch
        runner.note_use(self, store, key)
        self.written_at.setdefault((store, key), runner.next_write())
        if batch is None or self.index < 0 or own_key != batch.keys[self.index]:
            runner.note_foreign_write(store)

    def _ensure_under_way(self, **facts: object) -> None:
        if _event_number.get() != self._number:
            raise UsageError(
                "the event is over: await what an event starts before asking for the next one; other work "
                "belongs into a timer, or into an agent on a topic: "
                + fact_text(agent=self._runner.node.name, **facts)
            )


ANY = object()
"""Stands for every key of a table."""


class SharedTable:
    """A table as one of several events under way sees it."""

    def __init__(self, lane: Lane, table: WriteBack[Any, Any], *, is_windowed: bool) -> None:
        self._lane = lane
        self._table = table
        self._is_windowed = is_windowed

    def get(self, key: Any) -> Any:
        """Return the value, or ``None``."""
        self._lane.reads(self._table.store, self._table.identity(key))
        return self._table.get(key)

    def touching(self, key: Any, at_ms: int) -> list[Any]:
        """Return the values of the sessions near a time, of a table of sessions."""
        assert isinstance(self._table, WrittenSessions)
        self._lane.reads(self._table.store, self._table.identity((key, at_ms)))
        return self._table.touching(key, at_ms)

    def put(self, key: Any, value: Any) -> None:
        """Set a value."""
        self._note_write(key)
        self._lane.record_writes(self._table).put(key, value)

    def delete(self, key: Any) -> None:
        """Remove a key."""
        self._note_write(key)
        self._lane.record_writes(self._table).delete(key)

    def items(self) -> Iterable[tuple[Any, Any]]:
        """Return all keys and values, in key order."""
        self._lane.reads(self._table.store, ANY)
        return self._table.items()

    def _note_write(self, key: Any) -> None:
        own_key = key[0] if self._is_windowed else key
        self._lane.writes(self._table.store, self._table.identity(key), own_key)


class Events:
    """The argument of an agent's function: an iterator over its events."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane

    def __aiter__(self) -> AsyncIterator[Any]:
        return self._lane.events(_values)

    def items(self) -> AsyncIterator[tuple[Any, Any]]:
        """Iterate over pairs of key and value."""
        return self._lane.events(_items)

    def records(self) -> AsyncIterator[Record[Any, Any]]:
        """Iterate over the records."""
        return self._lane.events(rows_of)


def _values(batch: Batch) -> list[Any]:
    return batch.values


def _items(batch: Batch) -> Iterable[tuple[Any, Any]]:
    return zip(batch.keys, batch.values, strict=True)


class RaisedByCode(Exception):
    """Carries errors out of a task that asyncio treats specially: cancellation, and errors that end
    programs.
    """


async def _called(lane: Lane, function: Callable[..., Any]) -> None:
    try:
        await function(Events(lane))
    except asyncio.CancelledError as error:
        if lane.is_cancelled:
            raise
        raise RaisedByCode from error
    except (KeyboardInterrupt, SystemExit) as error:
        raise RaisedByCode from error
