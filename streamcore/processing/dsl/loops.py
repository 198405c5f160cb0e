"""Finds endless loops of records in a graph of topics.

A topic leads to the topics that its records, or records made of them, are written to: by ``to`` and by
repartition topics, and by ``dead_letter`` policies when a record fails. Two kinds of loops are refused:

* a loop with a dead letter in it: a record that always fails is read again by the step where it fails;
* a loop of steps that each pass on every record: the first record never ends.

Records that agents send are not known here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Struct

from streamcore.errors import TopologyError, fact_text
from streamcore.processing.topology.error_policy import DeadLetter, ErrorPolicy
from streamcore.processing.topology.nodes import (
    GroupBy,
    Map,
    MapRecord,
    Merge,
    Node,
    Peek,
    Repartition,
    Source,
    To,
)

_GIVE_EVERY_RECORD = (Source, Map, MapRecord, Peek, GroupBy, Merge, Repartition)


class _Way(Struct, frozen=True):
    """One way of records from a topic to another: the step that writes, and on which condition."""

    start: str
    end: str
    step: str
    fails: bool
    always: bool


def refuse_endless_loop(nodes: Sequence[Node], app_policy: ErrorPolicy) -> None:
    """Refuse a graph with an endless loop of records.

    Raises:
        TopologyError: there is one; the message names the topics of the loop and the step that closes it.
    """
    newest = nodes[-1]
    if not (_writes(newest) or isinstance(newest, Source) or _dead_letter_of(newest, app_policy)):
        return
    ways = list(_ways(nodes, app_policy))
    for way in ways:
        if way.fails:
            ring = _ring(way, ways)
            if ring is not None:
                raise TopologyError(
                    "records that fail would come back to where they fail, without end; send dead letters to "
                    "a topic that nothing here reads, or give the steps that read it another on_error: "
                    + fact_text(dead_letter=way.end, step=way.step, ring=" -> ".join(ring))
                )
        elif way.always:
            ring = _ring(way, [other for other in ways if other.always])
            if ring is not None:
                raise TopologyError(
                    "each record would come back to where it is read, without end; write to another topic, "
                    f"or filter before: {fact_text(step=way.step, ring=' -> '.join(ring))}"
                )


def _ways(nodes: Sequence[Node], app_policy: ErrorPolicy) -> Iterator[_Way]:
    origins: dict[Node, dict[str, bool]] = {}
    for node in nodes:
        found: dict[str, bool] = {}
        for parent in node.parents:
            above = {parent.topic.name: True} if isinstance(parent, Repartition) else origins[parent]
            for topic, always in above.items():
                found[topic] = found.get(topic, False) or always
        if isinstance(node, Source):
            found = {node.topic.name: True}
        passes = isinstance(node, _GIVE_EVERY_RECORD)
        origins[node] = {topic: always and passes for topic, always in found.items()}
        policy = _dead_letter_of(node, app_policy)
        for topic, always in found.items():
            for written in _writes(node):
                on_the_way = always and node.late is None
                yield _Way(topic, written, node.name, fails=False, always=on_the_way)
            if policy is not None:
                yield _Way(topic, policy.topic, node.name, fails=True, always=False)


def _writes(node: Node) -> list[str]:
    if isinstance(node, To | Repartition):
        return [node.topic.name]
    return [] if node.late is None else [node.late.name]


def _dead_letter_of(node: Node, app_policy: ErrorPolicy) -> DeadLetter | None:
    declared = node.topic.on_error if isinstance(node, Source) else node.on_error
    policy = app_policy if declared is None else declared
    return policy if isinstance(policy, DeadLetter) else None


def _ring(way: _Way, ways: Sequence[_Way]) -> list[str] | None:
    """Return the topics of a loop that begins with a way, from its start to its start; ``None`` if there
    is none.
    """
    before: dict[str, str] = {}
    waiting = [way.end]
    while waiting and way.start != way.end and way.start not in before:
        topic = waiting.pop()
        for other in ways:
            if other.start == topic and other.end != way.end and other.end not in before:
                before[other.end] = topic
                waiting.append(other.end)
    if way.start != way.end and way.start not in before:
        return None
    ring = [way.start]
    while ring[-1] != way.end:
        ring.append(before[ring[-1]])
    return [way.start, *reversed(ring)]
