"""Topics: made, looked at, made larger, deleted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from streamcore.log.protocol.fields import ZERO_UUID
from streamcore.log.protocol.messages.create_partitions import (
    CreatePartitionsAssignment,
    CreatePartitionsRequest,
    CreatePartitionsTopic,
)
from streamcore.log.protocol.messages.create_topics import (
    CreatableReplicaAssignment,
    CreatableTopic,
    CreatableTopicConfig,
    CreateTopicsRequest,
)
from streamcore.log.protocol.messages.delete_topics import DeleteTopicsRequest, DeleteTopicState
from streamcore.log.protocol.messages.describe_topic_partitions import (
    Cursor,
    DescribeTopicPartitionsRequest,
    TopicRequest,
)
from streamcore.log.protocol.messages.metadata import MetadataRequest, MetadataRequestTopic
from tests.differential.conversation import NO_TOPIC, Conversation, Topic
from tests.differential.registry import invalid, valid

BAD_NAMES: Final = ("", ".", "..", "a b", "ä", "a/b", "x" * 250)
_IDS_FROM: Final = 6


def creatable(
    name: str,
    partitions: int = 1,
    replicas: int = 1,
    *,
    settings: Mapping[str, str | None] | None = None,
    assignments: Mapping[int, Sequence[int]] | None = None,
) -> CreatableTopic:
    """A topic to be made."""
    return CreatableTopic(
        name=name,
        num_partitions=partitions,
        replication_factor=replicas,
        assignments=[
            CreatableReplicaAssignment(partition_index=index, broker_ids=list(ids))
            for index, ids in (assignments or {}).items()
        ],
        configs=[CreatableTopicConfig(name=key, value=value) for key, value in (settings or {}).items()],
    )


def create_request(*topics: CreatableTopic, **fields: Any) -> CreateTopicsRequest:
    """A request to make topics."""
    return CreateTopicsRequest(topics=list(topics), **({"timeout_ms": 5000} | fields))


@valid("CreateTopics")
def topics_are_made(talk: Conversation) -> None:
    plain, larger, default = (talk.name(role) for role in ("plain", "larger", "default"))

    talk.ask(create_request(creatable(plain), creatable(larger, 3)))
    for name, count in ((plain, 1), (larger, 3)):
        talk.wait_for(name, count)
    talk.ask(metadata_request(plain, larger))
    if talk.version >= 4:
        talk.ask(create_request(creatable(default, -1, -1)))


@valid("CreateTopics")
def topics_are_made_with_settings(talk: Conversation) -> None:
    settings = {"cleanup.policy": "compact", "retention.ms": "1000", "max.message.bytes": "2000"}

    talk.ask(create_request(creatable(talk.name("topic"), settings=settings)))


@valid("CreateTopics")
def topics_are_made_where_they_are_assigned(talk: Conversation) -> None:
    wanted = creatable(talk.name("topic"), -1, -1, assignments={0: [1], 1: [1]})

    talk.ask(create_request(wanted))


@valid("CreateTopics")
def what_is_only_checked_is_not_made(talk: Conversation) -> None:
    name = talk.name("topic")

    talk.ask(create_request(creatable(name), validate_only=True))
    talk.ask(create_request(creatable(name), validate_only=True))
    talk.ask(create_request(creatable(name, 0), validate_only=True))


@invalid("CreateTopics")
def topics_with_impossible_names_are_refused(talk: Conversation) -> None:
    talk.ask(create_request(*(creatable(name) for name in BAD_NAMES)))


@invalid("CreateTopics")
def topics_that_are_there_are_refused(talk: Conversation) -> None:
    topic = talk.make_topic("a.topic")

    talk.ask(create_request(creatable(topic.name)))
    talk.ask(create_request(creatable(topic.name.replace("a.topic", "a_topic"))))
    talk.ask(create_request(creatable(topic.name), creatable(topic.name)))
    talk.ask(create_request(creatable(talk.name("new")), creatable(talk.name("new"))))
    talk.ask(create_request(creatable("__consumer_offsets")))


@invalid("CreateTopics")
def impossible_counts_are_refused(talk: Conversation) -> None:
    for partitions, replicas in (
        (0, 1),
        (-2, 1),
        (1, 0),
        (1, -2),
        (1, 2),
        (1, 32_767),
        (-1, 1),
        (1, -1),
        (0, 2),
        (0, 0),
    ):
        talk.ask(create_request(creatable(talk.name(f"{partitions}-{replicas}"), partitions, replicas)))


@invalid("CreateTopics")
def impossible_assignments_are_refused(talk: Conversation) -> None:
    every: list[tuple[int, int, dict[int, list[int]]]] = [
        (-1, -1, {1: [1]}),
        (-1, -1, {0: [1], 2: [1]}),
        (-1, -1, {0: [7]}),
        (-1, -1, {0: [1, 1]}),
        (-1, -1, {0: []}),
        (-1, -1, {0: [1], 1: [1, 7]}),
        (1, 1, {0: [1]}),
        (2, -1, {0: [1]}),
        (-1, 1, {0: [1]}),
        (-1, -1, {0: [-1]}),
    ]
    for number, (partitions, replicas, assignments) in enumerate(every):
        name = talk.name(str(number))
        talk.ask(create_request(creatable(name, partitions, replicas, assignments=assignments)))
    twice = creatable(talk.name("twice"), -1, -1, assignments={0: [1]})
    twice.assignments *= 2
    talk.ask(create_request(twice))


@invalid("CreateTopics")
def impossible_settings_are_refused(talk: Conversation) -> None:
    every: list[tuple[str, str | None]] = [
        ("no.such.setting", "1"),
        ("retention.ms", "soon"),
        ("retention.ms", "-2"),
        ("retention.ms", None),
        ("cleanup.policy", "burn"),
        ("cleanup.policy", ""),
        ("compression.type", "rar"),
        ("min.insync.replicas", "0"),
        ("segment.bytes", "1"),
        ("max.message.bytes", "-1"),
        ("message.timestamp.type", "Never"),
        ("preallocate", "maybe"),
        ("", "1"),
        ("message.format.version", "2.0"),
        ("remote.storage.enable", "true"),
        ("flush.messages", "0"),
        ("min.cleanable.dirty.ratio", "2"),
    ]
    for number, (key, value) in enumerate(every):
        talk.ask(create_request(creatable(talk.name(str(number)), settings={key: value})))
    doubled = creatable(talk.name("doubled"), settings={"retention.ms": "1"})
    doubled.configs.append(CreatableTopicConfig(name="retention.ms", value="2"))
    talk.ask(create_request(doubled))


@invalid("CreateTopics")
def more_replicas_are_asked_for_than_there_will_ever_be(talk: Conversation) -> None:
    talk.ask(create_request(creatable(talk.name("topic"), settings={"min.insync.replicas": "2"})))


@invalid("CreateTopics")
def no_topics_and_no_time(talk: Conversation) -> None:
    talk.ask(create_request())
    talk.ask(create_request(creatable(talk.name("a")), timeout_ms=-1))


# --- deletion -----------------------------------------------------------------------------------------


def delete_request(*topics: Topic) -> DeleteTopicsRequest:
    """A request to delete topics, by name."""
    names = [each.name for each in topics]
    states = [DeleteTopicState(name=name, topic_id=ZERO_UUID) for name in names]
    return DeleteTopicsRequest(topics=states, topic_names=names, timeout_ms=5000)


def delete_by_id_request(*topics: Topic) -> DeleteTopicsRequest:
    """The same by id."""
    states = [DeleteTopicState(name=None, topic_id=each.topic_id) for each in topics]
    return DeleteTopicsRequest(topics=states, timeout_ms=5000)


@valid("DeleteTopics")
def topics_are_deleted(talk: Conversation) -> None:
    one, other = talk.make_topic("one"), talk.make_topic("other", partitions=2)

    talk.ask(delete_request(one, other))
    talk.ask(delete_request(one))


@valid("DeleteTopics", since=_IDS_FROM)
def topics_are_deleted_by_id(talk: Conversation) -> None:
    topic = talk.make_topic()

    talk.ask(delete_by_id_request(topic))
    talk.ask(delete_by_id_request(topic))


@invalid("DeleteTopics")
def topics_that_are_not_there_are_not_deleted(talk: Conversation) -> None:
    topic = talk.make_topic()

    talk.ask(delete_request(NO_TOPIC, topic))
    talk.ask(delete_request(NO_TOPIC, NO_TOPIC))
    for name in BAD_NAMES:
        talk.ask(delete_request(Topic(name, ZERO_UUID)))
    talk.ask(delete_request())
    again = talk.make_topic("again")
    talk.ask(delete_request(again, again))


@invalid("DeleteTopics", since=_IDS_FROM)
def topics_are_named_in_one_way_only(talk: Conversation) -> None:
    topic = talk.make_topic()
    by_both = DeleteTopicState(name=topic.name, topic_id=topic.topic_id)
    by_none = DeleteTopicState(name=None, topic_id=ZERO_UUID)

    for states in ([by_both], [by_none], [by_none, by_none]):
        talk.ask(DeleteTopicsRequest(topics=states, timeout_ms=5000))
    talk.ask(delete_by_id_request(NO_TOPIC))
    talk.ask(delete_by_id_request(topic, topic))
    mixed = [DeleteTopicState(name=None, topic_id=topic.topic_id), *delete_request(topic).topics]
    talk.ask(DeleteTopicsRequest(topics=mixed, timeout_ms=5000))


# --- more partitions ----------------------------------------------------------------------------------


def partitions_request(
    name: str, count: int, assignments: Sequence[Sequence[int]] | None = None, **fields: Any
) -> CreatePartitionsRequest:
    """A request to make a topic larger."""
    given = (
        None if assignments is None else [CreatePartitionsAssignment(broker_ids=list(e)) for e in assignments]
    )
    wanted = CreatePartitionsTopic(name=name, count=count, assignments=given)
    standard: dict[str, Any] = {"topics": [wanted], "timeout_ms": 5000, "validate_only": False}
    return CreatePartitionsRequest(**(standard | fields))


@valid("CreatePartitions")
def a_topic_is_made_larger(talk: Conversation) -> None:
    topic = talk.make_topic()

    talk.ask(partitions_request(topic.name, 4, validate_only=True))
    talk.ask(partitions_request(topic.name, 3))
    talk.wait_for(topic.name, 3)
    talk.ask(partitions_request(topic.name, 5, [[1], [1]]))
    talk.wait_for(topic.name, 5)
    talk.ask(metadata_request(topic.name))


@invalid("CreatePartitions")
def a_topic_is_never_made_smaller(talk: Conversation) -> None:
    topic = talk.make_topic(partitions=2)

    for count in (2, 1, 0, -1):
        talk.ask(partitions_request(topic.name, count))
    for name in (NO_TOPIC.name, *BAD_NAMES):
        talk.ask(partitions_request(name, 3))
    talk.ask(partitions_request(topic.name, 3, topics=[]))
    twice = partitions_request(topic.name, 3)
    twice.topics *= 2
    talk.ask(twice)


@invalid("CreatePartitions")
def partitions_are_not_assigned_to_nobody(talk: Conversation) -> None:
    topic = talk.make_topic()

    for assignments in ([], [[1]], [[1], [1], [1]], [[1], [7]], [[1], []], [[1], [1, 1]], [[1], [-1]]):
        talk.ask(partitions_request(topic.name, 3, assignments))


# --- metadata -----------------------------------------------------------------------------------------


def metadata_request(*names: str | None, ids: Sequence[bytes] = (), **fields: Any) -> MetadataRequest:
    """A request about some topics, that makes none."""
    topics = [MetadataRequestTopic(name=name) for name in names]
    topics += [MetadataRequestTopic(name=None, topic_id=each) for each in ids]
    standard: dict[str, Any] = {"topics": topics, "allow_auto_topic_creation": False}
    return MetadataRequest(**(standard | fields))


@valid("Metadata")
def topics_are_told_by_name(talk: Conversation) -> None:
    one, other = talk.make_topic("one"), talk.make_topic("other", partitions=3)

    talk.ask(metadata_request(one.name, other.name))
    talk.ask(metadata_request(one.name, one.name))


@valid("Metadata", since=1)
def no_topics_are_told_where_none_are_asked_for(talk: Conversation) -> None:
    talk.ask(metadata_request())


@valid("Metadata", since=10)
def topics_are_told_by_id(talk: Conversation) -> None:
    topic = talk.make_topic()

    if talk.version >= 12:
        talk.ask(metadata_request(ids=[topic.topic_id]))
        talk.ask(metadata_request(topic.name, ids=[NO_TOPIC.topic_id]))


@valid("Metadata", since=8)
def what_a_client_may_do_is_told_where_it_asks(talk: Conversation) -> None:
    topic = talk.make_topic()

    asks: dict[str, Any] = {
        "include_cluster_authorized_operations": True,
        "include_topic_authorized_operations": True,
    }
    talk.ask(metadata_request(topic.name, **asks))


@valid("Metadata")
def the_topics_of_the_broker_are_internal(talk: Conversation) -> None:
    talk.ask(metadata_request("__consumer_offsets", "__transaction_state"))


@invalid("Metadata", since=4)
def topics_that_are_not_there_are_unknown(talk: Conversation) -> None:
    talk.ask(metadata_request(NO_TOPIC.name))
    for name in BAD_NAMES:
        talk.ask(metadata_request(name))


@invalid("Metadata", since=4)
def topics_with_impossible_names_are_not_made_by_being_asked_for(talk: Conversation) -> None:
    talk.ask(metadata_request(*BAD_NAMES, allow_auto_topic_creation=True))


@invalid("Metadata", until=3)
def older_clients_have_topics_made(talk: Conversation) -> None:
    talk.ask_until_settled(metadata_request("a b"))
    talk.ask_until_settled(metadata_request(""))


@invalid("Metadata", since=10)
def topics_have_a_name_or_an_id(talk: Conversation) -> None:
    topic = talk.make_topic()

    if talk.version >= 12:
        talk.ask(metadata_request(ids=[NO_TOPIC.topic_id]))
        talk.ask(metadata_request(ids=[NO_TOPIC.topic_id, topic.topic_id]))
    talk.ask(metadata_request(ids=[ZERO_UUID]) if talk.version >= 12 else metadata_request(None))
    both = MetadataRequestTopic(name=topic.name, topic_id=topic.topic_id)
    talk.ask(MetadataRequest(topics=[both], allow_auto_topic_creation=False))


# --- partitions of topics -----------------------------------------------------------------------------


def describe_request(*names: str, **fields: Any) -> DescribeTopicPartitionsRequest:
    """A request about the partitions of topics."""
    return DescribeTopicPartitionsRequest(topics=[TopicRequest(name=name) for name in names], **fields)


@valid("DescribeTopicPartitions")
def partitions_of_topics_are_told(talk: Conversation) -> None:
    one, other = talk.make_topic("one", partitions=3), talk.make_topic("other", partitions=2)

    talk.ask(describe_request(one.name, other.name))
    for limit in (1, 3, 4, 5):
        talk.ask(describe_request(one.name, other.name, response_partition_limit=limit))
    for topic, number in ((one, 0), (one, 2), (one, 3), (other, 1)):
        cursor = Cursor(topic_name=topic.name, partition_index=number)
        talk.ask(describe_request(one.name, other.name, cursor=cursor))


@invalid("DescribeTopicPartitions")
def partitions_that_are_not_there_are_not_told(talk: Conversation) -> None:
    topic = talk.make_topic()

    talk.ask(describe_request(NO_TOPIC.name, topic.name))
    for name in BAD_NAMES:
        talk.ask(describe_request(name))
    for limit in (0, -1):
        talk.ask(describe_request(topic.name, response_partition_limit=limit))
    for name, number in ((topic.name, -1), (topic.name, 9), ("", 0), (NO_TOPIC.name, 0), ("zzz", 0)):
        cursor = Cursor(topic_name=name, partition_index=number)
        talk.ask(describe_request(topic.name, cursor=cursor))
    talk.ask(describe_request(topic.name, topic.name))
    talk.ask(describe_request(topic.name, "ä", response_partition_limit=1))
    beyond = Cursor(topic_name=topic.name, partition_index=9)
    talk.ask(describe_request(topic.name, response_partition_limit=-1, cursor=beyond))
