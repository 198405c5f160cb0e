"""Topics of an application on a log: created where they are missing, compared where they exist.

The topics that an application owns (changelogs, repartition topics, its descriptions) have settings
without which it loses records. Where one exists with other settings, because it was created or altered by
hand, the setting is corrected and logged; where the log does not permit that, the application does not start.
The settings of the user's topics are the user's; only a table over a topic whose records expire causes a
warning.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Container, Iterable, Mapping
from typing import Final

from streamcore.errors import StreamCoreError, TopicExistsError, TopologyError, fact_text
from streamcore.log.client.application_groups import descriptions_topic
from streamcore.log.client.port import Log, TopicDescription
from streamcore.model import TopicName
from streamcore.processing.topology.application import Application
from streamcore.processing.topology.nodes import StoreSpec, TopicSpec
from streamcore.processing.topology.partitions import resolve_partitions
from streamcore.processing.topology.plan import Plan, task_count
from streamcore.serde import BYTES
from streamcore.state import application_records, changelog

_logger = logging.getLogger(__name__)

FOR_EVER: Final = "-1"

LETTER_BYTES: Final = 1 << 16
"""How much larger a dead letter may be than its record."""

CREATED_TOPIC_CONFIG = {"retention.ms": FOR_EVER, "message.timestamp.after.max.ms": str(2**63 - 1)}
"""Settings of the topics that an application creates, where it declares no others.

Records carry event time. Kafka's defaults would delete a replayed history within minutes, because its
events are older than seven days, and refuse the result of a window that ends tomorrow.
"""


_DEFAULTS: Final[Mapping[str, str]] = {
    "cleanup.policy": "delete",
    "retention.ms": "604800000",
    "retention.bytes": FOR_EVER,
    "message.timestamp.type": "CreateTime",
    "message.timestamp.after.max.ms": "3600000",
    "message.timestamp.before.max.ms": str(2**63 - 1),
}
"""The values of settings that a topic does not set."""


# --- creating -----------------------------------------------------------------------------------


def _repartition_config() -> dict[str, str]:
    return {**CREATED_TOPIC_CONFIG, "max.message.bytes": str(changelog.MESSAGE_BYTES)}


def _dead_letter_config(topics: Iterable[TopicDescription]) -> dict[str, str]:
    """Return the settings of a dead letter topic: a letter has more headers than a record of ``topics``."""
    largest = max((topic.message_bytes_max for topic in topics), default=0) + LETTER_BYTES
    return {**CREATED_TOPIC_CONFIG, "max.message.bytes": str(max(changelog.MESSAGE_BYTES, largest))}


def _dead_letter_spec(name: str) -> TopicSpec:
    """Return the declaration of a topic of records in their original bytes."""
    return TopicSpec(
        name=name,
        key_serde=BYTES,
        value_serde=BYTES,
        key_type=bytes,
        value_type=bytes,
    )


def topics_of(application: Application) -> dict[str, TopicSpec]:
    """Return the topics that an application declares, with dead letter topics, by name."""
    found = {name: _dead_letter_spec(name) for name in application.dead_letter_topics}
    return found | {topic.name: topic for topic in application.plan.topics}


def ensure_topics(log: Log, application: Application, may_grow: Container[TopicName]) -> dict[str, int]:
    """Create the missing topics, without changelogs; return the number of partitions of each topic.

    Args:
        may_grow: topics that may have more partitions than declared.

    Raises:
        TopologyError: a topic exists with another number of partitions than is needed.
    """
    existing = log.topics()
    found_counts = {name: topic.partition_count for name, topic in existing.items()}
    counts = resolve_partitions(application.plan, found_counts, may_grow=may_grow)
    for topic in application.plan.topics:
        if topic.name not in existing:
            config = {**(_repartition_config() if topic.internal else CREATED_TOPIC_CONFIG), **topic.config}
            _create(log, topic.name, counts[topic.name], config)
    for name in application.dead_letter_topics:
        found = existing.get(name)
        if name not in counts:
            counts[name] = found.partition_count if found is not None else 1
            if found is None:
                read = log.described([topic.name for topic in application.plan.topics])
                _create(log, name, 1, _dead_letter_config(read.values()))
    return counts


def _create(log: Log, name: TopicName, partitions: int, config: Mapping[str, str]) -> None:
    """Create a topic, unless another worker of the application, which starts too, has created it."""
    with contextlib.suppress(TopicExistsError):
        log.create_topic(name, partitions=partitions, config=config)


def topics_read_before(log: Log, app_id: str) -> frozenset[TopicName]:
    """Return the topics that an application has read: partitions may have been added to them since."""
    if descriptions_topic(app_id) not in log.topics():
        return frozenset()
    return frozenset(application_records.read_records(log, app_id).inputs)


def ensure_descriptions(log: Log, app_id: str) -> None:
    """Create the topic of an application's descriptions, or correct its settings."""
    name = descriptions_topic(app_id)
    found = log.topics().get(name)
    if found is None:
        _create(log, name, 1, application_records.TOPIC_CONFIG)
    else:
        _mend(log, found, {"cleanup.policy": "compact"} if _policies(found) != {"compact"} else {})


def ensure_changelogs(log: Log, plan: Plan, counts: Mapping[str, int]) -> None:
    """Create the changelogs that are missing."""
    existing = log.topics()
    for sub_topology in plan.sub_topologies:
        for store in sub_topology.stores:
            name = changelog.changelog_topic(plan.app_id, store.name)
            if store.source_topic is None and name not in existing:
                _create(log, name, task_count(sub_topology, counts), changelog_config_of(store))


