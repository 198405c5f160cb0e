"""Finds the record that made a value which cannot be stored, so that the error policy of its step decides.

Values are encoded once a commit. Where one cannot be stored, because its changelog takes no record of this
size or because it does not encode, the commit knows the table and the key, but not the record. The work since
the last commit is then dropped and done again in smaller rounds with a commit behind each, until a round of
one record fails. That record comes once more, and the step that writes the table gets it as a failed one: the
step stops, leaves the record out, or sends it to the dead letter topic. What was committed before it stays.

The results are those of the records in their order. Application code runs again for the records since the
last commit, as after a crash.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from msgspec import Struct, field

from streamcore.model import Offset, TopicPartition
from streamcore.processing.operators.guard import Guard
from streamcore.processing.runtime.commit import TaskState, UnstorableError
from streamcore.processing.runtime.refused_rows import Place, RefusedRows
from streamcore.processing.runtime.task import Task
from streamcore.processing.topology.nodes import Node, StoreSpec, own_stores
from streamcore.processing.topology.plan import SubTopology

_NARROWER: Final = 16
"""How much smaller the rounds get with each failing commit."""


class Refusal(Struct, frozen=True):
    """A record that the step of a table gets as a failed one."""

    cause: UnstorableError
    record: Place | None
    """Where the record was read; ``None`` if the passing of time made the value."""


class Narrowing(Struct, frozen=True):
    """The smaller rounds of one part, up to the records whose commit failed."""

    cause: UnstorableError
    records_max: int
    until: Mapping[TopicPartition, Offset]
    refusals: Sequence[Refusal] = field(default=())

    @property
    def is_of_one(self) -> bool:
        """Whether each round has one record."""
        return self.records_max == 1


def narrowed(
    cause: UnstorableError, states: Sequence[TaskState], before: Narrowing | None, alone: Place | None
) -> Narrowing:
    """Return how to process the records of a part again whose commit failed.

    Args:
        states: the tasks of the part, whose positions are those that the commit would have reached.
        before: how the records were processed.
        alone: the record of the round, if it had only one.

    Raises:
        UnstorableError: the cause itself, if no step can be given the record as a failed one.
    """
    until = dict(before.until) if before is not None else {}
    count = 0
    for state in states:
        for queue in state.task.inputs:
            until[queue.partition] = max(until.get(queue.partition, 0), queue.position)
            count += queue.position - state.committed.get(queue.partition, queue.position)
    if count and (before is None or not before.is_of_one):
        limit = count if before is None else min(count, before.records_max)
        return Narrowing(cause, max(1, limit // _NARROWER), until)
    refusal = Refusal(cause, alone if count else None)
    refused = () if before is None else before.refusals
    task = next(state.task for state in states if str(state.task.task_id) == cause.task)
    has_failed_before = any(
        each.record == refusal.record and each.cause.store == cause.store for each in refused
    )
    if has_failed_before or not any(_writers_of(task.sub_topology, cause.store)):
        raise cause
    return Narrowing(cause, 1, until, (*refused, refusal))


def refused_in(
    narrowing: Narrowing, task: Task, guard_of: Callable[[Task, Node], Guard]
) -> dict[Node, list[RefusedRows]]:
    """Return what the steps of a task do not take."""
    found: dict[Node, list[RefusedRows]] = {}
    for refusal in narrowing.refusals:
        cause = refusal.cause
        if cause.task == str(task.task_id):
            for node, store in _writers_of(task.sub_topology, cause.store):
                rows = RefusedRows(refusal.record, cause.key, cause.reason, guard_of(task, node), store)
                found.setdefault(node, []).append(rows)
    return found


def _writers_of(sub_topology: SubTopology, store: str) -> Iterator[tuple[Node, StoreSpec]]:
    """Yield the steps that write a store, with the store."""
    for node in sub_topology.nodes:
        for spec in own_stores(node):
            if spec.name == store:
                yield node, spec
