"""The engine works on batches; what it gives is what the interpreter gives, event by event.

Each sub-topology of a random application is run as tasks on random input, cut into random batches, and
beside it by the interpreter. Both must write the same records in the same order and keep the same state.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from hypothesis import event, given, note
from hypothesis import strategies as st
from msgspec import structs

from streamcore.errors import SerdeError, UserCodeError
from streamcore.model import FetchedColumns, Headers, Record, TopicPartition
from streamcore.partitioning import partition_of_key
from streamcore.processing.context import user_context
from streamcore.processing.dsl.app import App
from streamcore.processing.operators.outputs import Outputs
from streamcore.processing.runtime.building import TaskBuilder
from streamcore.processing.runtime.failures import FailureLog
from streamcore.processing.runtime.inputs import RecordQueue
from streamcore.processing.runtime.stores import write_back_of
from streamcore.processing.runtime.task import Task, TaskId
from streamcore.processing.topology.aggregations import count
from streamcore.processing.topology.kept_aggregations import distinct
from streamcore.processing.topology.marks import Mark, WriterTimes, headers_of, marks_in
from streamcore.processing.topology.meaning.interpreter import Interpreter
from streamcore.processing.topology.nodes import StoreSpec
from streamcore.processing.topology.partitions import resolve_partitions
from streamcore.processing.topology.plan import Plan, SubTopology, task_count, writers_of
from streamcore.processing.topology.record_sizes import NO_LIMIT
from streamcore.processing.topology.references import Note, Reference
from streamcore.processing.topology.times import NO_TIME, NO_TIMESTAMP
from streamcore.processing.topology.windows import RecordWindows
from streamcore.state.memory import MemoryEngine
from tests.support.random_functions import event_time_ms
from tests.support.random_topologies import applications, stored_records

Stored = Record[bytes | None, bytes | None]
DRAWN_TYPES = (None, int, str, Note, Reference, list[tuple[bool, int]])
"""The types of values of which ``stored_records`` draws some."""


@dataclass
class Given:
    """What an engine made of a task's input: records by topic and partition, state by store."""

    outputs: dict[TopicPartition, list[tuple[Any, ...]]]
    state: dict[str, list[tuple[str, Any]]]
    late_count: int


@st.composite
def with_marks(
    draw: st.DrawFn, records: list[Stored], topic: str, partition: int, writers: list[str]
) -> list[Stored]:
    """The records of a repartition topic with marks of the tasks that write it between them."""
    times_ms = dict.fromkeys(writers, NO_TIME)
    found: list[Stored] = []

    def put(marks: list[Mark]) -> None:
        times_ms.update({mark.writer: mark.watermark_ms for mark in marks})
        found.append(Record(None, None, NO_TIMESTAMP, headers_of(marks), topic, partition))

    if draw(st.integers(0, 4)):
        put([Mark(writer, NO_TIME, is_idle=True) for writer in writers])
    for record in records:
        found.append(record)
        while draw(st.booleans()):
            moved = draw(st.lists(st.sampled_from(writers), min_size=1, unique=True))
            time_ms = draw(st.integers(0, 40)) * draw(st.sampled_from([1_000, 1_000, 3_600_000]))
            is_idle = draw(st.sampled_from([False, False, True]))
            put([Mark(writer, max(time_ms, times_ms[writer]), is_idle) for writer in moved])
    return [structs.replace(record, offset=offset) for offset, record in enumerate(found)]


# -- event by event


def order_of_events(
    inputs: list[list[Stored]], plan: Plan, counts: dict[str, int], sub_topology: SubTopology
) -> list[Stored]:
    """The records of a task's inputs, lowest partition time first; of equal ones those of the first input.

    A mark has the time that it brings.
    """
    keyed: list[tuple[int, int, Stored]] = []
    for index, (entry, records) in enumerate(zip(sub_topology.inputs, inputs, strict=True)):
        order = NO_TIME
        writers = WriterTimes(writers_of(plan, entry.topic.name, counts))
        for record in records:
            if entry.has_marks and (marks := marks_in(record.headers)):
                writers.take(marks)
                order = max(order, writers.placing_ms)
            order = max(order, event_time_ms(entry.topic, record))
            keyed.append((order, index, record))
    return [record for _, _, record in sorted(keyed, key=lambda item: item[:2])]


