"""Runs a sink: calls a user's function with the records of a stream, in lists, one call at a time.

A record is acknowledged when its call has ended, so whatever is committed was delivered. A crash, a stop
that cancels a call, and a call that fails after part of its work lead to further calls with the same records:
at-least-once. Calls of one task come in the order of its records, so those of a partition in its order.

While a call is under way, the task fetches nothing new. A cut ends the work between two calls, or while the
sink waits for its next try.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from streamcore.errors import StreamCoreError
from streamcore.processing.operators.batch import Batch
from streamcore.processing.operators.guard import ENDS_WORKER, Guard
from streamcore.processing.operators.stateless import rows_of
from streamcore.processing.runtime.event_runner import EventRunner
from streamcore.processing.runtime.lanes import RaisedByCode
from streamcore.processing.runtime.turns import Turn
from streamcore.processing.topology.code_locations import add_fact
from streamcore.processing.topology.error_policy import Retry, Stop
from streamcore.processing.topology.nodes import Sink


class SinkRunner(EventRunner):
    """One sink in one task."""

    def __init__(self, node: Sink, guard: Guard, turn: Turn, wait_ms: Callable[[int], None] | None) -> None:
        """Create the runner; ``wait_ms`` waits before a retry, ``None`` is the event loop's sleep."""
        self._node = node
        self._guard = guard
        self._turn = turn
        self._wait_ms = wait_ms
        self._items: Sequence[Any] = ()
        self._next_index = 0
        """The index in the batch of the first record that is not acknowledged."""
        self._failed_calls = 0
        """How often the call with that record has failed."""
        self._retry_at_s: float | None = None
        self._call: asyncio.Task[Any] | None = None
        self._sleep: asyncio.Future[None] | None = None
        self._is_cancelled = False

    @property
    def lane_count(self) -> int:
        """One: a call follows the other."""
        return 1

    def wanted(self, batch: Batch) -> Batch:
        """Return all records."""
        return batch

    def begin(self, batch: Batch) -> None:
        """Take the next batch."""
        self.batch = batch
        self._items = rows_of(batch) if self._node.with_records else batch.values
        self._next_index = 0
        self._failed_calls = 0
        self._retry_at_s = None

    async def process(self) -> int:
        """Call the function until all records are delivered or a cut is requested.

        Returns:
            The number of records delivered, or left out by policy.

        Raises:
            UserCodeError: by the error policy of the sink.
        """
        turn = self._turn
        while self._next_index < len(self._items):
            if turn.monotonic_s() >= turn.yield_at_s:
                turn.cut_if_due()
                await asyncio.sleep(0)
                turn.was_given()
            if self._is_over() or not await self._has_waited() or not await self._deliver():
                break
        return self._next_index

    def hand_on(self) -> None:
        """Do nothing: a sink sends no records."""

    def wake(self) -> None:
        """End the wait for the next try."""
        if self._sleep is not None and not self._sleep.done():
            self._sleep.set_result(None)

    def cancel_events(self) -> None:
        """Cancel the call under way, if it awaits."""
        self._is_cancelled = True
        if self._call is not None:
            self._call.cancel()
        self.wake()

    async def close(self) -> None:
        """Cancel the call under way. A call that does not end within a second is abandoned."""
        self.cancel_events()
        if self._call is not None and not self._call.done():
            await asyncio.wait((self._call,), timeout=1)

    # -- within

    def _is_over(self) -> bool:
        """Whether to end here: a cut is requested, and the task can commit what is done, or it ends.

        A record of which only a part was delivered is not done, and its parts come again.
        """
        if self._is_cancelled:
            return True
        return self._turn.is_cut and (self.can_be_cut or self._turn.is_stopping)

    async def _has_waited(self) -> bool:
        """Wait for the time of the next try; return ``False`` if a cut comes first."""
        loop = asyncio.get_running_loop()
        while self._retry_at_s is not None and (left_s := self._retry_at_s - loop.time()) > 0:
            self._sleep = loop.create_future()
            timer = loop.call_later(left_s, self.wake)
            await self._sleep
            timer.cancel()
            self._sleep = None
            if self._is_over():
                return False
        self._retry_at_s = None
        return True

    async def _deliver(self) -> bool:
        """Make one call; return ``False`` if it was cancelled."""
        end = min(self._next_index + self._node.batch, len(self._items))
        try:
            called = self._node.function(list(self._items[self._next_index : end]))
            if inspect.isawaitable(called):
                self._call = asyncio.get_running_loop().create_task(self._awaited(called))
                await asyncio.wait((self._call,))
                self._call.result()
        except asyncio.CancelledError:
            if self._call is None or not self._call.cancelled():  # the round itself is cancelled
                if self._call is not None:
                    self._call.cancel()
                raise
            return False
        except BaseException as error:  # noqa: BLE001 - user code may raise anything
            is_wrapped = isinstance(error, RaisedByCode) and error.__cause__ is not None
            self._failed(error.__cause__ or error if is_wrapped else error, end)
        else:
            self._done(end)
        finally:
            self._call = None
        return True

    async def _awaited(self, called: Awaitable[Any]) -> None:
        try:
            await called
        except asyncio.CancelledError as error:
            if self._is_cancelled:
                raise
            raise RaisedByCode from error
        except ENDS_WORKER as error:
            raise RaisedByCode from error

    def _done(self, end: int) -> None:
        self._next_index = end
        self._failed_calls = 0

    def _failed(self, error: BaseException, end: int) -> None:
        """Plan another call, or apply the error policy to all records of the call."""
        batch = self.batch
        assert batch is not None
        if isinstance(error, ENDS_WORKER):
            raise self._stopping(batch, error, end) from error
        self._failed_calls += 1
        for retry in (self._node.retry, self._guard.policy):
            if isinstance(retry, Retry):
                if self._failed_calls <= retry.times:
                    self._guard.note_retry(batch, self._next_index, error)
                    self._retry_after(retry.wait_ms(self._failed_calls))
                    return
                break
        if isinstance(self._guard.policy, Stop | Retry):
            raise self._stopping(batch, error, end) from error
        for index in range(self._next_index, end):
            self._guard.failed(batch, index, error)
        self._done(end)

    def _retry_after(self, wait_ms: int) -> None:
        if self._wait_ms is not None:
            self._wait_ms(wait_ms)
        else:
            self._retry_at_s = asyncio.get_running_loop().time() + wait_ms / 1000

    def _stopping(self, batch: Batch, error: BaseException, end: int) -> StreamCoreError:
        found = self._guard.error_of(batch, self._next_index, error)
        add_fact(found, "records", end - self._next_index)
        return found
