"""Runs agents: user coroutines that iterate over events.

An agent is called once and then lives on across batches: while a batch lasts its ``async for`` never
touches the event loop; between batches it waits. Asking for the next event acknowledges the one before;
an event whose code raises is never acknowledged, its policy decides. Under a policy that goes on
(skip, retry, dead letter) what the failed event wrote to tables and topics is taken back first.

With ``concurrency=n`` there are n lanes, each a call of the function of its own. A key always takes the
same lane, so events of one key keep their order.

Where writes can be taken back, an event must not see those of another that is still under way: it is
interrupted at the table, taken back, and done again once the other is acknowledged.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Any

from streamcore.errors import UserCodeError, fact_text
from streamcore.model import Headers, Record
from streamcore.processing.context import Sender, TaskTable, user_context
from streamcore.processing.operators.batch import Batch
from streamcore.processing.operators.guard import Guard
from streamcore.processing.operators.sinks import SinkOperator
from streamcore.processing.operators.stateless import rows_of
from streamcore.processing.topology.error_policy import ErrorPolicy, Retry, Stop
from streamcore.processing.topology.nodes import AgentNode, StoreSpec, TopicSpec
from streamcore.state.write_back import EventJournal, WriteBack


class AgentRunner:
    """One agent in one task."""

    def __init__(
        self,
        node: AgentNode,
        guard: Guard,
        policy: ErrorPolicy,
        table_of: Callable[[StoreSpec], TaskTable],
        stores: Mapping[str, WriteBack[Any, Any]],
        sink_for: Callable[[TopicSpec, Guard], SinkOperator],
        wait_ms: Callable[[int], None],
    ) -> None:
        self.node = node
        self.guard = guard
        self.policy = policy
        self.table_of = table_of
        self.stores = stores
        self.wait_ms = wait_ms
        self._sink_for = sink_for
        self._sinks: dict[str, SinkOperator] = {}
        self.lanes = [_Lane(self) for _ in range(node.concurrency)]

    async def process(self, batch: Batch) -> None:
        """Have every event of the batch acknowledged, then hand on what was sent."""
        if len(self.lanes) == 1:
            await self.lanes[0].run(batch)
        else:
            parts: list[list[int]] = [[] for _ in self.lanes]
            for position, key in enumerate(batch.keys):
                lane = position if key is None else hash(key)
                parts[lane % len(parts)].append(position)
            # The first failure ends the batch; the other lanes are cancelled when the task closes.
            await asyncio.gather(
                *(lane.run(batch.take(part)) for lane, part in zip(self.lanes, parts, strict=True) if part)
            )
        self._hand_on(batch)

    def _hand_on(self, batch: Batch) -> None:
        sent: list[tuple[int, TopicSpec, Record[Any, Any], int]] = []
        for lane in self.lanes:
            sent += lane.sent
            lane.sent = []
        if not sent:
            return
        if len(self.lanes) > 1:
            sent.sort(key=lambda item: item[0])
        by_topic: dict[str, list[tuple[int, TopicSpec, Record[Any, Any], int]]] = {}
        for item in sent:
            by_topic.setdefault(item[1].name, []).append(item)
        for items in by_topic.values():
            sink = self.sink(items[0][1])
            headers: list[Headers] | None = None
            if any(record.headers for _, _, record, _ in items):
                headers = [record.headers for _, _, record, _ in items]
            sink.process(
                Batch(
                    [record.key for _, _, record, _ in items],
                    [record.value for _, _, record, _ in items],
                    [
                        record.timestamp_ms if record.timestamp_ms >= 0 else event_time_ms
                        for _, _, record, event_time_ms in items
                    ],
                    [origin for origin, _, _, _ in items],
                    headers,
                    batch.source,
                )
            )

    def sink(self, topic: TopicSpec) -> SinkOperator:
        """What writes to a topic. Raises ``UsageError`` for one that the application does not have."""
        sink = self._sinks.get(topic.name)
        if sink is None:
            sink = self._sinks[topic.name] = self._sink_for(topic, self.guard)
        return sink

    async def close(self) -> None:
        """Cancel the lanes."""
        for lane in self.lanes:
            await lane.close()


class _Lane:
    """One call of the agent's function, fed with batches. Also the context that its code runs in."""

    def __init__(self, runner: AgentRunner) -> None:
        self.sent: list[tuple[int, TopicSpec, Record[Any, Any], int]] = []
        self._runner = runner
        self._stops = isinstance(runner.policy, Stop)
        self._batch: Batch | None = None
        self._position = -1
        self._call: asyncio.Task[Any] | None = None
        self._arrived: asyncio.Future[None] | None = None
        self._finished: asyncio.Future[None] | None = None
        self._journals: dict[str, EventJournal[Any]] = {}
        self._sent_before = 0
        self._in_the_way: _Lane | None = None
        self._waiting: list[asyncio.Future[None]] = []

    # -- the engine's side

    async def run(self, batch: Batch) -> None:
        """Feed a batch; return when its last event is acknowledged."""
        self._batch = batch
        self._position = -1
        attempts = 0
        failed_position = -1
        while True:
            error = await self._until_finished()
            if error is None:
                return
            self._call = None
            position = self._position
            other, self._in_the_way = self._in_the_way, None
            if other is not None:
                self._roll_back()
                self._position = position - 1
                await other.until_acknowledged()
                continue
            assert isinstance(error, Exception)
            if position < 0:
                raise UserCodeError(
                    "an agent failed before its first event: "
                    + fact_text(agent=self._runner.node.name, error=repr(error))
                ) from error
            if position != failed_position:
                attempts, failed_position = 0, position
            attempts += 1
            self._roll_back()
            policy = self._runner.policy
            if isinstance(policy, Retry) and attempts <= policy.times:
                self._runner.wait_ms(policy.wait_ms(attempts))
                self._position = position - 1
                continue
            self._runner.guard.failed(batch, position, error)

    async def until_acknowledged(self) -> None:
        """Wait until the event at hand is acknowledged or taken back."""
        if self._journals:
            ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(ended)
            await ended

    async def _until_finished(self) -> BaseException | None:
        """Let the function work on the batch; return what it raised, ``None`` if it asked for more."""
        finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._finished = finished
        if self._call is None:
            with user_context(self):
                self._call = asyncio.get_running_loop().create_task(
                    self._runner.node.function(_Events(self)), name=self._runner.node.name
                )
        elif self._arrived is not None:
            self._arrived.set_result(None)
            self._arrived = None
        await asyncio.wait((finished, self._call), return_when=asyncio.FIRST_COMPLETED)
        if finished.done():
            return None
        call = self._call
        if call.cancelled():
            raise asyncio.CancelledError
        error = call.exception()
        if error is None:
            return UserCodeError(
                "the agent returned while its stream goes on; loop with 'async for' until it ends by itself"
            )
        if not isinstance(error, Exception) and self._in_the_way is None:
            raise error
        return error

    async def close(self) -> None:
        """Cancel the function."""
        for waiting in self._waiting:
            waiting.cancel()
        if self._call is not None and not self._call.done():
            self._call.cancel()
            await asyncio.wait((self._call,))
        self._call = None

    def _roll_back(self) -> None:
        for name, journal in self._journals.items():
            self._runner.stores[name].rollback_event(journal)
        del self.sent[self._sent_before :]
        self._let_go()

    def _let_go(self) -> None:
        """Nothing of the event can be taken back any more: others may use what it wrote."""
        self._journals = {}
        waiting, self._waiting = self._waiting, []
        for ended in waiting:
            if not ended.done():
                ended.set_result(None)

    # -- the function's side

    async def events(self, rows: Callable[[Batch], Iterable[Any]]) -> AsyncIterator[Any]:
        """Yield the rows of batch after batch; being asked again acknowledges the row before."""
        while True:
            batch = await self._next_batch()
            start = self._position + 1
            for row in list(rows(batch))[start:]:
                self._acknowledge()
                self._position += 1
                self._sent_before = len(self.sent)
                yield row
            self._acknowledge()

    def _acknowledge(self) -> None:
        if self._in_the_way is not None:
            # The code caught what should have interrupted it: its event is not done all the same.
            raise _Interrupted
        if self._journals:
            self._let_go()

    async def _next_batch(self) -> Batch:
        batch = self._batch
        if batch is None or self._position + 1 >= len(batch):
            arrived: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._arrived = arrived
            if self._finished is not None and not self._finished.done():
                self._finished.set_result(None)
            await arrived
            batch = self._batch
            assert batch is not None
        return batch

    @property
    def sender(self) -> Sender:
        """Where the function's sends go."""
        return self

    def send(self, topic: TopicSpec, records: Iterable[Record[Any, Any]]) -> int:
        """Keep records for the end of the batch; they are part of its commit."""
        self._runner.sink(topic)
        batch = self._batch
        assert batch is not None
        position = max(0, self._position)
        origin = batch.origins[position]
        event_time_ms = batch.timestamps_ms[position]
        count = 0
        for record in records:
            self.sent.append((origin, topic, record, event_time_ms))
            count += 1
        return count

    @property
    def event_time_ms(self) -> int | None:
        """The time of the event at hand."""
        batch = self._batch
        return None if batch is None or self._position < 0 else batch.timestamps_ms[self._position]

    def table(self, store: StoreSpec) -> TaskTable:
        """The task's part of a table; under a policy that goes on, writes can be taken back."""
        found = self._runner.table_of(store)
        if self._stops:
            return found
        write_back = self._runner.stores[store.name]
        if self._runner.node.concurrency > 1:
            return _SharedTable(self, write_back)
        return self.record_writes(write_back)

    def record_writes(self, write_back: WriteBack[Any, Any]) -> WriteBack[Any, Any]:
        """Have the event's journal of a store remember what is overwritten from here."""
        journal = self._journals.get(write_back.store)
        if journal is None:
            journal = self._journals[write_back.store] = write_back.begin_event()
        write_back.journal = journal
        return write_back

    def make_sure_of(self, store: str, key: Any) -> None:
        """Interrupt this event if another one that is under way wrote the key, or any key for ``_ANY``.

        ``key`` is what stands for it in the store's journals.
        """
        for other in self._runner.lanes:
            if other is not self:
                journal = other._journals.get(store)
                if journal is not None and (journal.before if key is _ANY else key in journal.before):
                    self._in_the_way = other
                    raise _Interrupted


