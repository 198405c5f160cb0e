"""A task: one sub-topology and one partition number. It owns its inputs, stores and agents.

A task takes batches from its inputs and drives them through its steps, in the order in which the steps
were declared. Nothing it does is durable before the worker commits; ``abort`` forgets it all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from streamcore.errors import UsageError, fact_text
from streamcore.processing.context import Sender, TaskTable, user_context
from streamcore.processing.operators.aggregate import FinalOperator
from streamcore.processing.operators.batch import Batch, merged
from streamcore.processing.operators.guard import Guard
from streamcore.processing.operators.outputs import Outputs
from streamcore.processing.operators.stateless import Operator
from streamcore.processing.runtime.agents import AgentRunner
from streamcore.processing.runtime.inputs import NO_TIME, InputBuffer, Moment, RoundEnd, Slice
from streamcore.processing.topology.nodes import Node, StoreSpec
from streamcore.processing.topology.plan import SubTopology
from streamcore.state.windowed import WindowStore
from streamcore.state.write_back import WriteBack


@dataclass(frozen=True, slots=True, order=True)
class TaskId:
    """Which sub-topology, which partition."""

    sub_topology: str
    partition: int

    def __str__(self) -> str:
        return f"{self.sub_topology}-{self.partition}"


@dataclass(frozen=True, slots=True)
class Step:
    """A node with its running side; ``parents`` are the places where its inputs stand."""

    node: Node
    operator: Operator | AgentRunner | FinalOperator
    parents: tuple[int, ...]
    place: int


class TaskTime:
    """The stream time of a task, and how it moves within the batch at hand."""

    def __init__(self, stream_time_ms: int) -> None:
        self.stream_time_ms = stream_time_ms
        self._before_ms = stream_time_ms
        self._times: tuple[object, list[int]] | None = None

    def advance(self, timestamps_ms: Sequence[int]) -> None:
        """Move to the highest of these, which are the records of the next batch; never back."""
        self._before_ms = self.stream_time_ms
        self._times = None
        self.stream_time_ms = max(self.stream_time_ms, max(timestamps_ms))

    def stream_times(self, batch: Batch) -> list[int]:
        """For each record of the batch's source, the stream time once it is processed."""
        source = batch.source
        if self._times is None or self._times[0] is not source:
            assert isinstance(source, Slice | Moment)
            times = list(accumulate(source.timestamps_ms, max, initial=self._before_ms))
            del times[0]
            self._times = (source, times)
        return self._times[1]


