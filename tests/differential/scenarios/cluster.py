"""What a cluster is made of: versions, brokers, folders, replicas, features, quotas."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from streamcore.log.protocol.messages.alter_partition_reassignments import (
    AlterPartitionReassignmentsRequest,
    ReassignablePartition,
    ReassignableTopic,
)
from streamcore.log.protocol.messages.alter_replica_log_dirs import (
    AlterReplicaLogDir,
    AlterReplicaLogDirsRequest,
    AlterReplicaLogDirTopic,
)
from streamcore.log.protocol.messages.api_versions import ApiVersionsRequest
from streamcore.log.protocol.messages.describe_client_quotas import ComponentData, DescribeClientQuotasRequest
from streamcore.log.protocol.messages.describe_cluster import DescribeClusterRequest
from streamcore.log.protocol.messages.describe_log_dirs import DescribableLogDirTopic, DescribeLogDirsRequest
from streamcore.log.protocol.messages.describe_quorum import DescribeQuorumRequest, PartitionData, TopicData
from streamcore.log.protocol.messages.elect_leaders import ElectLeadersRequest, TopicPartitions
from streamcore.log.protocol.messages.list_partition_reassignments import (
    ListPartitionReassignmentsRequest,
    ListPartitionReassignmentsTopics,
)
from streamcore.log.protocol.messages.update_features import FeatureUpdateKey, UpdateFeaturesRequest
from tests.differential.conversation import NO_TOPIC, Conversation
from tests.differential.registry import invalid, valid
from tests.differential.scenarios.producing import batch, produce_request

METADATA_TOPIC = "__cluster_metadata"


@valid("ApiVersions")
def versions_are_told(talk: Conversation) -> None:
    talk.ask(ApiVersionsRequest(client_software_name="a-client", client_software_version="1.0"))


@invalid("ApiVersions")
def versions_are_told_to_whoever_asks(talk: Conversation) -> None:
    for name, version in (
        ("", "1"),
        ("a", ""),
        ("a b", "1"),
        ("a", "1 2"),
        ("-a", "1"),
        ("ä", "1"),
        ("a.", "1"),
    ):
        talk.ask(ApiVersionsRequest(client_software_name=name, client_software_version=version))


@valid("DescribeCluster")
def the_brokers_are_told(talk: Conversation) -> None:
    for authorized in (False, True):
        talk.ask(DescribeClusterRequest(include_cluster_authorized_operations=authorized))
    request = DescribeClusterRequest(
        include_cluster_authorized_operations=False, include_fenced_brokers=talk.version >= 2
    )
    talk.ask(request)


@invalid("DescribeCluster")
def endpoints_of_other_kinds_are_not_told(talk: Conversation) -> None:
    for kind in (2, 0, 3, -1):
        talk.ask(DescribeClusterRequest(include_cluster_authorized_operations=False, endpoint_type=kind))


@valid("DescribeLogDirs")
def folders_are_told(talk: Conversation) -> None:
    topic = talk.make_topic(partitions=2)
    talk.prepare(produce_request(topic, batch(talk)))
    wanted = DescribableLogDirTopic(topic=topic.name, partitions=[0, 1])

    talk.ask(DescribeLogDirsRequest(topics=[wanted]))


@invalid("DescribeLogDirs")
def folders_of_what_is_not_there_are_not_told(talk: Conversation) -> None:
    topic = talk.make_topic()

    for name, numbers in (
        (NO_TOPIC.name, [0]),
        (topic.name, [5, -1]),
        (topic.name, []),
        (topic.name, [0, 0]),
    ):
        talk.ask(DescribeLogDirsRequest(topics=[DescribableLogDirTopic(topic=name, partitions=numbers)]))
    talk.ask(DescribeLogDirsRequest(topics=[]))


def move_request(folder: str, name: str, *numbers: int) -> AlterReplicaLogDirsRequest:
    """A request to move partitions into a folder."""
    topics = [AlterReplicaLogDirTopic(name=name, partitions=list(numbers))]
    return AlterReplicaLogDirsRequest(dirs=[AlterReplicaLogDir(path=folder, topics=topics)])


@valid("AlterReplicaLogDirs")
def partitions_stay_in_their_folder(talk: Conversation) -> None:
    topic = talk.make_topic()
    described = talk.prepare(
        DescribeLogDirsRequest(topics=[DescribableLogDirTopic(topic=topic.name, partitions=[0])])
    )

    talk.ask(move_request(described.results[0].log_dir, topic.name, 0))


@invalid("AlterReplicaLogDirs")
def partitions_do_not_move_to_folders_that_are_not_there(talk: Conversation) -> None:
    topic = talk.make_topic()

    for folder in ("/no/such/folder", "", "relative"):
        talk.ask(move_request(folder, topic.name, 0, 7))
        talk.ask(move_request(folder, NO_TOPIC.name, 0))
    talk.ask(AlterReplicaLogDirsRequest(dirs=[]))


def elect_request(name: str, *numbers: int, kind: int = 0) -> ElectLeadersRequest:
    """A request to elect leaders."""
    wanted = TopicPartitions(topic=name, partitions=list(numbers))
    return ElectLeadersRequest(election_type=kind, topic_partitions=[wanted], timeout_ms=5000)


@valid("ElectLeaders")
def leaders_stay_where_they_are(talk: Conversation) -> None:
    topic = talk.make_topic(partitions=2)

    talk.ask(elect_request(topic.name, 0, 1))
    if talk.version >= 1:
        talk.ask(elect_request(topic.name, 0, kind=1))
    talk.ask(ElectLeadersRequest(topic_partitions=None, timeout_ms=5000), own=True)


@invalid("ElectLeaders")
def nobody_leads_what_is_not_there(talk: Conversation) -> None:
    topic = talk.make_topic()

    talk.ask(elect_request(NO_TOPIC.name, 0))
    talk.ask(elect_request(topic.name, 0, 7, -1))
    talk.ask(elect_request(topic.name, 0, 0))
    talk.ask(elect_request(topic.name))
    talk.ask(elect_request("a b", 0))
    talk.ask(ElectLeadersRequest(topic_partitions=[], timeout_ms=5000))
    if talk.version >= 1:
        for kind in (2, -1):
            talk.ask(elect_request(topic.name, 0, kind=kind))


def reassign_request(
    name: str, number: int, replicas: Sequence[int] | None
) -> AlterPartitionReassignmentsRequest:
    """A request to move a partition to other brokers."""
    wanted = ReassignablePartition(
        partition_index=number, replicas=None if replicas is None else list(replicas)
    )
    topics = [ReassignableTopic(name=name, partitions=[wanted])]
    return AlterPartitionReassignmentsRequest(topics=topics, timeout_ms=5000)


@valid("AlterPartitionReassignments")
def partitions_stay_at_their_broker(talk: Conversation) -> None:
    topic = talk.make_topic()

    talk.ask(reassign_request(topic.name, 0, [1]))


@invalid("AlterPartitionReassignments")
def partitions_do_not_move_to_brokers_that_are_not_there(talk: Conversation) -> None:
    topic = talk.make_topic()

    for replicas in ([7], [1, 7], [1, 1], [], [-1], None):
        talk.ask(reassign_request(topic.name, 0, replicas))
    for number in (7, -1):
        talk.ask(reassign_request(topic.name, number, [1]))
        talk.ask(reassign_request(topic.name, number, None))
    talk.ask(reassign_request(NO_TOPIC.name, 0, [1]))
    talk.ask(reassign_request(NO_TOPIC.name, 0, None))
    talk.ask(AlterPartitionReassignmentsRequest(topics=[], timeout_ms=5000))
    twice = reassign_request(topic.name, 0, [1])
    twice.topics *= 2
    talk.ask(twice)


def moving_request(name: str, *numbers: int) -> ListPartitionReassignmentsRequest:
    """A request for partitions that are moved."""
    wanted = ListPartitionReassignmentsTopics(name=name, partition_indexes=list(numbers))
    return ListPartitionReassignmentsRequest(topics=[wanted], timeout_ms=5000)


@valid("ListPartitionReassignments")
def nothing_is_being_moved(talk: Conversation) -> None:
    topic = talk.make_topic()

    talk.ask(moving_request(topic.name, 0))
    talk.ask(ListPartitionReassignmentsRequest(topics=None, timeout_ms=5000))


@invalid("ListPartitionReassignments")
def what_is_not_there_is_not_being_moved(talk: Conversation) -> None:
    topic = talk.make_topic()

    talk.ask(moving_request(NO_TOPIC.name, 0))
    talk.ask(moving_request(topic.name, 7, -1))
    talk.ask(moving_request(topic.name))
    talk.ask(ListPartitionReassignmentsRequest(topics=[], timeout_ms=5000))


@valid("DescribeQuorum")
def the_quorum_is_told(talk: Conversation) -> None:
    wanted = TopicData(topic_name=METADATA_TOPIC, partitions=[PartitionData(partition_index=0)])

    talk.ask(DescribeQuorumRequest(topics=[wanted]))


@invalid("DescribeQuorum")
def other_topics_have_no_quorum(talk: Conversation) -> None:
    topic = talk.make_topic()

    for name, numbers in (
        (topic.name, [0]),
        (METADATA_TOPIC, [1]),
        (METADATA_TOPIC, [0, 1]),
        (METADATA_TOPIC, []),
    ):
        partitions = [PartitionData(partition_index=each) for each in numbers]
        talk.ask(DescribeQuorumRequest(topics=[TopicData(topic_name=name, partitions=partitions)]))
    talk.ask(DescribeQuorumRequest(topics=[]))


def feature_request(name: str, level: int, *, upgrade_type: int = 1) -> UpdateFeaturesRequest:
    """A request to change the level of a feature."""
    update = FeatureUpdateKey(
        feature=name, max_version_level=level, upgrade_type=upgrade_type, allow_downgrade=upgrade_type != 1
    )
    return UpdateFeaturesRequest(timeout_ms=5000, feature_updates=[update])


@valid("UpdateFeatures")
def features_stay_as_they_are(talk: Conversation) -> None:
    talk.ask(feature_request("group.version", 1))
    talk.ask(feature_request("transaction.version", 2))


@invalid("UpdateFeatures")
def features_that_do_not_exist_have_no_level(talk: Conversation) -> None:
    for name, level in (
        ("no.such", 1),
        ("", 1),
        ("group.version", 99),
        ("group.version", -1),
        ("no.such", 0),
    ):
        talk.ask(feature_request(name, level))
    if talk.version >= 1:
        for kind in (0, 4, -1):
            talk.ask(feature_request("group.version", 1, upgrade_type=kind))
    talk.ask(UpdateFeaturesRequest(timeout_ms=5000, feature_updates=[]))
    twice = feature_request("group.version", 1)
    twice.feature_updates *= 2
    talk.ask(twice)


def quotas_request(
    *components: tuple[str, int, str | None], strict: bool = False
) -> DescribeClientQuotasRequest:
    """A request for quotas: kinds of entities, each with how it matches and a name."""
    wanted = [ComponentData(entity_type=kind, match_type=how, match=name) for kind, how, name in components]
    return DescribeClientQuotasRequest(components=wanted, strict=strict)


@valid("DescribeClientQuotas")
def there_are_no_quotas(talk: Conversation) -> None:
    talk.ask(quotas_request())
    for how, name in ((0, "u"), (1, None), (2, None)):
        talk.ask(quotas_request(("user", how, name)))
        talk.ask(quotas_request(("client-id", how, name), strict=True))
        talk.ask(quotas_request(("ip", how, None if name is None else "127.0.0.1")))


@invalid("DescribeClientQuotas")
def quotas_of_unknown_kinds_are_not_told(talk: Conversation) -> None:
    for component in (
        ("planet", 0, "x"),
        ("", 0, "x"),
        ("user", 3, "x"),
        ("user", -1, None),
        ("user", 0, None),
    ):
        talk.ask(quotas_request(component))
    talk.ask(quotas_request(("user", 1, "x")))
    talk.ask(quotas_request(("user", 0, "x"), ("user", 0, "y")))
    talk.ask(quotas_request(("ip", 0, "127.0.0.1"), ("user", 0, "y")))


@invalid("ApiVersions")
def newer_versions_are_answered_in_the_first(talk: Conversation) -> None:
    for version in (5, 99, -1):
        client = talk.raw()
        client.send_frame(struct.pack(">hhih", 18, version, version + 7, -1) + b"\x00\x01\x01\x00")
        answer = client.receive_frame()
        (correlation_id, code, count) = struct.unpack_from(">ihi", answer)
        talk.note(f"version {version}", [correlation_id, code, count > 0])