def by_events(
    app: App, plan: Plan, counts: dict[str, int], sub_topology: SubTopology, records: list[Stored]
) -> Given:
    interpreter = Interpreter(
        plan, counts, on_error=app.declaration.on_error, code_of=user_context, only=sub_topology
    )
    for record in records:
        interpreter.take(record)
    outputs: dict[TopicPartition, list[tuple[Any, ...]]] = {}
    for topic, written in interpreter.outputs.items():
        for record in written:
            target = TopicPartition(topic, record.partition)
            outputs.setdefault(target, []).append(
                (record.key, record.value, record.timestamp_ms, without_traceback(record.headers))
            )
    state = {
        store.name: shown(store, interpreter.state(store.name, records[0].partition)) if records else []
        for store in sub_topology.stores
    }
    return Given(with_letters_in_order(outputs), state, interpreter.late_count)


def shown(store: StoreSpec, pairs: Iterable[tuple[Any, Any]]) -> list[tuple[str, Any]]:
    """Keys as text: Python holds some keys equal that are two. Some stores are in the order of ends.

    Accumulators are shown as they are read from the store: a set that grows has another form in memory.
    """
    if store.aggregators:
        encode, decode = store.value_serde.encode, store.value_serde.decode
        pairs = [(key, decode(encode(value))) for key, value in pairs]
    if isinstance(store.windows, RecordWindows):
        return sorted(((repr(key), value) for key, value in pairs), key=lambda pair: pair[0])
    return [(repr(key), value) for key, value in pairs]


def with_letters_in_order(
    outputs: dict[TopicPartition, list[tuple[Any, ...]]],
) -> dict[TopicPartition, list[tuple[Any, ...]]]:
    """The outputs, with the letters of one record in one order: several of its rows can fail in a step, the
    one in a function of the batch, the other in the fold of its key.
    """

    def place(letter: tuple[Any, ...]) -> list[Any]:
        return [header for header in letter[3] if header[0] != "streamcore.error"]

    return {
        target: [
            letter
            for _, letters in itertools.groupby(rows, key=place)
            for letter in sorted(letters, key=repr)
        ]
        if target.topic == "dead"
        else rows
        for target, rows in outputs.items()
    }


def without_traceback(headers: Headers) -> Headers:
    """The headers of a dead letter but the one that names the lines of the engine."""
    return tuple(header for header in headers if header[0] != "streamcore.traceback")


# -- batch by batch


def run_of(topic: TopicPartition, records: list[Stored]) -> FetchedColumns:
    return FetchedColumns(
        [record.key for record in records],
        [record.value for record in records],
        [record.timestamp_ms for record in records],
        [record.headers for record in records] if any(record.headers for record in records) else None,
        partition=topic,
        offsets=[record.offset for record in records],
        next_offset=records[-1].offset + 1,
    )


