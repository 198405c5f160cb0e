"""Runs agents: user coroutines that iterate over events.

An agent is called once and then stays active across batches. A request for the next event acknowledges the
one before. An event whose code raises is never acknowledged; its error policy decides. Under a policy that
continues (skip, retry, dead letter) the writes of the failed event to tables and topics are undone first.

Events are handed out in the order of the batch, so the events that were handed out are always a prefix of it.
After a *cut* no more are handed out; once those under way are acknowledged, the acknowledged events are a
prefix of the batch, and can be committed. The rest is handed out later.

With ``concurrency=n`` there are n lanes, each with a separate call of the function, and up to n events under
way. Events of one key are never under way together, so they keep their order.

Where writes can be undone, an event that has read writes of another event under way waits for the other's
acknowledgement; it is repeated only if the other fails. An agent that writes keys other than its event's
soon conflicts with all its lanes: from then on it works on one event at a time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import count
from typing import Any

from streamcore.errors import UserCodeError, fact_text
from streamcore.model import Headers, Record
from streamcore.processing.context import TaskTable
from streamcore.processing.operators.batch import Batch
from streamcore.processing.operators.guard import ENDS_WORKER, Guard
from streamcore.processing.operators.sinks import SinkOperator
from streamcore.processing.runtime.event_runner import EventRunner, ends_event
from streamcore.processing.runtime.lanes import ANY, Lane, RaisedByCode, Rows
from streamcore.processing.runtime.turns import Turn
from streamcore.processing.topology.error_policy import Retry, Stop
from streamcore.processing.topology.nodes import AgentNode, StoreSpec, TopicSpec
from streamcore.state.write_back import WriteBack

_logger = logging.getLogger(__name__)


class AgentRunner(EventRunner):
    """One agent in one task."""

    def __init__(
        self,
        node: AgentNode,
        guard: Guard,
        turn: Turn,
        table_of: Callable[[StoreSpec], TaskTable],
        stores: Mapping[str, WriteBack[Any, Any]],
        sink_for: Callable[[TopicSpec, Guard], SinkOperator],
        wait_ms: Callable[[int], None] | None,
    ) -> None:
        """Create the runner of an agent; ``wait_ms`` waits before a retry, ``None`` is the event loop's
        sleep.
        """
        self.node = node
        self.guard = guard
        self.turn = turn
        self.table_of = table_of
        self.stores = stores
        self.stops = isinstance(guard.policy, Stop)
        self.next_index = 0
        """The index in the batch of the next event to hand out."""
        self.lanes = [Lane(self) for _ in range(node.concurrency)]
        self._wait_ms = wait_ms
        self._sink_for = sink_for
        self._sinks: dict[str, SinkOperator] = {}
        self._origins: Sequence[int] = ()
        self._rows: dict[Rows, Sequence[Any]] = {}
        self._ended: list[Lane] = []
        self._news: asyncio.Future[None] | None = None
        # One at a time, until an event has shown which keys the agent writes.
        self._limit = node.concurrency if self.stops else 1
        self._writes_foreign_keys = False
        self._under_way: dict[Lane, Any] = {}
        self._write_numbers = count()

    # -- the task's side

    @property
    def lane_count(self) -> int:
        """How many events may be under way at once."""
        return len(self.lanes)

    def wanted(self, batch: Batch) -> Batch:
        """Return the records that are events for the agent: with a key, if the stream's keys were changed."""
        return self.guard.with_keys(batch) if self.node.keyed_only else batch

    def begin(self, batch: Batch) -> None:
        """Take the next batch, after the last one is done."""
        self.batch = batch
        self._origins = batch.origins
        self._rows = {}
        self.next_index = 0

    async def process(self) -> int:
        """Hand out events until all are acknowledged or a cut is requested; return the number acknowledged.

        Raises:
            UserCodeError: by the error policy of the agent.
        """
        if self.next_index >= len(self._origins):
            return self.next_index
        loop = asyncio.get_running_loop()
        self._news = loop.create_future()
        for lane in self.lanes:
            if lane.retry_at_s is not None:
                self._retry_at(lane, lane.retry_at_s)
            else:
                lane.resume()
        while True:
            await self._news
            self._news = loop.create_future()
            ended, self._ended = self._ended, []
            for lane in ended:
                self._handle_end(lane)
            if self._is_at_rest():
                return self.next_index

    def wake(self) -> None:
        """Check again whether there is anything to wait for, because a cut was requested."""
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    def cancel_events(self) -> None:
        """Cancel the events under way; they are not acknowledged."""
        for lane in self.lanes:
            if lane.index < 0:
                continue
            lane.is_cancelled = True
            if lane.retry_at_s is not None:
                lane.retry_at_s = None
                self.call_ended(lane)
            elif lane.call is not None:
                lane.call.cancel()

    def hand_on(self) -> None:
        """Add the records that acknowledged events sent to the outputs."""
        batch = self.batch
        sent: list[tuple[int, TopicSpec, Record[Any, Any]]] = []
        for lane in self.lanes:
            sent += lane.sent
            lane.sent.clear()
        if not sent:
            return
        assert batch is not None
        if len(self.lanes) > 1:
            sent.sort(key=lambda item: item[0])
        by_topic: dict[str, list[tuple[int, TopicSpec, Record[Any, Any]]]] = {}
        for item in sent:
            by_topic.setdefault(item[1].name, []).append(item)
        for items in by_topic.values():
            headers: list[Headers] | None = None
            if any(record.headers for _, _, record in items):
                headers = [record.headers for _, _, record in items]
            partitions = [-1 if record.offset >= 0 else record.partition for _, _, record in items]
            self.sink(items[0][1]).write_encoded(
                Batch(
                    [record.key for _, _, record in items],
                    [record.value for _, _, record in items],
                    [
                        record.timestamp_ms if record.timestamp_ms >= 0 else batch.timestamps_ms[index]
                        for index, _, record in items
                    ],
                    [self._origins[index] for index, _, _ in items],
                    headers,
                    batch.source,
                ),
                partitions if max(partitions) >= 0 else None,
            )

    async def close(self) -> None:
        """Cancel the lanes."""
        for lane in self.lanes:
            await lane.close()

    # -- the lanes' side

    def rows(self, rows: Rows) -> Sequence[Any]:
        """Return the events of the batch, in the form that a lane needs."""
        found = self._rows.get(rows)
        if found is None:
            assert self.batch is not None
            made: Iterable[Any] = rows(self.batch)
            found = self._rows[rows] = made if isinstance(made, list) else list(made)
        return found

    def is_boundary(self, index: int) -> bool:
        """Whether a cut may come before an event: no record is done in part, if the task can be cut."""
        if not self.can_be_cut:
            return self.turn.is_stopping
        return ends_event(self._origins, index)

    def sink(self, topic: TopicSpec) -> SinkOperator:
        """Return the operator that writes to a topic. Raises ``UsageError`` for a topic of no step."""
        sink = self._sinks.get(topic.name)
        if sink is None:
            sink = self._sinks[topic.name] = self._sink_for(topic, self.guard)
        return sink

    def take(self, lane: Lane) -> int | None:
        """Hand the next event to a lane, if it may be under way beside the other events."""
        index = self.next_index
        if (
            index >= len(self._origins)
            or len(self._under_way) >= self._limit
            or (self.turn.is_cut and self.is_boundary(index))
        ):
            return None
        assert self.batch is not None
        key = self.batch.keys[index]
        if key is not None and key in self._under_way.values():
            return None
        self.next_index = index + 1
        self._under_way[lane] = key
        return index

    def acknowledged(self, lane: Lane) -> None:
        """Record that the event of a lane is done or left out, so that the next may be under way."""
        self._under_way.pop(lane, None)
        lane.end_event()
        lane.attempts = 0
        for other in self.lanes:
            other.depends_on.discard(lane)
        if not self._writes_foreign_keys:
            self._limit = self.node.concurrency
        room = min(self._limit - len(self._under_way), len(self._origins) - self.next_index)
        for other in self.lanes:
            if other.is_waiting and (other.index >= 0 or room > 0):
                room -= other.index < 0
                other.resume()

    def may_acknowledge(self, lane: Lane) -> bool:
        """Whether all events whose writes the event has read have ended."""
        reached = [lane]
        for each in reached:
            if not each.is_asking:
                return False
            reached += [other for other in each.depends_on if other not in reached]
        return True

    def note_use(self, lane: Lane, store: str, key: Any) -> None:
        """Find the events under way that have written a key which another event reads."""
        for other in self.lanes:
            journal = None if other is lane else other.journals.get(store)
            if journal is not None and (journal.before if key is ANY else key in journal.before):
                lane.depends_on.add(other)

    def next_write(self) -> int:
        """Return a number for a write, in the order of all writes."""
        return next(self._write_numbers)

    def note_foreign_write(self, store: str) -> None:
        """Record that an event writes another key: work on one event at a time from here."""
        if self._writes_foreign_keys:
            return
        self._writes_foreign_keys = True
        self._limit = 1
        _logger.warning(
            "the agent writes table keys that are not the key of its event, so it works on one event at a "
            "time; let it follow topic.group_by(...), or use on_error=sc.stop: %s",
            fact_text(agent=self.node.name, table=store, concurrency=self.node.concurrency),
        )

    def lane_waits(self) -> None:
        """Record that a lane has nothing to do."""
        if self._is_at_rest():
            self.wake()

    def call_ended(self, lane: Lane) -> None:
        """Record that the function of a lane has ended. This is an error: a stream does not end."""
        self._ended.append(lane)
        self.wake()

    # -- within

    def _is_at_rest(self) -> bool:
        if len(self.lanes) == 1:
            lane = self.lanes[0]
            if lane.retry_at_s is not None and self.turn.is_cut and self.is_boundary(lane.index):
                self.next_index = lane.index
                return True
            under_way = lane.index >= 0 or (lane.call is not None and not lane.is_waiting)
        else:
            under_way = bool(self._under_way)
        if under_way:
            return False
        index = self.next_index
        return index >= len(self._origins) or (self.turn.is_cut and self.is_boundary(index))

    def _handle_end(self, lane: Lane) -> None:
        call, lane.call = lane.call, None
        index = lane.index
        if lane.is_cancelled:
            self._leave_unacknowledged(lane)
            return
        error = _outcome(call)
        if index < 0 or self.batch is None:
            raise UserCodeError(
                "an agent failed outside of its events: " + fact_text(agent=self.node.name, error=repr(error))
            ) from error
        was_doomed = lane.is_doomed
        self._take_back(lane)
        if was_doomed:
            self._again(lane)
            return
        if isinstance(error, ENDS_WORKER):
            raise self.guard.error_of(self.batch, index, error) from error
        lane.attempts += 1
        policy = self.guard.policy
        if isinstance(policy, Retry) and lane.attempts <= policy.times:
            self.guard.note_retry(self.batch, index, error)
            wait_ms = policy.wait_ms(lane.attempts)
            if self._wait_ms is not None:
                self._wait_ms(wait_ms)
                self._again(lane)
            else:
                self._retry_at(lane, asyncio.get_running_loop().time() + wait_ms / 1000)
            return
        self.guard.failed(self.batch, index, error)
        self.acknowledged(lane)
        lane.resume()

    def _take_back(self, lane: Lane) -> None:
        """Undo the event of a lane, and those that have read its writes: these are repeated."""
        undone = [lane]
        for each in undone:
            undone += [other for other in self.lanes if each in other.depends_on and other not in undone]
        if len(undone) > 1:
            first: dict[tuple[str, Any], Lane] = {}
            for each in undone:
                for place, number in each.written_at.items():
                    if place not in first or number < first[place].written_at[place]:
                        first[place] = each
            for each in undone:
                for store, journal in each.journals.items():
                    for key in list(journal.before):
                        if first[store, key] is not each:
                            del journal.before[key]
        for each in undone:
            each.take_back()
            each.is_doomed = each is not lane
            if each.is_doomed and each.is_waiting:
                each.resume()

    def _again(self, lane: Lane) -> None:
        """Give a lane its event once more, in a new call of the function."""
        lane.retry_at_s = None
        if len(self.lanes) == 1:
            self.next_index = lane.index
        else:
            lane.redo_index = lane.index
        lane.resume()

    def _retry_at(self, lane: Lane, time_s: float) -> None:
        lane.retry_at_s = time_s

        def retry() -> None:
            if lane.retry_at_s == time_s and lane.index >= 0:
                self._again(lane)

        asyncio.get_running_loop().call_at(time_s, retry)
        self.wake()

    def _leave_unacknowledged(self, lane: Lane) -> None:
        """End an event that the worker has cancelled, without acknowledging it.

        The events before it can be committed if the agent has one lane and the event's writes can be undone.
        """
        can_be_told = len(self.lanes) == 1 and lane.can_be_taken_back and self.is_boundary(lane.index)
        lane.take_back()
        if can_be_told:
            self.next_index = lane.index
        else:
            self.is_spoiled = True
        self._under_way.pop(lane, None)
        lane.end_event()


def _outcome(call: asyncio.Task[Any] | None) -> BaseException:
    """Return how the function of a lane ended."""
    assert call is not None
    if call.cancelled():
        return asyncio.CancelledError()
    error = call.exception()
    if isinstance(error, RaisedByCode):
        return error.__cause__ or error
    if error is None:
        return UserCodeError(
            "the agent returned while its stream goes on; loop with 'async for' until it ends by itself"
        )
    return error
