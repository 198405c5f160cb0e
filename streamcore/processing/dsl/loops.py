"""Finds endless loops of records in a graph of topics.

A topic leads to the topics that its records, or records made of them, are written to: by ``to`` and by
repartition topics, by ``dead_letter`` policies when a record fails, and by ``late=`` when a record is late.
Three kinds of loops are refused:

* a loop with a dead letter in it: a record that always fails is read again by the step where it fails;
* a loop with late records in it, whose steps pass on every record as it is: a late record is late again when
  it is read;
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

_KEEP_EVERY_RECORD = (Source, Peek, GroupBy, Merge, Repartition)
"""Steps that pass on each record with its value and time, by which it is late."""
_GIVE_EVERY_RECORD = (*_KEEP_EVERY_RECORD, Map, MapRecord)


class _Way(Struct, frozen=True):
    """One way of records from a topic to another: the step that writes, and on which condition."""

    start: str
    end: str
    step: str
    fails: bool
    late: bool
    always: bool
    keeps: bool
    """Whether each record comes with its value and time."""


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
        elif way.late:
            ring = _ring(way, [other for other in ways if other.keeps])
            if ring is not None:
                raise TopologyError(
                    "late records would come back to where they are late, without end; write them to a topic "
                    "that nothing here reads: "
                    + fact_text(late=way.end, step=way.step, ring=" -> ".join(ring))
                )
        elif way.always:
            ring = _ring(way, [other for other in ways if other.always])
            if ring is not None:
                raise TopologyError(
                    "each record would come back to where it is read, without end; write to another topic, "
                    f"or filter before: {fact_text(step=way.step, ring=' -> '.join(ring))}"
                )


def _ways(nodes: Sequence[Node], app_policy: ErrorPolicy) -> Iterator[_Way]:
    origins: dict[Node, dict[str, tuple[bool, bool]]] = {}
    for node in nodes:
        found: dict[str, tuple[bool, bool]] = {}
        for parent in node.parents:
            above = {parent.topic.name: (True, True)} if isinstance(parent, Repartition) else origins[parent]
            for topic, (always, keeps) in above.items():
                before = found.get(topic, (False, False))
                found[topic] = before[0] or always, before[1] or keeps
        if isinstance(node, Source):
            found = {node.topic.name: (True, True)}
        gives, kept = isinstance(node, _GIVE_EVERY_RECORD), isinstance(node, _KEEP_EVERY_RECORD)
        origins[node] = {
            topic: (always and gives, keeps and kept) for topic, (always, keeps) in found.items()
        }
        policy = _dead_letter_of(node, app_policy)
        is_late = node.late is not None
        for topic, (always, keeps) in found.items():
            for written in _writes(node):
                yield _Way(
                    topic,
                    written,
                    node.name,
                    fails=False,
                    late=keeps and is_late,
                    always=always and not is_late,
                    keeps=keeps,
                )
            if policy is not None:
                yield _Way(topic, policy.topic, node.name, fails=True, late=False, always=False, keeps=False)


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