class Task:
    """Drives batches through the steps of one sub-topology."""

    def __init__(
        self,
        task_id: TaskId,
        sub_topology: SubTopology,
        inputs: Sequence[InputBuffer],
        stores: Mapping[str, WriteBack[Any, Any]],
        time: TaskTime,
        outputs: Outputs,
    ) -> None:
        self.task_id = task_id
        self.sub_topology = sub_topology
        self.inputs = inputs
        self.stores = stores
        self.time = time
        self._outputs = outputs
        self.late_count = 0
        self.processed_count = 0
        self.places: dict[Node, int] = {}
        for entry in sub_topology.inputs:
            self.place_of(entry.root)
        self._steps: list[Step] = []
        self._guards: list[Guard] = []
        self._one_at_a_time = [entry.one_at_a_time for entry in sub_topology.inputs]
        self._roots = [self.places[entry.root] for entry in sub_topology.inputs]

    def place_of(self, node: Node) -> int:
        """Where the output of a node stands while a batch is under way."""
        return self.places.setdefault(node, len(self.places))

    def set_steps(self, steps: Sequence[Step], input_guards: Sequence[Guard]) -> None:
        """Give the task its steps; they need the task (its time, its stores) to be made."""
        self._steps = list(steps)
        self._guards = list(input_guards)

    @property
    def agents(self) -> list[AgentRunner]:
        """The agents of this task."""
        return [step.operator for step in self._steps if isinstance(step.operator, AgentRunner)]

    # -- what user code may use

    @property
    def sender(self) -> Sender:
        """Functions in steps give records to the next step; they have no ``send``."""
        raise UsageError("send from an agent, a timer or a command; in a stream, use .to(topic)")

    @property
    def event_time_ms(self) -> None:
        """Functions in steps run over whole batches: no one event is at hand."""

    def table(self, store: StoreSpec) -> TaskTable:
        """The part of a table that this task owns."""
        found = self.stores.get(store.name)
        if found is None:
            raise UsageError(
                "this agent was not seen to use the table; declare it: @app.agent(..., tables=[table]): "
                + fact_text(table=store.name, task=self.task_id)
            )
        return found

    # -- processing

    async def process(self, end: RoundEnd | None) -> int:
        """Process everything waiting up to the end of a round, or all; return how many records."""
        processed = 0
        while True:
            chosen = self._next_slice(end)
            if chosen is None:
                break
            place, taken, guard = chosen
            processed += len(taken.timestamps_ms)
            self.time.advance(taken.timestamps_ms)
            batch = taken.batch(guard)
            with user_context(self):
                await self._run(place, batch)
        self.processed_count += processed
        return processed

    def _next_slice(self, end: RoundEnd | None) -> tuple[int, Slice, Guard] | None:
        """The next records to take: from the input with the lowest order key, as far as it stays lowest."""
        waiting = [index for index, buffer in enumerate(self.inputs) if buffer.count_until(end)]
        if not waiting:
            return None
        heads = {index: (self.inputs[index].head_order(), self.inputs[index].rank) for index in waiting}
        chosen = min(waiting, key=heads.__getitem__)
        buffer = self.inputs[chosen]
        count = min(
            [buffer.count_until(end)]
            + [buffer.count_until(head) for index, head in heads.items() if index != chosen]
        )
        if self._one_at_a_time[chosen]:
            count = 1
        return self._roots[chosen], buffer.take(count), self._guards[chosen]

    async def advance_time(self, stream_time_ms: int) -> None:
        """Move stream time without a record, closing the windows that this closes."""
        if stream_time_ms <= self.time.stream_time_ms:
            return
        self.time.advance([stream_time_ms])
        moment = Moment(stream_time_ms)
        with user_context(self):
            await self._run(None, Batch([], [], [], [], None, moment))

    def closing_time_ms(self) -> int | None:
        """The stream time at which the last open window closes; ``None`` if none is open."""
        found: list[int] = []
        for store in self.sub_topology.stores:
            if store.windows is None:
                continue
            windows = self.stores[store.name]
            assert isinstance(windows, WindowStore)
            open_from = store.windows.closed_before(self.time.stream_time_ms)
            found += [
                store.windows.closing_time_ms(start_ms)
                for (_, start_ms), _ in windows.windows_between(open_from, 2**62)
            ]
        return max(found, default=None)

    async def _run(self, root: int | None, batch: Batch) -> None:
        outputs: list[Batch | None] = [None] * len(self.places)
        if root is not None:
            outputs[root] = batch
        for step in self._steps:
            operator = step.operator
            if isinstance(operator, FinalOperator):
                outputs[step.place] = operator.close(batch)
                continue
            arrived = [found for place in step.parents if (found := outputs[place]) is not None]
            united = merged(arrived) if arrived else None
            if united is None:
                continue
            if isinstance(operator, AgentRunner):
                await operator.process(united)
            else:
                outputs[step.place] = operator.process(united)
        self._outputs.end_batch()
        self._drop_expired_windows()

    def _drop_expired_windows(self) -> None:
        for spec in self.sub_topology.stores:
            if spec.windows is None or self.time.stream_time_ms == NO_TIME:
                continue
            expired_before = spec.windows.expired_before(self.time.stream_time_ms)
            if expired_before is not None and expired_before > 0:
                store = self.stores[spec.name]
                assert isinstance(store, WindowStore)
                store.drop_before(expired_before)

    def abort(self) -> None:
        """Forget everything since the last commit. The task cannot go on; it is made anew."""
        for store in self.stores.values():
            store.abort()

    async def close(self) -> None:
        """Stop the agents."""
        for agent in self.agents:
            await agent.close()
