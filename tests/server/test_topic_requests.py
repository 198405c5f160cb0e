"""Topics created, grown, described and deleted over the wire: the codes are those that Kafka 4.3 answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pytest

import streamcore as sc
from streamcore.log.api.error_codes import ErrorCode as E
from streamcore.log.protocol.messages.create_partitions import (
    CreatePartitionsAssignment,
    CreatePartitionsRequest,
    CreatePartitionsTopic,
)
from streamcore.log.protocol.messages.create_topics import (
    CreatableReplicaAssignment,
    CreatableTopic,
    CreatableTopicConfig,
    CreatableTopicResult,
    CreateTopicsRequest,
)
from streamcore.log.protocol.messages.delete_topics import DeleteTopicsRequest, DeleteTopicState
from streamcore.log.protocol.messages.describe_topic_partitions import (
    Cursor,
    DescribeTopicPartitionsRequest,
    TopicRequest,
)
from streamcore.log.protocol.messages.metadata import MetadataRequest, MetadataRequestTopic
from streamcore.model import CommittedOffset, TopicPartition
from tests.support.serving import FETCH_VERSION, batch, client_of, fetch, fetch_request, produce
from tests.support.wire_client import WireClient

NO_ID = bytes(16)
ALL_OPERATIONS = 3576
ALL_ON_THE_CLUSTER = 8096


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sc.ServedLog]:
    with sc.serve(tmp_path_factory.mktemp("served"), listen="127.0.0.1:0") as served:
        yield served


@pytest.fixture
def client(served: sc.ServedLog) -> Iterator[WireClient]:
    for name in served.log.topics():
        if not name.startswith("__"):
            served.log.delete_topic(name)
    with client_of(served) as client:
        yield client


def topic(
    name: str,
    partitions: int = 1,
    replicas: int = 1,
    config: Mapping[str, str | None] | None = None,
    assigned: Sequence[tuple[int, Sequence[int]]] = (),
) -> CreatableTopic:
    return CreatableTopic(
        name=name,
        num_partitions=partitions,
        replication_factor=replicas,
        assignments=[
            CreatableReplicaAssignment(partition_index=index, broker_ids=list(brokers))
            for index, brokers in assigned
        ],
        configs=[CreatableTopicConfig(name=key, value=value) for key, value in (config or {}).items()],
    )


def create(
    client: WireClient, *topics: CreatableTopic, version: int = 7, validate_only: bool = False
) -> list[CreatableTopicResult]:
    request = CreateTopicsRequest(topics=list(topics), validate_only=validate_only)
    results: list[CreatableTopicResult] = client.ask(request, version).topics
    return results


def code(client: WireClient, wanted: CreatableTopic) -> int:
    (result,) = create(client, wanted)
    return result.error_code


# --- creating ---------------------------------------------------------------------------------


def test_a_created_topic_is_described_with_its_settings(client: WireClient, served: sc.ServedLog) -> None:
    (result,) = create(client, topic("t", 3, config={"retention.ms": " 5 "}))

    settings = {each.name: (each.value, each.config_source) for each in result.configs or ()}
    assert (result.error_code, result.num_partitions, result.replication_factor) == (E.NONE, 3, 1)
    assert result.topic_id == served.log.topics()["t"].topic_id.bytes
    assert len(settings) == 33
    assert settings["retention.ms"] == ("5", 1)
    assert settings["cleanup.policy"] == ("delete", 5)


@pytest.mark.parametrize("version", range(2, 8))
def test_a_topic_of_the_brokers_number_of_partitions(client: WireClient, version: int) -> None:
    (result,) = create(client, topic("t", -1, -1), version=version)
    (again,) = create(client, topic("t", -1, -1), version=version)

    assert (result.error_code, again.error_code) == (E.NONE, E.TOPIC_ALREADY_EXISTS)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (topic("t", 0), E.INVALID_PARTITIONS),
        (topic("t", -2), E.INVALID_PARTITIONS),
        (topic("t", 1, 2), E.INVALID_REPLICATION_FACTOR),
        (topic("t", 1, 0), E.INVALID_REPLICATION_FACTOR),
        (topic("t", 0, 0), E.INVALID_REPLICATION_FACTOR),
        (topic("a b"), E.INVALID_TOPIC_EXCEPTION),
        (topic(""), E.INVALID_TOPIC_EXCEPTION),
        (topic(".."), E.INVALID_TOPIC_EXCEPTION),
        (topic("x" * 250), E.INVALID_TOPIC_EXCEPTION),
        (topic("__cluster_metadata"), E.INVALID_REQUEST),
        (topic("__consumer_offsets"), E.INVALID_REQUEST),
        (topic("t", config={"nope": "1"}), E.INVALID_CONFIG),
        (topic("t", config={"retention.ms": "x"}), E.INVALID_CONFIG),
        (topic("t", config={"retention.ms": None}), E.INVALID_CONFIG),
        (topic("t", config={"min.insync.replicas": "2"}), E.INVALID_CONFIG),
        (topic("t", 1, 3, config={"nope": "1"}), E.INVALID_CONFIG),
        (topic("t", 2, -1, assigned=[(0, [1])]), E.INVALID_REQUEST),
        (topic("t", -1, 1, assigned=[(0, [1])]), E.INVALID_REQUEST),
        (topic("t", -1, -1, assigned=[(0, [1]), (2, [1])]), E.INVALID_REPLICA_ASSIGNMENT),
        (topic("t", -1, -1, assigned=[(0, [1]), (0, [1])]), E.INVALID_REPLICA_ASSIGNMENT),
        (topic("t", -1, -1, assigned=[(0, [2])]), E.INVALID_REPLICA_ASSIGNMENT),
        (topic("t", -1, -1, assigned=[(0, [1, 1])]), E.INVALID_REPLICA_ASSIGNMENT),
        (topic("t", -1, -1, assigned=[(0, [])]), E.INVALID_REPLICA_ASSIGNMENT),
    ],
)
def test_topics_that_cannot_be_created_are_refused_by_kafkas_codes(
    client: WireClient, served: sc.ServedLog, wanted: CreatableTopic, expected: E
) -> None:
    assert code(client, wanted) == expected
    assert wanted.name not in served.log.topics()


def test_an_existing_topic_is_reported_before_every_other_error(client: WireClient) -> None:
    create(client, topic("t"))

    assert code(client, topic("t", 0, 5, config={"nope": "1"})) == E.TOPIC_ALREADY_EXISTS


def test_the_refusal_of_an_unknown_setting_names_close_ones(client: WireClient) -> None:
    (result,) = create(client, topic("t", config={"retention_ms": "1"}))

    assert "did you mean retention.ms" in (result.error_message or "")


def test_names_that_differ_in_dots_and_underscores_only_collide(client: WireClient) -> None:
    create(client, topic("a.b_c"))

    assert code(client, topic("a_b.c")) == E.INVALID_TOPIC_EXCEPTION
    assert code(client, topic("a.b-c")) == E.NONE


def test_a_topic_named_twice_is_refused_and_the_others_are_created(client: WireClient) -> None:
    results = create(client, topic("a"), topic("b"), topic("a"))

    assert {each.name: each.error_code for each in results} == {"a": E.INVALID_REQUEST, "b": E.NONE}
    assert len(results) == 2


def test_partitions_may_be_assigned_to_the_one_broker(client: WireClient) -> None:
    (result,) = create(client, topic("t", -1, -1, assigned=[(1, [1]), (0, [1])]))

    assert (result.error_code, result.num_partitions) == (E.NONE, 2)


@pytest.mark.parametrize("counts", [[10_001], [6_000, 4_001], [1, 2**30]])
def test_a_request_for_very_many_partitions_is_refused_as_a_whole(
    client: WireClient, counts: list[int]
) -> None:
    wanted = [topic(f"t{index}", count) for index, count in enumerate(counts)]

    results = create(client, *wanted)
    names = [each.name for each in client.ask(MetadataRequest(topics=None), 12).topics]

    assert [each.error_code for each in results] == [E.POLICY_VIOLATION] * len(counts)
    assert not {each.name for each in wanted} & set(names)


def test_validating_creates_nothing(client: WireClient, served: sc.ServedLog) -> None:
    fine, bad = create(client, topic("t", 4), topic("u", 0), validate_only=True)

    assert (fine.error_code, fine.num_partitions, len(fine.configs or ())) == (E.NONE, 4, 33)
    assert bad.error_code == E.INVALID_PARTITIONS
    assert "t" not in served.log.topics()


# --- more partitions --------------------------------------------------------------------------


def grow(client: WireClient, *topics: CreatePartitionsTopic, validate_only: bool = False) -> dict[str, int]:
    request = CreatePartitionsRequest(topics=list(topics), timeout_ms=1000, validate_only=validate_only)
    return {each.name: each.error_code for each in client.ask(request, 3).results}


def more(name: str, count: int, assigned: Sequence[Sequence[int]] | None = None) -> CreatePartitionsTopic:
    assignments = (
        None if assigned is None else [CreatePartitionsAssignment(broker_ids=list(b)) for b in assigned]
    )
    return CreatePartitionsTopic(name=name, count=count, assignments=assignments)


def test_a_topic_gets_more_partitions(client: WireClient, served: sc.ServedLog) -> None:
    create(client, topic("t", 2), topic("u"))

    assert grow(client, more("t", 3), more("u", 2, [[1]])) == {"t": E.NONE, "u": E.NONE}
    assert {name: served.log.topics()[name].partition_count for name in ("t", "u")} == {"t": 3, "u": 2}


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (more("t", 2), E.INVALID_PARTITIONS),
        (more("t", 1), E.INVALID_PARTITIONS),
        (more("t", -1), E.INVALID_PARTITIONS),
        (more("none", 3), E.UNKNOWN_TOPIC_OR_PARTITION),
        (more("t", 4, [[1]]), E.INVALID_REPLICA_ASSIGNMENT),
        (more("t", 3, [[2]]), E.INVALID_REPLICA_ASSIGNMENT),
        (more("t", 3, []), E.INVALID_REPLICA_ASSIGNMENT),
        (more("t", 3, [[1, 1]]), E.INVALID_REPLICA_ASSIGNMENT),
        (more("t", 10_003), E.POLICY_VIOLATION),
    ],
)
def test_topics_that_cannot_get_partitions_are_refused_by_kafkas_codes(
    client: WireClient, wanted: CreatePartitionsTopic, expected: E
) -> None:
    create(client, topic("t", 2))

    assert grow(client, wanted) == {wanted.name: expected}


def test_growing_twice_in_one_request_is_refused_and_validating_grows_nothing(
    client: WireClient, served: sc.ServedLog
) -> None:
    create(client, topic("t", 2))

    assert grow(client, more("t", 3), more("t", 4)) == {"t": E.INVALID_REQUEST}
    assert grow(client, more("t", 3), validate_only=True) == {"t": E.NONE}
    assert served.log.topics()["t"].partition_count == 2


# --- deleting ---------------------------------------------------------------------------------


def delete(client: WireClient, *states: tuple[str | None, bytes]) -> list[tuple[str | None, int]]:
    topics = [DeleteTopicState(name=name, topic_id=topic_id) for name, topic_id in states]
    answer = client.ask(DeleteTopicsRequest(topics=topics, timeout_ms=1000), 6)
    return [(each.name, each.error_code) for each in answer.responses]


def test_topics_are_deleted_by_name_and_by_id(client: WireClient, served: sc.ServedLog) -> None:
    ids = {each.name: each.topic_id for each in create(client, topic("a"), topic("b"), topic("c"))}

    answer = delete(client, ("a", NO_ID), (None, ids["b"]))

    assert sorted(answer, key=str) == [("a", E.NONE), ("b", E.NONE)]
    assert set(served.log.topics()) == {"c"}
    assert code(client, topic("a")) == E.NONE


@pytest.mark.parametrize("version", range(1, 6))
def test_topics_are_deleted_by_name_in_older_versions(client: WireClient, version: int) -> None:
    create(client, topic("a"))
    request = DeleteTopicsRequest(topic_names=["a", "none"], timeout_ms=1000)

    answer = {each.name: each.error_code for each in client.ask(request, version).responses}

    assert answer == {"a": E.NONE, "none": E.UNKNOWN_TOPIC_OR_PARTITION}


def test_topics_that_cannot_be_deleted_are_refused_by_kafkas_codes(
    client: WireClient, served: sc.ServedLog
) -> None:
    ids = {each.name: each.topic_id for each in create(client, topic("a"), topic("b"), topic("c"))}

    assert delete(client, ("a", ids["a"])) == [("a", E.INVALID_REQUEST)]
    assert delete(client, (None, NO_ID)) == [(None, E.INVALID_REQUEST)]
    assert delete(client, (None, b"x" * 16)) == [(None, E.UNKNOWN_TOPIC_ID)]
    assert delete(client, ("a", NO_ID), ("a", NO_ID)) == [("a", E.INVALID_REQUEST)]
    assert delete(client, (None, ids["b"]), (None, ids["b"])) == [(None, E.INVALID_REQUEST)]
    assert delete(client, ("c", NO_ID), (None, ids["c"])) == [("c", E.INVALID_REQUEST)]
    assert delete(client, ("none", NO_ID)) == [("none", E.UNKNOWN_TOPIC_OR_PARTITION)]
    assert {"a", "b", "c"} <= set(served.log.topics())


def test_the_brokers_own_topics_stay(client: WireClient, served: sc.ServedLog) -> None:
    with served.log.producer(transactional_id="x") as producer, producer.transaction():
        pass

    assert delete(client, ("__transaction_state", NO_ID)) == [("__transaction_state", E.INVALID_REQUEST)]
    assert "__transaction_state" in served.log.topics()


# --- metadata ---------------------------------------------------------------------------------


def named(*names: str) -> list[MetadataRequestTopic]:
    return [MetadataRequestTopic(name=name) for name in names]


@pytest.mark.parametrize("version", range(14))
def test_metadata_contains_leaders_and_replicas(client: WireClient, version: int) -> None:
    create(client, topic("t", 2))

    answer = client.ask(MetadataRequest(topics=named("t")), version)
    again = client.ask(MetadataRequest(topics=named("t")), version)

    (found,) = answer.topics
    assert [(each.partition_index, each.leader_id, each.isr_nodes) for each in found.partitions] == [
        (0, 1, [1]),
        (1, 1, [1]),
    ]
    assert answer == again
    assert [broker.node_id for broker in answer.brokers] == [1]


def test_kept_metadata_follows_the_topic(client: WireClient) -> None:
    create(client, topic("t", 2))
    before = client.ask(MetadataRequest(topics=named("t")), 12).topics[0]
    grow(client, more("t", 3))
    grown = client.ask(MetadataRequest(topics=named("t")), 12).topics[0]
    delete(client, ("t", NO_ID))
    create(client, topic("t", 1))
    after = client.ask(MetadataRequest(topics=named("t")), 12).topics[0]

    assert [len(each.partitions) for each in (before, grown, after)] == [2, 3, 1]
    assert before.topic_id == grown.topic_id != after.topic_id


def test_a_topic_comes_into_being_when_it_is_asked_for(client: WireClient, served: sc.ServedLog) -> None:
    refused = client.ask(MetadataRequest(topics=named("a"), allow_auto_topic_creation=False), 9).topics
    made = client.ask(MetadataRequest(topics=named("a", "b")), 9).topics

    assert [each.error_code for each in refused] == [E.UNKNOWN_TOPIC_OR_PARTITION]
    assert [(each.name, each.error_code, len(each.partitions)) for each in made] == [("a", 0, 1), ("b", 0, 1)]
    assert {"a", "b"} <= set(served.log.topics())


def test_names_that_no_topic_can_have_are_refused_and_the_brokers_own_are_not_made(
    client: WireClient,
) -> None:
    found = client.ask(MetadataRequest(topics=named("a b", "__cluster_metadata")), 9).topics

    assert {each.name: each.error_code for each in found} == {
        "a b": E.INVALID_TOPIC_EXCEPTION,
        "__cluster_metadata": E.UNKNOWN_TOPIC_OR_PARTITION,
    }


def test_topics_are_found_by_their_ids(client: WireClient) -> None:
    (made,) = create(client, topic("t"))
    by_id = [MetadataRequestTopic(name=None, topic_id=each) for each in (made.topic_id, b"x" * 16)]

    found = client.ask(MetadataRequest(topics=by_id), 12).topics
    early = client.ask(MetadataRequest(topics=by_id), 10)

    assert [(each.name, each.error_code) for each in found] == [("t", E.NONE), (None, E.UNKNOWN_TOPIC_ID)]
    assert found[1].topic_id == b"x" * 16
    assert {each.error_code for each in early.topics} == {E.INVALID_REQUEST}


def test_metadata_contains_allowed_operations_if_requested(client: WireClient) -> None:
    create(client, topic("t"))
    asked = MetadataRequest(
        topics=named("t"),
        include_topic_authorized_operations=True,
        include_cluster_authorized_operations=True,
    )

    answer = client.ask(asked, 10)
    unasked = client.ask(MetadataRequest(topics=named("t")), 10)

    assert answer.topics[0].topic_authorized_operations == ALL_OPERATIONS
    assert answer.cluster_authorized_operations == ALL_ON_THE_CLUSTER
    assert unasked.topics[0].topic_authorized_operations == -(2**31)


# --- page by page -----------------------------------------------------------------------------


def page(
    client: WireClient, names: Sequence[str], limit: int = 2000, cursor: tuple[str, int] | None = None
) -> tuple[dict[str, tuple[int, list[int]]], tuple[str, int] | None]:
    request = DescribeTopicPartitionsRequest(
        topics=[TopicRequest(name=name) for name in names],
        response_partition_limit=limit,
        cursor=None if cursor is None else Cursor(topic_name=cursor[0], partition_index=cursor[1]),
    )
    answer = client.ask(request, 0)
    topics = {
        each.name: (each.error_code, [partition.partition_index for partition in each.partitions])
        for each in answer.topics
    }
    place = answer.next_cursor
    return topics, None if place is None else (place.topic_name, place.partition_index)


@pytest.fixture
def three(client: WireClient) -> list[str]:
    create(client, topic("a", 5), topic("b", 3), topic("c", 4))
    return ["c", "a", "b"]


def test_topics_are_described_in_the_order_of_their_names(client: WireClient, three: list[str]) -> None:
    topics, cursor = page(client, three)

    assert list(topics.items()) == [
        ("a", (0, [0, 1, 2, 3, 4])),
        ("b", (0, [0, 1, 2])),
        ("c", (0, [0, 1, 2, 3])),
    ]
    assert cursor is None


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 7, 12])
def test_following_the_cursor_shows_each_partition_once(
    client: WireClient, three: list[str], limit: int
) -> None:
    seen: list[tuple[str, int]] = []
    cursor: tuple[str, int] | None = None
    while True:
        topics, cursor = page(client, three, limit, cursor)
        shown = [(name, index) for name, (_, indexes) in topics.items() for index in indexes]
        assert 0 < len(shown) <= limit
        seen += shown
        if cursor is None:
            break

    assert seen == [(name, index) for name, count in (("a", 5), ("b", 3), ("c", 4)) for index in range(count)]


def test_pages_begin_and_end_where_kafkas_do(client: WireClient, three: list[str]) -> None:
    assert page(client, three, 5) == ({"a": (0, [0, 1, 2, 3, 4])}, ("b", 0))
    assert page(client, three, 6, ("a", 3)) == (
        {"a": (0, [3, 4]), "b": (0, [0, 1, 2]), "c": (0, [0])},
        ("c", 1),
    )
    assert page(client, three, 100, ("b", 7)) == ({"b": (0, []), "c": (0, [0, 1, 2, 3])}, None)
    assert page(client, three, 0) == ({"a": (0, [0])}, ("a", 1))
    assert page(client, ["0none", "a"], 1)[0]["0none"] == (E.UNKNOWN_TOPIC_OR_PARTITION, [])


def test_a_cursor_that_leads_nowhere_is_refused(client: WireClient, three: list[str]) -> None:
    for cursor in (("b", -1), ("aa", 0)):
        topics, _ = page(client, three, 100, cursor)

        assert {code for code, _ in topics.values()} == {E.INVALID_REQUEST}


# --- deleting what is in use --------------------------------------------------------------------


def test_a_topic_is_deleted_while_clients_read_it_and_write_to_it(
    client: WireClient, served: sc.ServedLog
) -> None:
    create(client, topic("t"))
    produce(client, "t", batch(b"a"))
    with client_of(served) as reader:
        api = reader.send(fetch_request("t", 1, max_wait_ms=100), FETCH_VERSION)

        assert delete(client, ("t", NO_ID)) == [("t", E.NONE)]

        waited = reader.receive(api, FETCH_VERSION).responses[0].partitions[0]
    assert waited.error_code == E.UNKNOWN_TOPIC_OR_PARTITION
    assert produce(client, "t", batch(b"b")).error_code == E.UNKNOWN_TOPIC_OR_PARTITION


def test_a_topic_that_is_created_again_is_empty(client: WireClient, served: sc.ServedLog) -> None:
    create(client, topic("t", config={"retention.ms": "-1"}))
    produce(client, "t", batch(b"a", b"b"))
    served.log.embedded.commit_offsets("g", {TopicPartition("t", 0): CommittedOffset(2)})
    delete(client, ("t", NO_ID))

    create(client, topic("t"))

    assert served.log.embedded.committed("g") == {}
    assert (produce(client, "t", batch(b"c")).base_offset, fetch(client, "t").high_watermark) == (0, 1)