_ANY = object()


class _Interrupted(BaseException):
    """Ends an event that needs what another one wrote and may still take back; it is done again later."""


class _SharedTable:
    """A table as one of several events under way sees it."""

    def __init__(self, lane: _Lane, table: WriteBack[Any, Any]) -> None:
        self._lane = lane
        self._table = table

    def get(self, key: Any) -> Any:
        """The value, or ``None``."""
        self._lane.make_sure_of(self._table.store, self._table.identity(key))
        return self._table.get(key)

    def put(self, key: Any, value: Any) -> None:
        """Set a value."""
        self._lane.make_sure_of(self._table.store, self._table.identity(key))
        self._lane.record_writes(self._table).put(key, value)

    def delete(self, key: Any) -> None:
        """Remove a key."""
        self._lane.make_sure_of(self._table.store, self._table.identity(key))
        self._lane.record_writes(self._table).delete(key)

    def items(self) -> Iterable[tuple[Any, Any]]:
        """All keys and values, in key order."""
        self._lane.make_sure_of(self._table.store, _ANY)
        return self._table.items()


class _Events:
    """What an agent iterates over."""

    def __init__(self, lane: _Lane) -> None:
        self._lane = lane

    def __aiter__(self) -> AsyncIterator[Any]:
        return self._lane.events(lambda batch: batch.values)

    def items(self) -> AsyncIterator[tuple[Any, Any]]:
        """The keys and values."""
        return self._lane.events(lambda batch: zip(batch.keys, batch.values, strict=True))

    def records(self) -> AsyncIterator[Record[Any, Any]]:
        """The records."""
        return self._lane.events(rows_of)
