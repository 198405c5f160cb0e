"""Compares an application with its records in the log, before it processes anything.

Another declaration, another topic under an old name, added partitions, offsets that another program moved:
each would give wrong tables without an error. Compared are ``<app>-descriptions``
(``state.application_records``), the committed offsets and the state of each task.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

from streamcore.errors import TopologyError, UsageError, fact_text
from streamcore.log.client.port import TopicDescription
from streamcore.model import CommittedOffset, LogOffsets, Offset, TopicName, TopicPartition
from streamcore.processing.topology.nodes import StoreSpec, TopicSpec
from streamcore.processing.topology.plan import Plan, SubTopology, task_count
from streamcore.state import changelog
from streamcore.state.application_records import (
    ApplicationRecords,
    InputRecord,
    RecordChanges,
    TableRecord,
)
from streamcore.state.descriptions import Change, StoreDescription, change_between, updated
from streamcore.state.value_forms import form_of

_logger = logging.getLogger(__name__)

RESET: Final = "`streamcore app MODULE:APP reset`"


def ensure_no_reset_is_open(records: ApplicationRecords) -> None:
    """Refuse to run if a reset was begun and not completed.

    Raises:
        UsageError: with the command that completes it.
    """
    if records.reset is not None:
        raise UsageError(
            f"a reset of the application was begun and not completed; run it again with {RESET}: "
            + fact_text(app=records.app_id, parts=",".join(records.reset.parts))
        )


# --- topics that are read -----------------------------------------------------------------------


def inputs_of(plan: Plan) -> list[TopicName]:
    """Return the topics that an application reads, with repartition topics and those of global tables."""
    names = [entry.topic.name for sub_topology in plan.sub_topologies for entry in sub_topology.inputs]
    names += [table.topic.name for table in plan.global_tables]
    return list(dict.fromkeys(names))


def replaced_inputs(
    plan: Plan, records: ApplicationRecords, existing: Mapping[TopicName, TopicDescription]
) -> list[TopicName]:
    """Return the topics that were deleted, or deleted and created again, since the application read them.

    The topic of a global table does not count: the table equals its topic, also a new one.
    """
    found = []
    read = [entry.topic.name for sub_topology in plan.sub_topologies for entry in sub_topology.inputs]
    for name in dict.fromkeys(read):
        record, topic = records.inputs.get(name), existing.get(name)
        if record is None or record.topic_id is None:
            continue
        if topic is None or topic.topic_id != UUID(record.topic_id):
            found.append(name)
    return found


def replaced_input_error(
    app_id: str, name: TopicName, existing: Mapping[TopicName, TopicDescription]
) -> TopologyError:
    """Return the error for an input that is another topic than before, or is deleted."""
    state = "deleted and made again" if name in existing else "deleted"
    return TopologyError(
        f"a topic that the application reads was {state}, and its tables hold what came from the old one; "
        f"start over with {RESET}, or choose App(on_recreated_topic='start-over' or 'go-on'): "
        + fact_text(app=app_id, topic=name)
    )


def topics_left(
    plan: Plan, records: ApplicationRecords, existing: Mapping[TopicName, TopicDescription]
) -> list[TopicName]:
    """Return the repartition topics that the application read before, and does not read any more."""
    read = set(inputs_of(plan))
    return [
        name
        for name in records.inputs
        if name in existing
        and name not in read
        and name.startswith(f"{plan.app_id}-")
        and name.endswith("-repartition")
    ]


def topics_rewritten(plan: Plan, records: ApplicationRecords) -> dict[TopicName, Change]:
    """Return the repartition topics whose records were written in another way than they are read now."""
    found = {}
    for topic in _repartition_topics(plan):
        record = records.inputs.get(topic.name)
        if record is not None and record.written is not None:
            change = change_between(record.written, _written(topic))
            if change is not None:
                found[topic.name] = change
    return found


def _repartition_topics(plan: Plan) -> list[TopicSpec]:
    return [
        entry.topic
        for sub_topology in plan.sub_topologies
        for entry in sub_topology.inputs
        if entry.topic.internal
    ]


def _written(topic: TopicSpec) -> StoreDescription:
    return StoreDescription(
        name=topic.name,
        kind="kv",
        key_codec=topic.key_serde.name,
        value_codec=topic.value_serde.name,
        value_form=form_of(topic.value_serde.value_type),
    )


def rewritten_records_error(
    app_id: str, partition: TopicPartition, offset: Offset, change: Change
) -> UsageError:
    """Return the error for records that wait in a repartition topic and were written as other types."""
    facts = fact_text(
        app=app_id,
        partition=partition,
        offset=offset,
        what=change.what,
        stored=change.stored,
        declared=change.declared,
    )
    reason = f"{change.reason}: " if change.reason else ""
    return UsageError(
        "records wait in a repartition topic that were written for other types of keys or values; run the "
        "version of the application that wrote them with --until-end, or delete the topic and with it the "
        f"records: {reason}{facts}"
    )


def left_records_error(app_id: str, partition: TopicPartition, offset: Offset) -> UsageError:
    """Return the error for records that wait in a repartition topic which no step reads any more."""
    return UsageError(
        "records wait in a repartition topic that no step reads any more, because a step has another name "
        "than when they were written; run the version of the application that wrote them with "
        "--until-end, or give the step its former name, or delete the topic and with it the records: "
        + fact_text(app=app_id, partition=partition, offset=offset)
    )


def ensure_followed_topics(
    plan: Plan, records: ApplicationRecords, existing: Mapping[TopicName, TopicDescription]
) -> None:
    """Refuse added partitions of a topic that is read as a table, before they are compared with other inputs.

    Raises:
        TopologyError: with what to do.
    """
    for sub_topology in plan.sub_topologies:
        for store in sub_topology.stores:
            topic = store.source_topic
            if topic is None or topic.internal or topic.name not in existing:
                continue
            record, found = records.inputs.get(topic.name), existing[topic.name]
            if record is None or record.topic_id is None or found.topic_id != UUID(record.topic_id):
                continue
            if found.partition_count > record.partitions:
                raise _copy_topic_error([store.name], topic.name, record.partitions, found.partition_count)


def ensure_partitions(
    plan: Plan,
    records: ApplicationRecords,
    counts: Mapping[TopicName, int],
    existing: Mapping[TopicName, TopicDescription],
) -> None:
    """Refuse tables whose input has another number of partitions than when their state was made.

    Raises:
        TopologyError: with what to do.
    """
    for sub_topology in plan.sub_topologies:
        if not sub_topology.stores:
            continue
        for entry in sub_topology.inputs:
            record = records.inputs.get(entry.topic.name)
            if record is not None and record.partitions != counts[entry.topic.name]:
                raise added_partitions_error(
                    sub_topology, entry.topic.name, record.partitions, counts[entry.topic.name]
                )
        for store in sub_topology.stores:
            name = changelog.changelog_topic(plan.app_id, store.name)
            wanted = task_count(sub_topology, counts)
            if store.source_topic is None and name in existing:
                found = existing[name].partition_count
                if found != wanted:
                    topic = sub_topology.inputs[0].topic.name
                    raise added_partitions_error(sub_topology, topic, found, wanted)
    for table in plan.global_tables:
        record = records.inputs.get(table.topic.name)
        if record is None or record.topic_id is None or table.topic.name not in existing:
            continue
        is_same = existing[table.topic.name].topic_id == UUID(record.topic_id)
        if is_same and record.partitions != counts[table.topic.name]:
            raise _copy_topic_error(
                [table.store.name], table.topic.name, record.partitions, counts[table.topic.name]
            )


def added_partitions_error(
    sub_topology: SubTopology, topic: TopicName, before: int, now: int
) -> TopologyError:
    """Return the error for tables over a topic whose number of partitions changed."""
    tables = [store.name for store in sub_topology.stores]
    spec = next(entry.topic for entry in sub_topology.inputs if entry.topic.name == topic)
    facts = fact_text(topic=topic, partitions_before=before, partitions=now, tables=",".join(tables))
    if spec.internal:
        return TopologyError(
            "a repartition topic has another number of partitions than the tables behind it were made with; "
            f"give it its former number, or start over with {RESET}: {facts}"
        )
    if now < before:
        return TopologyError(
            "the input of tables has fewer partitions than their state was made with, as another topic may; "
            f"start over with {RESET}: {facts}"
        )
    followed = [
        store.name for store in sub_topology.stores if store.source_topic and store.source_topic.name == topic
    ]
    if followed:
        return _copy_topic_error(followed, topic, before, now)
    return TopologyError(
        "partitions were added to the input of tables, so records of one key lie in two partitions, each "
        f"of which would have a part of the table; put .repartition({now}, name=...) in front of the tables "
        f"and start over with {RESET}: {facts}"
    )


def _copy_topic_error(tables: list[str], topic: TopicName, before: int, now: int) -> TopologyError:
    return TopologyError(
        "partitions were added to a topic that is read as a table, so that records of one key lie in two "
        "partitions and which is the newest is not known; copy its records into a new topic of "
        f"{now} partitions and read that one under a new table name: "
        + fact_text(topic=topic, partitions_before=before, partitions=now, tables=",".join(tables))
    )


# --- tables -------------------------------------------------------------------------------------


def ensure_tables(
    plan: Plan,
    records: ApplicationRecords,
    descriptions: Mapping[str, StoreDescription],
    existing: Mapping[TopicName, TopicDescription],
) -> None:
    """Refuse tables whose changelog has another description, or is not the described topic.

    Args:
        descriptions: of the tables with changelogs, as they are declared.
        existing: the topics before missing changelogs are created.

    Raises:
        TopologyError: a table is declared differently from when it was written.
        UsageError: a changelog was deleted.
    """
    for name, description in descriptions.items():
        record = records.tables.get(name)
        if record is None:
            continue
        if record.description is not None:
            updated(record.description, description)
        topic_name = changelog.changelog_topic(plan.app_id, name)
        topic = existing.get(topic_name)
        if record.changelog_id is None or (topic and topic.topic_id == UUID(record.changelog_id)):
            continue
        raise UsageError(
            "the changelog of a table was deleted, and with it the table; start over with "
            f"`streamcore app MODULE:APP reset --table {name}`, or bring back the log from a backup: "
            + fact_text(table=name, changelog=topic_name)
        )


def record_tables(
    changes: RecordChanges,
    records: ApplicationRecords,
    descriptions: Mapping[str, StoreDescription],
    changelog_ids: Mapping[str, UUID],
) -> None:
    """Write the descriptions of the tables, and the topic ids of their changelogs."""
    for name, description in descriptions.items():
        before = records.tables.get(name) or TableRecord()
        described = description if before.description is None else updated(before.description, description)
        changes.table(
            name,
            TableRecord(
                description=described,
                changelog_id=changelog_ids[name].hex,
                replaced_ids=before.replaced_ids,
            ),
        )


def record_inputs(
    changes: RecordChanges,
    plan: Plan,
    records: ApplicationRecords,
    topics: Mapping[TopicName, TopicDescription],
) -> None:
    """Write the topics that the application reads, their numbers of partitions, and the forms of records."""
    written = {topic.name: _written(topic) for topic in _repartition_topics(plan)}
    for name in inputs_of(plan):
        topic, before = topics[name], records.inputs.get(name)
        described = written.get(name)
        stored = None if before is None else before.written
        if described is not None and stored is not None and change_between(stored, described) is None:
            described = updated(stored, described)
        changes.input(
            name,
            InputRecord(topic_id=topic.topic_id.hex, partitions=topic.partition_count, written=described),
        )


def replaced_ids(records: ApplicationRecords, store: StoreSpec) -> frozenset[UUID]:
    """Return the former changelogs of a table, which resets deleted."""
    record = records.tables.get(store.name)
    return frozenset() if record is None else frozenset(map(UUID, record.replaced_ids))


# --- committed offsets --------------------------------------------------------------------------


def ensure_within_log(
    committed: Mapping[TopicPartition, CommittedOffset], offsets: Mapping[TopicPartition, LogOffsets]
) -> None:
    """Refuse committed offsets past the end of their partitions.

    Raises:
        UsageError: a partition has fewer records than the application processed.
    """
    for partition, found in committed.items():
        if partition in offsets and found.offset > offsets[partition].log_end:
            raise UsageError(
                "the committed offset lies behind the end of the partition, so the topic is another one or "
                f"the log lost its end; bring back the log from a backup, or start over with {RESET}: "
                + fact_text(partition=partition, committed=found.offset, log_end=offsets[partition].log_end)
            )


def ensure_own_offsets(
    app_id: str,
    partitions: Sequence[TopicPartition],
    committed: Mapping[TopicPartition, CommittedOffset],
    reflected: Mapping[TopicPartition, Offset],
    records: ApplicationRecords,
    tables: list[str],
    *,
    may_lose_end: bool,
) -> None:
    """Refuse committed offsets of a task with state that the application did not commit itself.

    The application commits a note beside each offset; programs that move offsets do not.

    Args:
        partitions: the inputs of the task.
        committed: their committed offsets; inputs without one are left out.
        reflected: the position that the task's state reflects.
        tables: those of the task that hold anything. Without any, moved offsets do no harm.
        may_lose_end: the log does not wait for the disk, so state may be ahead of it after a power cut.

    Raises:
        UsageError: the offsets were committed by another program, or are missing.
    """
    known = {partition for partition in partitions if _was_read(records, partition)}
    moved = [partition for partition in committed if partition in known and not committed[partition].metadata]
    if not tables:
        _warn_of_moved_offsets(app_id, {partition: committed[partition].offset for partition in moved})
        return
    facts = {"app": app_id, "tables": ",".join(tables)}
    start_over = f"start over with {RESET}"
    gone = [partition for partition in partitions if partition not in committed]
    if gone and records.inputs and not known and not committed:
        raise UsageError(
            "the tables hold what came from other inputs than the declared ones, such as before a "
            "repartition topic was put in front of them, and equal keys may lie in other partitions now; "
            f"{start_over}: " + fact_text(**facts, partitions=",".join(map(str, gone)))
        )
    if gone and (not committed or any(partition in known for partition in gone)):
        raise UsageError(
            "the committed offsets of the application are gone while its tables hold data, so records "
            f"would be counted twice; the group was deleted, or its committed offsets expired; {start_over}: "
            + fact_text(**facts, partitions=",".join(map(str, gone)))
        )
    if not records.inputs:
        moved = [partition for partition in committed if not committed[partition].metadata]
    if moved:
        raise UsageError(
            "another program moved the committed offsets of the application, so its tables no longer "
            f"belong to them; {start_over}: "
            + fact_text(
                **facts,
                partition=moved[0],
                committed=committed[moved[0]].offset,
                reflected=reflected.get(moved[0], "unknown"),
            )
        )
    for partition, offset in reflected.items():
        committed_now = committed.get(partition)
        if committed_now is not None and committed_now.offset < offset and not may_lose_end:
            raise UsageError(
                "the tables are ahead of the committed offsets, so the log lost its end or is an old copy; "
                "bring back the log that belongs to the state, delete state/ to take what this log holds, or "
                f"{start_over}: "
                + fact_text(**facts, partition=partition, committed=committed_now.offset, reflected=offset)
            )


def _was_read(records: ApplicationRecords, partition: TopicPartition) -> bool:
    record = records.inputs.get(partition.topic)
    return record is not None and record.topic_id is not None and partition.partition < record.partitions


def _warn_of_moved_offsets(app_id: str, moved: Mapping[TopicPartition, Offset]) -> None:
    if moved:
        _logger.warning(
            "another program moved the committed offsets of the application; it continues from there: %s",
            fact_text(
                app=app_id, committed=",".join(f"{partition}@{offset}" for partition, offset in moved.items())
            ),
        )