def by_batches(
    app: App,
    plan: Plan,
    counts: dict[str, int],
    sub_topology: SubTopology,
    partition: int,
    inputs: list[list[Stored]],
    cuts: st.DataObject,
) -> Given:
    outputs = Outputs()
    builder = TaskBuilder(
        on_error=app.declaration.on_error,
        counts=counts,
        record_bytes_max=dict.fromkeys(counts, NO_LIMIT),
        partition_of=partition_of_key,
        failures=FailureLog(lambda: 0.0),
        wait_ms=lambda duration_ms: None,
    )
    queues = [
        RecordQueue(
            TopicPartition(entry.topic.name, partition),
            entry.topic,
            0,
            writers=writers_of(plan, entry.topic.name, counts) if entry.has_marks else None,
        )
        for entry in sub_topology.inputs
    ]
    for rank, queue in enumerate(queues):
        queue.rank = rank
    engine = MemoryEngine()
    stores = {store.name: write_back_of(engine, store) for store in sub_topology.stores}
    task = Task(TaskId(sub_topology.name, partition), sub_topology, queues, stores, NO_TIME, outputs)
    builder.build(task)

    async def process() -> None:
        if len(queues) == 1:
            rest = inputs[0]
            while rest:
                count = cuts.draw(st.integers(1, len(rest)), label="records in a batch")
                queues[0].fill(run_of(queues[0].partition, rest[:count]))
                rest = rest[count:]
                await task.process(None)
                outputs.end_round()
                maybe_commit()
        else:
            for queue, records in zip(queues, inputs, strict=True):
                if records:
                    queue.fill(run_of(queue.partition, records))
            for order in sorted(cuts.draw(st.lists(st.integers(0, 30_000), max_size=4), label="rounds")):
                await task.process((order, cuts.draw(st.integers(0, len(queues) - 1))))
                outputs.end_round()
                maybe_commit()
            await task.process(None)
            outputs.end_round()

    def maybe_commit() -> None:
        if cuts.draw(st.booleans(), label="commit"):
            engine.apply([writes for store in stores.values() if (writes := store.drain()) is not None])
            for store in stores.values():
                store.committed()

    asyncio.run(process())
    assert task.processed_count == sum(not marks_in(record.headers) for each in inputs for record in each)
    written: dict[TopicPartition, list[tuple[Any, ...]]] = {}
    for internal in (False, True):
        for target, columns in outputs.taken(internal=internal).items():
            headers = columns.headers or [()] * len(columns)
            written[target] = list(
                zip(
                    columns.keys,
                    columns.values,
                    columns.timestamps_ms,
                    map(without_traceback, headers),
                    strict=True,
                )
            )
    return Given(
        with_letters_in_order(written),
        {spec.name: shown(spec, stores[spec.name].items()) for spec in sub_topology.stores},
        task.late_count,
    )


@given(applications(), st.data())
def test_a_task_gives_for_batches_what_the_interpreter_gives_for_events(
    app: App, data: st.DataObject
) -> None:
    plan = app.plan()
    counts = resolve_partitions(plan, {}) | {"dead": 2}
    note(app.describe())
    for sub_topology in plan.sub_topologies:
        partition = data.draw(st.integers(0, task_count(sub_topology, counts) - 1), label="partition")
        # Records are drawn as numbers, which are no values of a topic that an aggregation writes.
        types = [(entry.topic.key_type, entry.topic.value_type) for entry in sub_topology.inputs]
        if any(found not in DRAWN_TYPES for found in itertools.chain.from_iterable(types)):
            continue
        inputs = [
            data.draw(stored_records(entry.topic, partition), label=entry.topic.name)
            for entry in sub_topology.inputs
        ]
        for index, entry in enumerate(sub_topology.inputs):
            if entry.has_marks:
                event("an input has marks")
                writers = writers_of(plan, entry.topic.name, counts)
                inputs[index] = data.draw(with_marks(inputs[index], entry.topic.name, partition, writers))
        records = order_of_events(inputs, plan, counts, sub_topology)

        expected = given_or_stopped(by_events, app, plan, counts, sub_topology, records)
        found = given_or_stopped(by_batches, app, plan, counts, sub_topology, partition, inputs, data)

        assert found == expected


def test_sets_of_both_engines_are_compared_as_they_are_stored() -> None:
    app = App("app")
    numbers = app.topic("numbers", key=str, value=int, partitions=1)
    numbers.aggregate("kept", different=distinct(), records=count())
    numbers.session("1h").aggregate("sessions", different=distinct())
    plan, counts = app.plan(), {"numbers": 1}
    records: list[Stored] = [
        Record(b"k", b"%d" % number, number, (), "numbers", 0, number) for number in (1, 2, 3)
    ]

    class Whole:
        """Cuts nothing and commits at the end."""

        def draw(self, strategy: object, label: str) -> int:
            return 3 if label == "records in a batch" else 1

    expected = by_events(app, plan, counts, plan.sub_topologies[0], records)
    found = by_batches(app, plan, counts, plan.sub_topologies[0], 0, [records], Whole())  # type: ignore[arg-type]

    assert found == expected
    assert found.state["kept"][0][1][1] == 3


def given_or_stopped(run: Callable[..., Given], *arguments: Any) -> Given | str:
    """What an engine gave, or that a record stopped it: batches may find another failing record first."""
    try:
        return run(*arguments)
    except (UserCodeError, SerdeError):
        event("stopped by a failing record")
        return "stopped"
