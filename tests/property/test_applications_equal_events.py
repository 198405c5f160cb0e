"""Whole applications, through topics, commits and crashes, give what the interpreter gives event by event.

What a random application writes and keeps must not depend on how its input was cut into batches, nor
on when the machine failed. Where several of its parts write one topic, or one part reads several topics that
its own parts write, the order between these is nobody's promise: there the records are compared
without it, or the application is left to the tests of single tasks.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import Phase, assume, given, note, settings
from hypothesis import strategies as st

from streamcore.model import Record, Windowed
from streamcore.processing.context import user_context
from streamcore.processing.dsl.app import App
from streamcore.processing.topology.error_policy import ErrorPolicy, dead_letter, skip
from streamcore.processing.topology.meaning.interpreter import Interpreter
from streamcore.processing.topology.nodes import (
    Every,
    Final,
    Node,
    Process,
    Repartition,
    StoreSpec,
    StreamJoin,
    To,
    TopicSpec,
)
from streamcore.processing.topology.partitions import resolve_partitions
from streamcore.processing.topology.plan import Plan, SubTopology, task_count
from streamcore.processing.topology.times import NO_TIME
from streamcore.testing.topology_driver import TopologyDriver
from tests.support.random_functions import KEYS, event_time_ms
from tests.support.random_topologies import applications, stored_times_ms, stored_values

Stored = Record[bytes | None, bytes | None]
GOING_ON: st.SearchStrategy[ErrorPolicy] = st.sampled_from([skip, dead_letter("dead")])


def written_by(sub_topology: SubTopology) -> set[str]:
    """The topics that a part writes; failing records can come from any."""
    found = {node.topic.name for node in sub_topology.nodes if isinstance(node, To | Repartition)}
    late = {node.late.name for node in sub_topology.nodes if node.late is not None}
    return found | late | {"dead"}


def has_one_order(plan: Plan, counts: dict[str, int]) -> bool:
    """Whether the order of events is the same however rounds are cut.

    Behind a repartition topic with several partitions, disorder of the input has become another one; a
    second such topic merges by that. Two repartition topics meet as they were written. Behind marks, the
    moments of commits decide what timers see.
    """
    writers = {topic: each for each in plan.sub_topologies for topic in written_by(each) - {"dead"}}
    for sub_topology in plan.sub_topologies:
        internal = [entry.topic for entry in sub_topology.inputs if entry.topic.internal]
        if len(internal) > 1 or (internal and len(sub_topology.inputs) > 1):
            return False
        if any(entry.has_marks for entry in sub_topology.inputs) and not _has_own_order(sub_topology):
            return False
        for topic in internal:
            above = writers[topic.name]
            if any(entry.topic.internal for entry in above.inputs) and counts[above.inputs[0].topic.name] > 1:
                return False
    return True


def _has_own_order(sub_topology: SubTopology) -> bool:
    """Whether no step depends on the place of a mark among the records.

    A timer does. So do intervals of what comes when a mark moves the watermark.
    """
    by_watermark: set[Node] = set()
    for node in sub_topology.nodes:
        if isinstance(node, Process):
            return False
        if isinstance(node, Final | StreamJoin) or by_watermark & {*node.parents}:
            if isinstance(node, Every):
                return False
            by_watermark.add(node)
    return True


def has_one_writer(plan: Plan, counts: dict[str, int], topic: str) -> bool:
    """Whether one part writes the topic, and its tasks take what they read in an order that is certain."""
    writers = [each for each in plan.sub_topologies if topic in written_by(each)]
    return len(writers) == 1 and not any(
        entry.topic.internal and (entry.has_marks or counts[entry.topic.name] > 1)
        for entry in writers[0].inputs
    )


@st.composite
def inputs(draw: st.DrawFn, plan: Plan, counts: dict[str, int]) -> list[Stored]:
    """Records for all topics that come from outside. Times go up and down, and often meet."""
    topics = {
        entry.topic.name: entry.topic
        for each in plan.sub_topologies
        for entry in each.inputs
        if not entry.topic.internal
    }
    sources = [(topic, number) for topic in topics.values() for number in range(counts[topic.name])]
    count = draw(st.integers(0, 30))
    times_ms = [
        seconds * 1_000 for seconds in draw(st.lists(st.integers(0, 20), min_size=count, max_size=count))
    ]
    records: list[Stored] = []
    ends: Counter[tuple[str, int]] = Counter()
    for time_ms in times_ms:
        topic, number = draw(st.sampled_from(sources))
        key = draw(st.sampled_from([None, *(key.encode() for key in KEYS)]))
        value = draw(stored_values(topic))
        stored_ms = draw(stored_times_ms(time_ms))
        records.append(Record(key, value, stored_ms, (), topic.name, number, ends[topic.name, number]))
        ends[topic.name, number] += 1
    return records


def by_time(plan: Plan, records: list[Stored], highest: dict[tuple[str, int], int]) -> list[Stored]:
    """The records in the order in which a worker takes them: lowest partition time first.

    Of equal ones it takes those of the first task first, and in a task those of the first input.

    ``highest`` holds the partition time that each partition has reached; the records move it on.
    """
    ranks = {
        (entry.topic.name, partition): (number, partition, index)
        for number, sub_topology in enumerate(plan.sub_topologies)
        for index, entry in enumerate(sub_topology.inputs)
        for partition in range(max(record.partition for record in records) + 1)
    }
    topics = {entry.topic.name: entry.topic for each in plan.sub_topologies for entry in each.inputs}
    keyed = []
    for record in records:
        source = (record.topic, record.partition)
        highest[source] = max(highest.get(source, NO_TIME), event_time_ms(topics[record.topic], record))
        keyed.append(((highest[source], ranks[source]), record))
    return [record for _, record in sorted(keyed, key=lambda pair: pair[0])]


DRAWN = applications(joins=False, policies=GOING_ON) | applications(policies=GOING_ON)


@settings(phases=[Phase.generate])  # making a failure small takes minutes; reading it does not
@given(DRAWN, st.data())
def test_an_application_gives_what_the_interpreter_gives_whatever_crashes(
    app: App, data: st.DataObject
) -> None:
    ensure_equal_to_events(app, data)


def ensure_equal_to_events(app: App, data: st.DataObject) -> None:
    """Run an application with drawn records, cuts and crashes, and beside it the interpreter."""
    plan = app.plan()
    counts = resolve_partitions(plan, {}) | {"dead": 1}
    assume(has_one_order(plan, counts))
    note(app.describe())
    records = data.draw(inputs(plan, counts), label="records")
    interpreter = Interpreter(plan, counts, on_error=app.declaration.on_error, code_of=user_context)
    slice_records = data.draw(st.integers(1, 12), label="records in a slice")
    fetch_bytes = data.draw(st.sampled_from([1, 200, 1 << 20]), label="bytes fetched at once")
    seed = data.draw(st.integers(0, 100), label="seed")

    with TopologyDriver(
        app, seed=seed, slice_records_max=slice_records, fetch_bytes_max=fetch_bytes
    ) as driver:
        rest = records
        highest: dict[tuple[str, int], int] = {}
        while rest:
            # What is sent together is merged by time; what comes later comes after.
            count = data.draw(st.integers(1, len(rest)), label="sent together")
            sent, rest = rest[:count], rest[count:]
            for record in by_time(plan, sent, highest):
                interpreter.feed(record)
            for record in sent:
                driver.send_bytes(
                    record.topic,
                    key=record.key,
                    value=record.value,
                    at=record.timestamp_ms,
                    partition=record.partition,
                )
            fault = data.draw(st.sampled_from(["none", "crash", "crash later"]), label="fault")
            if fault == "crash":
                driver.crash()
            elif fault == "crash later":
                driver.crash_at(data.draw(st.integers(1, 60), label="operations until the crash"))
            driver.process()

        for topic in sorted({topic for each in plan.sub_topologies for topic in written_by(each)}):
            spec = app.declaration.topics.get(topic)
            if spec is None or spec.internal:
                continue
            expected = [shown(record, spec) for record in interpreter.outputs[topic]]
            found = [
                (record.partition, record.key, record.value, record.timestamp_ms)
                for record in driver.read(topic)
            ]
            assert Counter(map(repr, found)) == Counter(map(repr, expected)), topic
            if has_one_writer(plan, counts, topic):
                assert found == sorted(expected, key=lambda row: row[0]), topic
        for sub_topology in plan.sub_topologies:
            for store in sub_topology.stores:
                kept = kept_by(driver, store)
                expected_state = expected_of(interpreter, store, task_count(sub_topology, counts))
                if store.is_step_state:
                    # A restore brings expired spans back until the next record comes.
                    kept &= expected_state
                assert kept == expected_state


def shown(record: Stored, spec: TopicSpec) -> tuple[Any, ...]:
    key = None if record.key is None else spec.key_serde.decode(record.key)
    value = None if record.value is None else spec.value_serde.decode(record.value)
    return record.partition, key, value, record.timestamp_ms


def kept_by(driver: TopologyDriver, store: StoreSpec) -> Counter[str]:
    found: Counter[str] = Counter()
    for answer in driver.table(store.name).all():
        key = answer.key
        if store.is_of_join:
            # So few rows are one chunk, number 0 of its key.
            (kept, number), start_ms, end_ms = key.key, key.start_ms, key.end_ms
            assert number == 0
            key = Windowed(kept, start_ms, end_ms)
        found[repr((key, answer.value))] += 1
    return found


def expected_of(interpreter: Interpreter, store: StoreSpec, partition_count: int) -> Counter[str]:
    found: Counter[str] = Counter()
    for partition in range(partition_count):
        for key, value in interpreter.state(store.name, partition):
            if store.windows is not None:
                key = store.windows.windowed(*key)
            found[repr((key, value if store.result is None else store.result(value)))] += 1
    return found
