"""A task: one sub-topology and one partition number. It owns its inputs, stores and agents.

A task takes rounds of records from its inputs (``rounds.py``): each input's records are one batch, and all
batches of a round pass the steps together, in the order in which the steps were declared. Where functions or
agents read tables that other steps write, a round has records of one input only, up to the next record of
another. Work is durable only when the worker commits; ``abort`` drops all uncommitted work.

Between two calls of ``process`` a task is at rest: its stores and outputs hold the results of the records
before its positions, and nothing else. A batch that takes long stays under way: where one agent
follows a stream without state, the steps before it process the whole batch first, and the other steps only
the records that the agent has acknowledged. Elsewhere a batch is small, and processed as a whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from msgspec import Struct

from streamcore.errors import UsageError, UserCodeError, fact_text
from streamcore.processing.context import Sender, TaskTable, user_context
from streamcore.processing.operators.batch import Batch, BatchSource, merged
from streamcore.processing.operators.guard import ENDS_WORKER, Guard
from streamcore.processing.operators.intervals import EveryOperator
from streamcore.processing.operators.outputs import BatchOutputs, Outputs
from streamcore.processing.operators.processors import ProcessorOperator
from streamcore.processing.operators.references import AnswerReferencesOperator
from streamcore.processing.operators.sessions import SessionFinalOperator
from streamcore.processing.operators.stateless import Operator
from streamcore.processing.operators.stream_joins import StreamJoinOperator
from streamcore.processing.operators.tables import StoreHistory
from streamcore.processing.operators.versions import TableVersions
from streamcore.processing.operators.windowed_aggregate import FinalOperator
from streamcore.processing.runtime.before_agents import steps_before_agent
from streamcore.processing.runtime.closing import END_OF_TIME_MS, closing_times_ms
from streamcore.processing.runtime.event_runner import EventRunner
from streamcore.processing.runtime.global_tables import GlobalTableKeeper
from streamcore.processing.runtime.inputs import RecordQueue, RoundEnd
from streamcore.processing.runtime.reading import global_table, part_of_task
from streamcore.processing.runtime.refused_rows import OneByOne
from streamcore.processing.runtime.rounds import HeldTime, Round, TaskTime, TimeAdvance
from streamcore.processing.runtime.turns import Turn
from streamcore.processing.topology import nodes
from streamcore.processing.topology.nodes import Node, StoreSpec
from streamcore.processing.topology.plan import SubTopology, task_name
from streamcore.processing.topology.times import NO_TIME
from streamcore.state.sessions import SessionStore
from streamcore.state.windowed import WindowStore
from streamcore.state.write_back import WriteBack
from streamcore.state.written_sessions import WrittenSessions


class TaskId(Struct, frozen=True):
    """The name of a sub-topology, and a partition number."""

    sub_topology: str
    partition: int

    def __str__(self) -> str:
        return task_name(self.sub_topology, self.partition)


ClosingOperator = FinalOperator | SessionFinalOperator
"""Operators that read their store when windows close, instead of records."""

TwoSidedOperator = StreamJoinOperator | AnswerReferencesOperator
"""Operators that take the records of two parents apart."""


class Step(Struct, frozen=True):
    """A node with its running side; ``parents`` are the indexes of its inputs."""

    node: Node
    operator: Operator | EventRunner | ClosingOperator | ProcessorOperator | TwoSidedOperator | EveryOperator
    parents: tuple[int, ...]
    place: int


@dataclass(slots=True)
class _Work:
    """A round of which an agent has not acknowledged everything yet."""

    taken: Round
    outputs: list[Batch | None]
    """The outputs of the steps before the agent, for the whole round."""
    done_count: int = 0
    """How many of its records are done."""


class Task:
    """Passes batches through the steps of one sub-topology."""

    def __init__(
        self,
        task_id: TaskId,
        sub_topology: SubTopology,
        inputs: Sequence[RecordQueue],
        stores: Mapping[str, WriteBack[Any, Any]],
        watermark_ms: int,
        outputs: Outputs,
        turn: Turn | None = None,
    ) -> None:
        """Create a task without steps; without a ``turn`` its agents never give way.

        ``inputs`` are in the order of their ranks.
        """
        self.task_id = task_id
        self.sub_topology = sub_topology
        self.inputs = inputs
        self.stores = stores
        self.outputs = BatchOutputs(outputs)
        self.turn = Turn(lambda: 0.0) if turn is None else turn
        self.is_spoiled = False
        """Whether the worker's end interrupted a batch, whose effects must not be committed."""
        self.late_count = 0
        self.latest_ms = END_OF_TIME_MS
        """Windows that start later are too far ahead of the clock: nothing waits for them to close."""
        self.processed_count = 0
        self.global_tables: Mapping[str, GlobalTableKeeper] = {}
        self._tables: dict[int, TaskTable] = {}
        self.places: dict[object, int] = {}
        for entry in sub_topology.inputs:
            self.place_of(entry.root)
        self._steps: list[Step] = []
        self.agents: list[EventRunner] = []
        self.periodic: dict[Node, EveryOperator] = {}
        """The operators of periodic steps, which the aggregations before them use."""
        self._processors: list[ProcessorOperator] = []
        self._clock_now_ms: int | None = None
        """The clock, while its timers are being called."""
        self._guards: list[Guard] = []
        self.one_by_one: OneByOne | None = None
        """Set while the task takes only the records that it is given one by one."""
        self._before_agent = steps_before_agent(sub_topology)
        self._work: _Work | None = None
        # A topic with fewer partitions than the sub-topology has tasks is no input of the last ones.
        numbers = {entry.topic.name: number for number, entry in enumerate(sub_topology.inputs)}
        self._entry_numbers = [numbers[queue.partition.topic] for queue in inputs]
        self._entries = [sub_topology.inputs[number] for number in self._entry_numbers]
        self._numbers = {id(queue): number for number, queue in enumerate(inputs)}
        self._meets_in_a_store = [entry.meets_in_a_store for entry in self._entries]
        self._histories: dict[str, StoreHistory] = {}
        self._versions: dict[str, TableVersions] = {}
        self.holding = [queue for queue, entry in zip(inputs, self._entries, strict=True) if entry.holds_time]
        """The inputs that hold the watermark."""
        self.time = TaskTime(watermark_ms, self.holding)
        self._held_ms = {
            store.name: sub_topology.held_ms.get(node, 0)
            for node in sub_topology.nodes
            for store in nodes.own_stores(node)
        }
        for node in sub_topology.nodes:
            # What a join reads for records that were held back is kept as much longer.
            if isinstance(node, nodes.LOOKUPS) and node.store.name in self._held_ms:
                held_ms = max(self._held_ms[node.store.name], sub_topology.held_ms.get(node, 0))
                self._held_ms[node.store.name] = held_ms

    def place_of(self, node: Node) -> int:
        """Return the index of a node's output while a batch is under way."""
        return self.places.setdefault(node, len(self.places))

    def table_place_of(self, root: Node) -> int:
        """Return the index of the input of a table: all records of its topic, also those without a value."""
        return self.places.setdefault(("table", root), len(self.places))

    def history_of(self, store: StoreSpec) -> StoreHistory | None:
        """Return the history of a store that a step writes and a join reads; ``None`` for another store."""
        if not self.sub_topology.merges_inputs:
            return None
        members = self.sub_topology.nodes
        if not any(isinstance(node, nodes.LOOKUPS) and node.store is store for node in members):
            return None
        if not any(found is store for node in members for found in nodes.own_stores(node)):
            return None
        return self._histories.setdefault(store.name, StoreHistory())

    def versions_of(self, table: nodes.TableSource) -> TableVersions:
        """Return the versions of a table with a history, which joins read."""
        history = table.history
        assert history is not None
        if table.store.name not in self._versions:
            held_ms = self.sub_topology.held_ms_of_joins(table)
            versions = self.stores[history.versions.name]
            assert isinstance(versions, WindowStore)
            self._versions[table.store.name] = TableVersions(
                history.span, self.stores[history.keys.name], versions, HeldTime(self.time, held_ms)
            )
        return self._versions[table.store.name]

    @property
    def _changing_tables(self) -> list[StoreHistory | TableVersions]:
        """The tables that joins may read in the round in which they change."""
        return [*self._histories.values(), *self._versions.values()]

    def set_steps(self, steps: Sequence[Step], input_guards: Sequence[Guard]) -> None:
        """Set the steps; they are created with the task (its time, its stores).

        Args:
            input_guards: one for each input of the sub-topology.
        """
        self._steps = list(steps)
        self._guards = [input_guards[number] for number in self._entry_numbers]
        self.agents = [step.operator for step in self._steps if isinstance(step.operator, EventRunner)]
        self._processors = [
            step.operator for step in self._steps if isinstance(step.operator, ProcessorOperator)
        ]
        for agent in self.agents:
            agent.can_be_cut = self._before_agent is not None

    # -- what user code may use

    @property
    def sender(self) -> Sender:
        """Raise ``UsageError``: functions in steps return records for the next step; they have no
        ``send``.
        """
        raise UsageError("send from an agent, a timer or a command; in a stream, use .to(topic)")

    @property
    def event_time_ms(self) -> None:
        """``None``: functions in steps run over whole batches, without a current event."""

    def table(self, store: StoreSpec) -> TaskTable:
        """Return the part of a table that this task owns."""
        found = self._tables.get(id(store))
        if found is None:
            found = self._tables[id(store)] = self._part_of(store)
        return found

    @property
    def slice_records_min(self) -> int:
        """The smallest number of records in a batch that gives work to every lane of the agents."""
        lanes = max((agent.lane_count for agent in self.agents), default=1)
        return 1 if lanes == 1 else 8 * lanes

    def _part_of(self, store: StoreSpec) -> TaskTable:
        keeper = self.global_tables.get(store.name)
        if keeper is not None and keeper.store is store:
            return global_table(keeper)
        if self.sub_topology.store_of(store.name) is not store:
            raise UsageError(
                "the task of this code does not own the table; name it at the agent, "
                "@app.agent(..., tables=[table]): " + fact_text(table=store.name, task=self.task_id)
            )
        part = self.stores[store.name]
        return part_of_task(store, part) if store.is_kept_by_step else part

    # -- processing

    async def process(self, end: RoundEnd | None) -> int:
        """Process the waiting records up to the end of a round, or all; return their number, and that of the
        marks between them.

        A cut of the task's turn ends it earlier.

        Raises:
            UserCodeError: by the error policy of a step.
            BaseException: application code raised an error that ends programs.
        """
        try:
            return await self._process(end)
        except ENDS_WORKER as error:
            raise UserCodeError(
                "application code ended the program, the worker stops: "
                + fact_text(task=self.task_id, error=f"{type(error).__name__}: {error}")
            ) from error

    async def _process(self, end: RoundEnd | None) -> int:
        processed = 0
        while not self.is_spoiled:
            if self._work is None:
                counts = self._next_counts(end)
                if not counts or (self.turn.is_cut and self.agents):
                    break
                with user_context(self):
                    processed += await self._process_round(counts)
            else:
                with user_context(self):
                    processed += await self._go_on(self._work)
            if self._work is not None:
                break
        self.processed_count += processed
        return processed

    @property
    def is_under_way(self) -> bool:
        """Whether an agent has not acknowledged all records of the round yet."""
        return self._work is not None

    def _next_counts(self, end: RoundEnd | None) -> dict[int, int]:
        """Return which inputs the next round takes records from, and how many; nothing if none waits."""
        if self.one_by_one is not None:
            only = self.one_by_one.taken()
            return {} if only is None else {self._numbers[id(only)]: 1}
        counts = {
            index: count for index, queue in enumerate(self.inputs) if (count := queue.count_until(end))
        }
        if len(counts) < 2 and not any(self._meets_in_a_store):
            return counts
        if not counts or self.sub_topology.merges_inputs:
            return counts
        heads = {index: (self.inputs[index].head_time_ms(), self.inputs[index].rank) for index in counts}
        chosen = min(counts, key=heads.__getitem__)
        if self._meets_in_a_store[chosen]:
            return {chosen: 1}
        queue = self.inputs[chosen]
        ahead = [queue.count_until(head) for index, head in heads.items() if index != chosen]
        return {chosen: min([counts[chosen], *ahead])}

    async def _process_round(self, counts: Mapping[int, int]) -> int:
        """Pass records of inputs through the steps; return the number done."""
        queues = [self.inputs[index] for index in counts]
        taken = Round(queues, [self.inputs[index].take(count) for index, count in counts.items()])
        outputs = self._entered(taken)
        if self._before_agent is not None:
            for step in self._steps:
                if step.node in self._before_agent:
                    self._take_step(step, outputs, taken)
            work = _Work(taken, outputs)
            for step in self._steps:
                if isinstance(step.operator, EventRunner) and (events := _arrived(step, outputs)) is not None:
                    step.operator.begin(step.operator.wanted(events))
            return await self._go_on(work)
        self.time.advance(taken, 0, len(taken))
        if self._changing_tables:
            # A table can change in a round without a record of its own, because time passes.
            meets = self.sub_topology.emits_by_time or any(self._meets_in_a_store[index] for index in counts)
            for history in self._changing_tables:
                history.is_wanted = meets or len(counts) > 1
        if not await self._run(outputs, taken):
            return 0
        taken.done(len(taken))
        self.processed_count -= taken.mark_count
        self.time.end_round()
        return len(taken)

    def _entered(self, taken: Round) -> list[Batch | None]:
        """Return the outputs of all nodes, with the records that were read as the outputs of the sources."""
        outputs: list[Batch | None] = [None] * len(self.places)
        for number, queue in enumerate(taken.queues):
            index = self._numbers[id(queue)]
            guard, entry = self._guards[index], self._entries[index]
            batch = taken.batch(number, guard)
            table_place = self.places.get(("table", entry.root))
            if table_place is not None:
                outputs[table_place] = batch
            if entry.topic.skips_nulls:
                batch = guard.with_values(batch)
            outputs[self.places[entry.root]] = batch
        return outputs

    async def _go_on(self, work: _Work) -> int:
        """Resume the agent, then run the other steps on its acknowledged records; return their number."""
        taken, start = work.taken, work.done_count
        end = len(taken)
        for agent in self.agents:
            if agent.batch is not None and agent.batch.source is taken:
                index = await agent.process()
                if index < len(agent.batch):
                    end = agent.batch.origins[index]
                self.is_spoiled |= agent.is_spoiled
        if self.is_spoiled:
            return 0
        if end > start:
            self.time.advance(taken, start, end)
            outputs = [None if found is None else found.of_origins(start, end) for found in work.outputs]
            assert self._before_agent is not None
            for step in self._steps:
                if isinstance(step.operator, EventRunner):
                    step.operator.hand_on()
                elif step.node not in self._before_agent:
                    self._take_step(step, outputs, taken)
            self.outputs.end_batch(None if end == len(taken) else end)
            self._drop_expired_windows()
        taken.done(end)
        self.processed_count -= taken.mark_count if end == len(taken) else 0
        work.done_count = end
        self._work = None if end == len(taken) else work
        return end - start

    def _take_step(self, step: Step, outputs: list[Batch | None], source: BatchSource) -> None:
        """Run a step that is not an agent on the outputs of its parents."""
        operator = step.operator
        assert not isinstance(operator, EventRunner)
        inputs = outputs
        if self.one_by_one is not None:
            inputs = self.one_by_one.inputs_of(step.node, step.parents, outputs)
        if isinstance(operator, ClosingOperator):
            outputs[step.place] = operator.close(source)
        elif isinstance(operator, EveryOperator):
            outputs[step.place] = operator.take(_arrived(step, inputs), source)
        elif isinstance(operator, ProcessorOperator):
            if self._clock_now_ms is None:
                outputs[step.place] = operator.run(_arrived(step, inputs), source)
            else:
                outputs[step.place] = operator.run_clock(self._clock_now_ms, _arrived(step, inputs), source)
        elif isinstance(operator, TwoSidedOperator):
            left, right = step.parents
            outputs[step.place] = operator.process_sides(inputs[left], inputs[right], source)
        elif (arrived := _arrived(step, inputs)) is not None:
            passed_on = operator.process(arrived)
            # A repartition step can write a topic that the task reads: its output is what was read.
            if not isinstance(step.node, nodes.Repartition):
                outputs[step.place] = passed_on

    async def advance_time(self, watermark_ms: int) -> None:
        """Move the watermark without a record, and close the windows that end."""
        if watermark_ms <= self.time.watermark_ms:
            return
        self.time.advance_to(watermark_ms)
        with user_context(self):
            await self._run([None] * len(self.places), TimeAdvance())

    @property
    def has_processors(self) -> bool:
        """Whether a step of the task is a processor."""
        return bool(self._processors)

    def clock_due_ms(self) -> int | None:
        """Return when the next timer of the clock of a processor is due; ``None`` if there is none."""
        dues = [processor.clock_due_ms() for processor in self._processors]
        return min((due_ms for due_ms in dues if due_ms is not None), default=None)

    async def fire_clock(self, now_ms: int) -> None:
        """Call the timers of the clock that are due; the watermark stays."""
        self._clock_now_ms = now_ms
        self.time.advance_to(self.time.watermark_ms)
        try:
            with user_context(self):
                await self._run([None] * len(self.places), TimeAdvance())
        finally:
            self._clock_now_ms = None

    @property
    def holds_back(self) -> bool:
        """Whether a step has something left that it emits once the watermark has moved on."""
        if any(processor.has_timers for processor in self._processors):
            return True
        emitted = [
            node.store for node in self.sub_topology.nodes if isinstance(node, nodes.Final | nodes.Every)
        ]
        return next(self._closing_times_ms(emitted), None) is not None

    def closing_time_ms(self) -> int | None:
        """Return the watermark at which the last open window closes, and the last row of a join stays without
        a match; ``None`` if none is open."""
        return max(self._closing_times_ms(self.sub_topology.stores), default=None)

    def _closing_times_ms(self, stores: Iterable[StoreSpec]) -> Iterator[int]:
        """Yield the watermarks at which windows, intervals and rows of joins end that are still open."""
        for store in stores:
            held_ms = self._held_ms.get(store.name, 0)
            behind_ms = self.time.watermark_ms - held_ms
            order_ms = self.time.order_ms - held_ms
            found = closing_times_ms(store, self.stores[store.name], behind_ms, order_ms, self.latest_ms)
            yield from (time_ms + held_ms for time_ms in found)
        for step in self._steps:
            if isinstance(step.operator, StreamJoinOperator):
                ending_ms = step.operator.last_ending_ms(self.latest_ms)
                if ending_ms is not None:
                    yield ending_ms + self.sub_topology.held_ms.get(step.node, 0)

    async def _run(self, outputs: list[Batch | None], source: BatchSource) -> bool:
        """Pass a whole round through the steps; return whether all of it is done."""
        for step in self._steps:
            agent = step.operator
            if not isinstance(agent, EventRunner):
                self._take_step(step, outputs, source)
            elif (arrived := _arrived(step, outputs)) is not None:
                arrived = agent.wanted(arrived)
                agent.begin(arrived)
                if await agent.process() < len(arrived) or agent.is_spoiled:
                    self.is_spoiled = True
                    return False
                agent.hand_on()
        self.outputs.end_batch()
        for history in self._changing_tables:
            history.clear()
        self._drop_expired_windows()
        return True

    def _drop_expired_windows(self) -> None:
        for spec in self.sub_topology.stores:
            if spec.windows is None or self.time.watermark_ms == NO_TIME:
                continue
            held_ms = self._held_ms.get(spec.name, 0)
            expired_before = spec.windows.expired_before(self.time.watermark_ms - held_ms)
            if expired_before is not None and expired_before > 0:
                store = self.stores[spec.name]
                assert isinstance(store, WindowStore | SessionStore | WrittenSessions)
                store.drop_before(expired_before)
        for versions in self._versions.values():
            versions.forget()

    def abort(self) -> None:
        """Drop all work since the last commit. The task cannot be used any more; a new one is created."""
        for store in self.stores.values():
            store.abort()

    async def close(self) -> None:
        """Stop the agents."""
        for agent in self.agents:
            await agent.close()


def _arrived(step: Step, outputs: Sequence[Batch | None]) -> Batch | None:
    """Return the outputs of a step's parents, in the order of events; ``None`` for no records."""
    arrived = [found for place in step.parents if (found := outputs[place]) is not None]
    return merged(arrived) if arrived else None
