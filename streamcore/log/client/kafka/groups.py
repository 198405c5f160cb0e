"""Consumer groups of a broker: description, deletion, and committed offsets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from confluent_kafka import (
    ConsumerGroupState,
    ConsumerGroupTopicPartitions,
    ConsumerGroupType,
    KafkaError,
    KafkaException,
)
from confluent_kafka import TopicPartition as KafkaPartition

from streamcore.errors import StaleGenerationError, UsageError, with_facts
from streamcore.log.client.group_log import DescribedGroup, MemberSummary
from streamcore.log.client.kafka.committed_offsets import CommittedOffsets
from streamcore.log.client.kafka.connection import KafkaConnection
from streamcore.log.client.kafka.errors import translated
from streamcore.model import CommittedOffset, TopicPartition

_STATES = {
    ConsumerGroupState.UNKNOWN: "Unknown",
    ConsumerGroupState.PREPARING_REBALANCING: "PreparingRebalance",
    ConsumerGroupState.COMPLETING_REBALANCING: "CompletingRebalance",
    ConsumerGroupState.STABLE: "Stable",
    ConsumerGroupState.DEAD: "Dead",
    ConsumerGroupState.EMPTY: "Empty",
}


class KafkaGroups:
    """The consumer groups of one broker. Safe to share between threads."""

    def __init__(self, connection: KafkaConnection) -> None:
        self._connection = connection
        self._committed = CommittedOffsets(connection)

    def close(self) -> None:
        """Close the handle that asks for committed offsets."""
        self._committed.close()

    # --- groups ---------------------------------------------------------------------------------

    def names(self) -> list[str]:
        """Return all groups that have members or committed offsets, sorted."""
        connection = self._connection
        timeout_s = connection.settings.request_timeout_s
        listed = connection.answer(
            lambda: connection.admin.list_consumer_groups(request_timeout=timeout_s), "list groups"
        )
        if listed.errors:
            raise connection.translated(listed.errors[0], "list groups")
        return sorted(group.group_id for group in listed.valid)

    def describe(self, group: str) -> DescribedGroup:
        """Return a group's state and members."""
        connection = self._connection
        timeout_s = connection.settings.request_timeout_s

        def ask() -> DescribedGroup:
            answers = connection.admin.describe_consumer_groups([group], request_timeout=timeout_s)
            try:
                found = answers[group].result(timeout_s)
            except KafkaException as raised:
                if raised.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND:
                    return DescribedGroup(group, "Dead")
                raise
            members = tuple(
                MemberSummary(
                    member.member_id,
                    member.group_instance_id,
                    member.client_id,
                    member.host.removeprefix("/"),
                    tuple(sorted(map(_topic_partition, member.assignment.topic_partitions))),
                )
                for member in found.members
            )
            return DescribedGroup(
                group,
                _STATES.get(found.state, "Unknown"),
                found.partition_assignor or "",
                members=members,
                kind="consumer" if found.type is ConsumerGroupType.CONSUMER else "classic",
            )

        return connection.retried(ask, "describe the group", group=group)

    def delete(self, group: str) -> None:
        """Delete a group without members, with its committed offsets."""
        connection = self._connection
        timeout_s = connection.settings.request_timeout_s
        connection.answer(
            lambda: connection.admin.delete_consumer_groups([group], request_timeout=timeout_s)[group],
            "delete the group",
            group=group,
        )

    def delete_offsets(self, group: str) -> None:
        """Raise ``UsageError``: librdkafka's binding has no call for it."""
        raise UsageError(
            with_facts(
                "a broker deletes no single committed offsets: delete the group, or commit other offsets",
                group=group,
            )
        )

    # --- committed offsets ----------------------------------------------------------------------

    def committed(
        self, group: str, partitions: Iterable[TopicPartition] | None
    ) -> dict[TopicPartition, CommittedOffset]:
        """Return a group's committed offsets; waits for an open transaction that commits some.

        Raises:
            RequestTimeoutError: the transaction was not decided in time.
        """
        return self._committed.of(group, partitions)

    def commit(self, group: str, offsets: Mapping[TopicPartition, CommittedOffset]) -> None:
        """Commit offsets outside any transaction and any membership.

        Raises:
            UsageError: the group has members.
        """
        if not offsets:
            return
        connection = self._connection
        timeout_s = connection.settings.request_timeout_s
        request = ConsumerGroupTopicPartitions(group, kafka_offsets(offsets))
        try:
            answer = connection.answer(
                lambda: connection.admin.alter_consumer_group_offsets([request], request_timeout=timeout_s)[
                    group
                ],
                "commit offsets",
                group=group,
            )
            for partition in answer.topic_partitions:
                if partition.error is not None:
                    raise translated(
                        partition.error,
                        "commit offsets",
                        group=group,
                        partition=_topic_partition(partition),
                    )
        except StaleGenerationError as error:
            raise UsageError(
                with_facts("the group has members, which commit for it: stop them first", group=group)
            ) from error


def kafka_offsets(offsets: Mapping[TopicPartition, CommittedOffset]) -> list[KafkaPartition]:
    """Return offsets in librdkafka's form."""
    return [
        KafkaPartition(partition.topic, partition.partition, committed.offset, metadata=committed.metadata)
        for partition, committed in offsets.items()
    ]


def _topic_partition(found: KafkaPartition) -> TopicPartition:
    return TopicPartition(found.topic, found.partition)