def changelog_config_of(store: StoreSpec) -> dict[str, str]:
    """Return the settings of a table's changelog."""
    windows = store.windows
    retention_ms = None
    if windows is not None and windows.retention_ms is not None:
        retention_ms = windows.size_ms_max + max(windows.grace_ms, windows.retention_ms)
    return changelog.changelog_config(window_retention_ms=retention_ms)


# --- comparing ----------------------------------------------------------------------------------


def ensure_settings(log: Log, plan: Plan) -> None:
    """Correct the settings of the application's topics, and warn of tables whose topic expires.

    Raises:
        TopologyError: a setting would lose records, and the log does not permit another.
    """
    existing = log.topics()
    for topic in plan.topics:
        if topic.internal and topic.name in existing:
            _mend(log, existing[topic.name], _repartition_changes(existing[topic.name]))
            _accept_large_records(log, existing[topic.name])
    for sub_topology in plan.sub_topologies:
        for store in sub_topology.stores:
            name = changelog.changelog_topic(plan.app_id, store.name)
            if store.source_topic is not None:
                _warn_of_expiry(existing.get(store.source_topic.name), store)
            elif name in existing:
                _mend(log, existing[name], _changelog_changes(existing[name], changelog_config_of(store)))
                _accept_large_records(log, existing[name])
    for table in plan.global_tables:
        _warn_of_expiry(existing.get(table.topic.name), table.store)


def _changelog_changes(found: TopicDescription, wanted: Mapping[str, str]) -> dict[str, str]:
    """Return the corrections of settings under which a changelog would lose the newest record of a key."""
    may_expire = "retention.ms" in wanted
    policies = _policies(found)
    changes: dict[str, str] = {}
    if "compact" not in policies or ("delete" in policies and not may_expire):
        changes["cleanup.policy"] = wanted["cleanup.policy"]
    if may_expire and "delete" in changes.get("cleanup.policy", ",".join(policies)):
        retention_ms = _setting(found, "retention.ms")
        if retention_ms != FOR_EVER and int(retention_ms) < int(wanted["retention.ms"]):
            changes["retention.ms"] = wanted["retention.ms"]
        if _setting(found, "retention.bytes") != FOR_EVER:
            changes["retention.bytes"] = FOR_EVER
    return changes


def _repartition_changes(found: TopicDescription) -> dict[str, str]:
    """Return the corrections of settings under which a repartition topic would lose or change records."""
    wanted = {
        "cleanup.policy": "delete",
        "retention.ms": FOR_EVER,
        "retention.bytes": FOR_EVER,
        "message.timestamp.type": "CreateTime",
        "message.timestamp.after.max.ms": str(2**63 - 1),
        "message.timestamp.before.max.ms": str(2**63 - 1),
    }
    return {name: value for name, value in wanted.items() if _setting(found, name) != value}


def _mend(log: Log, found: TopicDescription, changes: Mapping[str, str]) -> None:
    if not changes or not found.has_settings:
        return
    texts = [f"{name}: {_setting(found, name)} -> {value}" for name, value in changes.items()]
    facts = fact_text(topic=found.name, settings=repr(", ".join(texts)))
    try:
        log.alter_topic(found.name, config=dict(changes))
    except StreamCoreError as error:
        raise TopologyError(
            "a topic of the application has settings under which it loses records, and they cannot be "
            f"changed from here; change them, then start again: {error} {facts}"
        ) from error
    _logger.warning(
        "a topic of the application had settings under which it loses records; they are corrected: %s", facts
    )


def _accept_large_records(log: Log, found: TopicDescription) -> None:
    """Raise the limit of a topic that was created with a lower one, as by earlier versions.

    Where the log does not permit that, the application keeps to the limit of the topic.
    """
    if found.message_bytes_max >= changelog.MESSAGE_BYTES or not found.has_settings:
        return
    facts = fact_text(topic=found.name, before=found.message_bytes_max, after=changelog.MESSAGE_BYTES)
    try:
        log.alter_topic(found.name, config={"max.message.bytes": str(changelog.MESSAGE_BYTES)})
    except StreamCoreError as error:
        _logger.warning(
            "max.message.bytes of a topic of the application cannot be raised, larger values fail: %s %s",
            error,
            facts,
        )
    else:
        _logger.info("max.message.bytes of a topic of the application was raised: %s", facts)


def _warn_of_expiry(found: TopicDescription | None, store: StoreSpec) -> None:
    if found is None or not found.has_settings or "compact" in _policies(found):
        return
    kept = {name: _setting(found, name) for name in ("retention.ms", "retention.bytes")}
    if set(kept.values()) != {FOR_EVER}:
        _logger.warning(
            "the topic of a table deletes its records with time, so a table that is rebuilt lacks them; give "
            "the topic cleanup.policy=compact: %s",
            fact_text(
                table=store.name, topic=found.name, **{k.replace(".", "_"): v for k, v in kept.items()}
            ),
        )


def _policies(found: TopicDescription) -> set[str]:
    return {part.strip() for part in _setting(found, "cleanup.policy").split(",")}


def _setting(found: TopicDescription, name: str) -> str:
    return found.config.get(name, _DEFAULTS[name])
