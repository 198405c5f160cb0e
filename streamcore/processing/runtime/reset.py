"""Resets an application, or a part of it: committed offsets, changelogs, repartition topics and state.

The unit of a reset is a set of connected sub-topologies: a table cannot start over without the records
that made it, and the step that reads them again also writes them to all steps behind it. A reset is
recorded in ``<app>-descriptions`` before anything is deleted, and ends with one transaction that moves the
committed offsets and deletes the record. In between, workers refuse to start and the reset can be repeated.
State on disk needs no deletion: stores that were made from a deleted changelog are made anew.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Mapping, Sequence

from msgspec import Struct

from streamcore.clock import Clock
from streamcore.errors import UnknownTopicError, UsageError, fact_text
from streamcore.log.client.port import Log, Producer
from streamcore.log.groups import ResetTarget, reset_offsets
from streamcore.model import CommittedOffset, Offset, TopicName, TopicPartition
from streamcore.processing.runtime.notes import InputNote
from streamcore.processing.topology.nodes import Repartition, TopicSpec
from streamcore.processing.topology.plan import Plan, SubTopology, topics_written_by
from streamcore.state import changelog
from streamcore.state.application_records import (
    ApplicationRecords,
    InputRecord,
    RecordChanges,
    ResetRecord,
    TableRecord,
    read_records,
)


class ResetPlan(Struct, frozen=True):
    """The effects of a reset."""

    app_id: str
    parts: tuple[str, ...]
    """The sub-topologies that start over."""
    tables: tuple[str, ...]
    """The tables that become empty."""
    deleted_topics: tuple[TopicName, ...]
    """Changelogs and repartition topics."""
    start_offsets: Mapping[TopicPartition, Offset]
    """The offsets at which reading starts."""
    read_from_end: tuple[TopicName, ...]
    """Topics that the reset parts write themselves; they are read from their end."""
    written_again: tuple[TopicName, ...]
    """Topics of the user that receive their records a second time."""
    partitions_before: Mapping[TopicName, int]
    """The number of partitions of inputs when the application first read them."""


def readers_of(plan: Plan, topic: TopicName) -> list[str]:
    """Return the sub-topologies that read a topic."""
    return [part.name for part in plan.sub_topologies if topic in _inputs_of(part)]


def parts_of_table(plan: Plan, table: str) -> list[str]:
    """Return the sub-topology of a table; none for a global table, which has no committed offsets.

    Raises:
        UsageError: the application has no such table.
    """
    for part in plan.sub_topologies:
        if part.store_of(table) is not None:
            return [part.name]
    if any(found.store.name == table for found in plan.global_tables):
        raise UsageError(
            "a global table follows its topic and starts over with the whole application: leave --table out: "
            + fact_text(table=table)
        )
    tables = sorted(store.name for part in plan.sub_topologies for store in part.stores)
    raise UsageError(
        "the application has no such table; declare it to reset it: "
        + fact_text(table=table, tables=",".join(tables) or "none")
    )


def connected_parts(plan: Plan, names: Iterable[str]) -> list[str]:
    """Return the sub-topologies that start over with these.

    The writers of a repartition topic start over with its readers, and the readers of a topic with its
    writers, or the readers would take the same records twice.
    """
    wanted = set(names)
    while True:
        members = [part for part in plan.sub_topologies if part.name in wanted]
        read = {topic.name for part in members for topic in _specs_of(part) if topic.internal}
        written = {topic.name for part in members for topic in topics_written_by(part)}
        more = {
            part.name
            for part in plan.sub_topologies
            if part.name not in wanted
            and (
                any(topic.name in read for topic in topics_written_by(part))
                or not written.isdisjoint(_inputs_of(part))
            )
        }
        if not more:
            return [part.name for part in members]
        wanted |= more


def plan_reset(
    log: Log,
    plan: Plan,
    records: ApplicationRecords,
    parts: Collection[str],
    to: ResetTarget,
    now_ms: int,
    offsets: Mapping[TopicPartition, Offset] | None = None,
) -> ResetPlan:
    """Return the effects of a reset of some sub-topologies, without changing anything.

    Args:
        parts: as ``connected_parts`` gives them.
        to: where to read the inputs from: ``earliest``, ``latest``, an offset or a time.
        offsets: other start offsets of single partitions.

    Raises:
        UsageError: ``to`` is not understood, or ``offsets`` names what the parts do not read.
    """
    existing = dict(log.topics())
    members = [part for part in plan.sub_topologies if part.name in parts]
    written = [topic for part in members for topic in topics_written_by(part)]
    written_names = {topic.name for topic in written}
    inputs = list(dict.fromkeys(name for part in members for name in _inputs_of(part)))
    repartition = {topic.name for part in members for topic in _specs_of(part) if topic.internal}
    repartition |= {
        node.topic.name for part in members for node in part.nodes if isinstance(node, Repartition)
    }
    changelogs = [
        changelog.changelog_topic(plan.app_id, store.name)
        for part in members
        for store in part.stores
        if store.source_topic is None
    ]
    read_again = [name for name in inputs if name not in repartition and name in existing]
    partitions = {
        name: [TopicPartition(name, number) for number in range(existing[name].partition_count)]
        for name in read_again
    }
    from_end = [name for name in read_again if name in written_names]
    start_offsets: dict[TopicPartition, CommittedOffset] = {}
    for names, target in (([n for n in read_again if n not in from_end], to), (from_end, "latest")):
        start_offsets |= reset_offsets(
            log,
            [partition for name in names for partition in partitions[name]],
            target,
            committed={},
            now_ms=now_ms,
        )
    given = dict(offsets or {})
    if unknown := [partition for partition in given if partition not in start_offsets]:
        raise UsageError(
            "this partition is not read by what is reset: "
            + fact_text(partition=unknown[0], topics=",".join(read_again))
        )
    if given:
        start_offsets |= reset_offsets(log, list(given), given, committed={}, now_ms=now_ms)
    return ResetPlan(
        app_id=plan.app_id,
        parts=tuple(part.name for part in members),
        tables=tuple(store.name for part in members for store in part.stores),
        deleted_topics=tuple(name for name in [*changelogs, *sorted(repartition)] if name in existing),
        start_offsets={partition: found.offset for partition, found in sorted(start_offsets.items())},
        read_from_end=tuple(from_end),
        written_again=tuple(
            dict.fromkeys(
                topic.name for topic in written if not topic.internal and topic.name not in from_end
            )
        ),
        partitions_before=_partitions_before(log, plan, records, members, read_again),
    )


def carry_out(log: Log, reset: ResetPlan, producer: Producer, clock: Clock) -> None:
    """Carry out a plan. After a crash the reset stays begun: workers refuse to start until it is repeated.

    Args:
        producer: with the transactional id of the application's worker.
    """
    records = read_records(log, reset.app_id)
    begun = RecordChanges(records)
    begun.reset(ResetRecord(parts=list(reset.parts)))
    ids = {name: topic.topic_id for name, topic in log.topics().items() if name in reset.deleted_topics}
    for table in reset.tables:
        topic = changelog.changelog_topic(reset.app_id, table)
        before = records.tables.get(table) or TableRecord()
        former = [*before.replaced_ids]
        former += [topic_id.hex for name, topic_id in ids.items() if name == topic]
        if before.changelog_id is not None:
            former.append(before.changelog_id)
        if former:
            begun.table(table, TableRecord(replaced_ids=list(dict.fromkeys(former))))
    with producer.transaction() as transaction:
        begun.append_to(transaction, clock)
    for name in reset.deleted_topics:
        with contextlib.suppress(UnknownTopicError):
            log.delete_topic(name)
    ended = RecordChanges(records)
    for name in reset.deleted_topics:
        ended.forget_input(name)
    for name in dict.fromkeys(partition.topic for partition in reset.start_offsets):
        before_count = reset.partitions_before.get(name)
        if before_count is None:
            ended.forget_input(name)
        else:
            ended.input(name, InputRecord(topic_id=None, partitions=before_count))
    ended.reset(None)
    with producer.transaction() as transaction:
        ended.append_to(transaction, clock)
        if reset.start_offsets:
            transaction.commit_offsets(
                reset.app_id,
                # With a note, as the application's own commits have: without it, a second worker that starts
                # would warn that another program has moved the offsets.
                {
                    partition: CommittedOffset(offset, InputNote().text())
                    for partition, offset in reset.start_offsets.items()
                },
            )


def _partitions_before(
    log: Log,
    plan: Plan,
    records: ApplicationRecords,
    members: Sequence[SubTopology],
    names: Sequence[TopicName],
) -> dict[TopicName, int]:
    """Return the numbers of partitions of the inputs at their first read, as far as they are known.

    A reset keeps them: the records of a key are in two partitions after it as before. The number of a topic
    is dropped if the topic holds no record any more.
    """
    existing = log.topics()
    found: dict[TopicName, int] = {}
    for name in names:
        record = records.inputs.get(name)
        if record is not None and record.topic_id not in (None, existing[name].topic_id.hex):
            continue
        counts = [] if record is None else [record.partitions]
        for part in members:
            if name in _inputs_of(part):
                topics = [
                    changelog.changelog_topic(plan.app_id, store.name)
                    for store in part.stores
                    if store.source_topic is None
                ]
                counts += [existing[topic].partition_count for topic in topics if topic in existing]
        partitions = [TopicPartition(name, number) for number in range(existing[name].partition_count)]
        is_empty = all(marks.log_start == marks.log_end for marks in log.offsets(partitions).values())
        if counts and not is_empty and min(counts) < existing[name].partition_count:
            found[name] = min(counts)
    return found


def _specs_of(part: SubTopology) -> list[TopicSpec]:
    return [entry.topic for entry in part.inputs]


def _inputs_of(part: SubTopology) -> list[TopicName]:
    return [topic.name for topic in _specs_of(part)]
