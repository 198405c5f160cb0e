"""Runs agents: user coroutines that iterate over events.

An agent is called once and then lives on across batches: while a batch lasts its ``async for`` never
touches the event loop; between batches it waits. Asking for the next event acknowledges the one before;
an event whose code raises is never acknowledged, its policy decides. Under a policy that goes on
(skip, retry, dead letter) what the failed event wrote to tables and topics is taken back first.

With ``concurrency=n`` there are n lanes, each a call of the function of its own. A key always takes the
same lane, so events of one key keep their order.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Any

from streamcore.errors import UserCodeError, fact_text
from streamcore.model import Headers, Record
from streamcore.processing.error_policy import ErrorPolicy, Retry, Stop
from streamcore.processing.operators.batch import Batch
from streamcore.processing.operators.guard import Guard
from streamcore.processing.operators.sinks import SinkOperator
from streamcore.processing.operators.stateless import rows_of
from streamcore.processing.runtime.context import Sender, TaskTable, user_context
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
        self._lanes = [_Lane(self) for _ in range(node.concurrency)]

    async def process(self, batch: Batch) -> None:
        """Have every event of the batch acknowledged, then hand on what was sent."""
        if len(self._lanes) == 1:
            await self._lanes[0].run(batch)
        else:
            parts: list[list[int]] = [[] for _ in self._lanes]
            for position, key in enumerate(batch.keys):
                lane = position if key is None else hash(key)
                parts[lane % len(parts)].append(position)
            # The first failure ends the batch; the other lanes are cancelled when the task closes.
            await asyncio.gather(
                *(lane.run(batch.take(part)) for lane, part in zip(self._lanes, parts, strict=True) if part)
            )
        self._hand_on(batch)

    def _hand_on(self, batch: Batch) -> None:
        sent: list[tuple[int, TopicSpec, Record[Any, Any], int]] = []
        for lane in self._lanes:
            sent += lane.sent
            lane.sent = []
        if not sent:
            return
        if len(self._lanes) > 1:
            sent.sort(key=lambda item: item[0])
        by_topic: dict[str, list[tuple[int, TopicSpec, Record[Any, Any], int]]] = {}
        for item in sent:
            by_topic.setdefault(item[1].name, []).append(item)
        for name, items in by_topic.items():
            sink = self._sinks.get(name)
            if sink is None:
                sink = self._sinks[name] = self._sink_for(items[0][1], self.guard)
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

    async def close(self) -> None:
        """Cancel the lanes."""
        for lane in self._lanes:
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
                self._runner.wait_ms(policy.backoff_ms * 2 ** (attempts - 1))
                self._position = position - 1
                continue
            self._runner.guard.failed(batch, position, error)

    async def _until_finished(self) -> Exception | None:
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
        if not isinstance(error, Exception):
            raise error
        return error

    async def close(self) -> None:
        """Cancel the function."""
        if self._call is not None and not self._call.done():
            self._call.cancel()
            await asyncio.wait((self._call,))
        self._call = None

    def _roll_back(self) -> None:
        for name, journal in self._journals.items():
            self._runner.stores[name].rollback_event(journal)
        self._journals = {}
        del self.sent[self._sent_before :]

    # -- the function's side

    async def events(self, rows: Callable[[Batch], Iterable[Any]]) -> AsyncIterator[Any]:
        """Yield the rows of batch after batch; being asked again acknowledges the row before."""
        while True:
            batch = await self._next_batch()
            start = self._position + 1
            for row in list(rows(batch))[start:]:
                self._position += 1
                if not self._stops:
                    self._sent_before = len(self.sent)
                    self._journals = {}
                yield row
            self._journals = {}

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
        journal = self._journals.get(store.name)
        if journal is None:
            journal = self._journals[store.name] = write_back.begin_event()
        write_back.journal = journal
        return write_back


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
