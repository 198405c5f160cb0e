"""The ground of an application's tasks: its topics and records in the log, compared with its declarations.

Topics that are missing are created. What contradicts the declarations is refused, before a task is opened.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass

from streamcore.clock import Clock
from streamcore.errors import fact_text
from streamcore.log.client.port import Log, Producer, TopicDescription
from streamcore.model import Isolation, TopicName, TopicPartition
from streamcore.processing.runtime.guards import (
    ensure_followed_topics,
    ensure_no_reset_is_open,
    ensure_partitions,
    ensure_tables,
    left_records_error,
    replaced_input_error,
    replaced_inputs,
    rewritten_records_error,
    topics_left,
    topics_rewritten,
)
from streamcore.processing.runtime.reset import carry_out, connected_parts, plan_reset, readers_of
from streamcore.processing.runtime.stores import description_of
from streamcore.processing.runtime.topics import (
    ensure_changelogs,
    ensure_descriptions,
    ensure_settings,
    ensure_topics,
)
from streamcore.processing.topology.application import Application
from streamcore.processing.topology.plan import Plan
from streamcore.state import changelog
from streamcore.state.application_records import ApplicationRecords, read_records
from streamcore.state.descriptions import StoreDescription

_logger = logging.getLogger(__name__)

_FETCH_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Ground:
    """An application's topics and records, compared and accepted: the base of its tasks."""

    counts: dict[str, int]
    records: ApplicationRecords
    replaced_inputs: frozenset[TopicName]
    """Inputs that are other topics than before, where the application continues nevertheless."""


def ground_of(application: Application, log: Log, clock: Clock, producer: Producer) -> Ground:
    """Compare an application with its records in the log, and create the topics that are missing.

    Raises:
        TopologyError: the declarations contradict each other, or the topics and tables in the log.
        UsageError: the log lost records of the application's tables.
    """
    plan, app_id = application.plan, application.app_id
    ensure_descriptions(log, app_id)
    records = read_records(log, app_id)
    ensure_no_reset_is_open(records)
    existing = dict(log.topics())
    replaced = replaced_inputs(plan, records, existing)
    if replaced and application.on_recreated_topic == "start-over":
        parts = connected_parts(plan, [part for name in replaced for part in readers_of(plan, name)])
        _logger.warning(
            "a topic that the application reads is another one than before, the application starts over: %s",
            fact_text(app=app_id, topics=",".join(replaced), parts=",".join(parts)),
        )
        carry_out(log, plan_reset(log, plan, records, parts, "earliest", clock.now_ms()), producer, clock)
        records, replaced, existing = read_records(log, app_id), [], dict(log.topics())
    elif replaced and application.on_recreated_topic == "go-on":
        _logger.warning(
            "a topic that the application reads is another than before, its tables stay as they are: %s",
            fact_text(app=app_id, topics=",".join(replaced)),
        )
        for name in replaced:
            del records.inputs[name]
    elif replaced:
        raise replaced_input_error(app_id, replaced[0], existing)
    _ensure_nothing_waits(log, plan, records, existing)
    ensure_followed_topics(plan, records, existing)
    counts = ensure_topics(log, application, records.inputs)
    existing = dict(log.topics())
    ensure_partitions(plan, records, counts, existing)
    ensure_tables(plan, records, descriptions_of(plan), existing)
    ensure_settings(log, plan)
    ensure_changelogs(log, plan, counts)
    return Ground(counts, records, frozenset(replaced))


def _ensure_nothing_waits(
    log: Log, plan: Plan, records: ApplicationRecords, existing: Mapping[TopicName, TopicDescription]
) -> None:
    """Refuse records that wait in a repartition topic which no step reads any more, or reads as other types.

    Raises:
        UsageError: there are such records.
    """
    changes = topics_rewritten(plan, records)
    partitions = [
        TopicPartition(name, number)
        for name in (*topics_left(plan, records, existing), *changes)
        if name in existing
        for number in range(existing[name].partition_count)
    ]
    if not partitions:
        return
    committed = log.committed(plan.app_id, partitions)
    offsets = log.offsets(partitions)
    with closing(log.reader(isolation=Isolation.READ_COMMITTED)) as reader:
        for partition in partitions:
            start = offsets[partition].log_start
            if partition in committed:
                start = max(start, committed[partition].offset)
            if start >= offsets[partition].log_end:
                continue
            reader.assign({partition: start})
            while (columns := reader.fetch(partition, bytes_max=_FETCH_BYTES)) is not None:
                for key, value, offset in zip(columns.keys, columns.values, columns.offsets, strict=True):
                    if key is None and value is None:
                        continue
                    change = changes.get(partition.topic)
                    if change is None:
                        raise left_records_error(plan.app_id, partition, offset)
                    raise rewritten_records_error(plan.app_id, partition, offset, change)


def descriptions_of(plan: Plan) -> dict[str, StoreDescription]:
    """Return the descriptions of the tables with changelogs, by name."""
    return {
        store.name: description_of(
            store, store.name, follows=changelog.changelog_topic(plan.app_id, store.name)
        )
        for sub_topology in plan.sub_topologies
        for store in sub_topology.stores
        if store.source_topic is None
    }
