"""The three parts of a foreign-key join give for batches what the interpreter gives for events.

Random applications have such joins too, but seldom with references, answers and changes of a table that meet
in a round. Here each part gets records of few keys and times, and is cut at random.
"""

from __future__ import annotations

from typing import Any

from hypothesis import Phase, given, note, settings
from hypothesis import strategies as st

import streamcore as sc
from streamcore.model import Record
from streamcore.processing.topology.nodes import TopicSpec
from streamcore.processing.topology.partitions import resolve_partitions
from streamcore.processing.topology.plan import writers_of
from streamcore.processing.topology.references import Note, Reference
from tests.property.test_batches_equal_events import (
    by_batches,
    by_events,
    given_or_stopped,
    order_of_events,
    with_marks,
)

KEYS = ("a", "b")
STAMPS = st.sampled_from([b"", b"s", b"t"])
DATA = st.sampled_from([None, b"1", b"2", b"3"])
VALUES: dict[Any, st.SearchStrategy[Any]] = {
    Note: st.builds(Note, st.booleans(), STAMPS, DATA),
    Reference: st.builds(Reference, st.sampled_from([b"a", b"b", b"a\x00"]), STAMPS),
    int: st.none() | st.integers(0, 5),
}


def foreign_key(value: int) -> str | None:
    if value == 4:
        raise ValueError("4")
    return None if value == 3 else KEYS[value % 2]


def pair(value: int, other: int | None) -> str | None:
    if other == 3:
        raise ValueError("3")
    return None if value == 1 else f"{value}-{other}"


@st.composite
def applications(draw: st.DrawFn) -> sc.App:
    app = sc.App("foreign", on_error=sc.skip)
    left = app.topic("left", key=str, value=int, partitions=1).table("lefts")
    topic = app.topic("right", key=str, value=int, partitions=1)
    match draw(st.sampled_from(["topic", "topic", "aggregate", "suppressed", "mapped", "itself"])):
        case "aggregate":
            right = topic.count("rights")
        case "suppressed":
            right = topic.table("rights").suppress("3s", name="calm")
        case "mapped":
            right = topic.table("rights").map(lambda value: value or None, name="mapped", value=int)
        case "itself":
            right = left
        case _:
            right = topic.table("rights")
    how: Any = draw(st.sampled_from(["inner", "left"]))
    left.join(right, pair, on=foreign_key, how=how, name="both").to_stream().to("changes")
    return app


@st.composite
def records_of(draw: st.DrawFn, topic: TopicSpec) -> list[Record[Any, Any]]:
    """Records of one partition, whose times often meet those of other topics.

    Each topic begins at 0, so that no mark moves the watermark before a topic has had a record.
    """
    records = []
    time_ms = 0
    for offset in range(draw(st.integers(1, 15))):
        time_ms = max(0, time_ms + draw(st.integers(-1, 2)) * 1_000) if offset else 0
        value = draw(VALUES[topic.value_type])
        data = None if value is None else topic.value_serde.encode(value)
        key = draw(st.sampled_from(KEYS)).encode()
        records.append(Record(key, data, time_ms, (), topic.name, 0, offset))
    return records


@settings(phases=[Phase.generate, Phase.explicit])
@given(applications(), st.data())
def test_the_parts_of_a_foreign_key_join_give_what_the_interpreter_gives(
    app: sc.App, data: st.DataObject
) -> None:
    plan = app.plan()
    counts = resolve_partitions(plan, {})
    note(app.describe())
    for sub_topology in plan.sub_topologies:
        inputs = [data.draw(records_of(entry.topic)) for entry in sub_topology.inputs]
        for index, entry in enumerate(sub_topology.inputs):
            if entry.has_marks:
                writers = writers_of(plan, entry.topic.name, counts)
                inputs[index] = data.draw(with_marks(inputs[index], entry.topic.name, 0, writers))
        records = order_of_events(inputs, plan, counts, sub_topology)

        expected = given_or_stopped(by_events, app, plan, counts, sub_topology, records)
        found = given_or_stopped(by_batches, app, plan, counts, sub_topology, 0, inputs, data)

        assert found == expected
