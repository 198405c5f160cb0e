"""What a connection is answered: in order, by the rules of the protocol, no more than was asked for."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

import streamcore as sc
from streamcore.log.protocol.apis import API_VERSIONS, APIS, FETCH, PRODUCE
from streamcore.log.protocol.messages.api_versions import ApiVersionsRequest
from streamcore.log.protocol.messages.consumer_group_describe import ConsumerGroupDescribeRequest
from streamcore.log.protocol.messages.create_topics import CreatableTopic, CreateTopicsRequest
from streamcore.log.protocol.messages.describe_groups import DescribeGroupsRequest
from streamcore.log.protocol.messages.metadata import MetadataRequest, MetadataRequestTopic
from tests.support.serving import (
    FETCH_VERSION,
    PRODUCE_VERSION,
    batch,
    client_of,
    fetch,
    fetch_request,
    produce,
    produce_request,
    records_of,
)
from tests.support.wire_client import WireClient


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sc.ServedLog]:
    with sc.serve(tmp_path_factory.mktemp("served"), listen="127.0.0.1:0") as served:
        yield served


@pytest.fixture
def client(served: sc.ServedLog) -> Iterator[WireClient]:
    with client_of(served) as client:
        yield client


@pytest.fixture
def topic(served: sc.ServedLog, request: pytest.FixtureRequest) -> str:
    """A new topic of three partitions, called after the test."""
    name = request.node.name.translate(str.maketrans("[]- ", "...."))[:200]
    served.log.create_topic(name, partitions=3)
    return str(name)


def stored(produced: bytes, base_offset: int) -> bytes:
    """A batch as the log keeps it: with its offset and the leader epoch written into it."""
    return struct.pack(">q", base_offset) + produced[8:12] + struct.pack(">i", 0) + produced[16:]


def test_produced_batches_are_fetched_byte_for_byte_except_their_offsets(
    client: WireClient, topic: str
) -> None:
    first, second = batch(b"a", b"b"), batch(b"c")

    offsets = [produce(client, topic, each).base_offset for each in (first, second)]
    data = fetch(client, topic)

    assert offsets == [0, 2]
    assert data.high_watermark == 3
    assert records_of(data) == stored(first, 0) + stored(second, 2)


def test_a_fetch_from_inside_a_batch_gets_the_whole_batch(client: WireClient, topic: str) -> None:
    one = batch(b"a", b"b", b"c")
    produce(client, topic, one)

    data = fetch(client, topic, 2)

    assert records_of(data) == stored(one, 0)


def test_a_fetch_gets_no_more_than_it_asks_for_but_one_batch_at_least(client: WireClient, topic: str) -> None:
    sizes = [len(batch(b"x" * 6_000)) for _ in range(4) if produce(client, topic, batch(b"x" * 6_000))]

    within = records_of(fetch(client, topic, partition_max_bytes=2 * sizes[0] + 100))
    too_small = records_of(fetch(client, topic, partition_max_bytes=10))
    by_all = records_of(fetch(client, topic, max_bytes=10))

    assert len(within) in (sizes[0], 2 * sizes[0])
    assert len(too_small) == sizes[0]
    assert len(by_all) == sizes[0]


def test_only_the_first_partition_may_pass_the_limit(client: WireClient, topic: str) -> None:
    for partition in range(3):
        produce(client, topic, batch(b"x" * 5_000), partition=partition)

    response = client.ask(fetch_request(topic, partitions=range(3), max_bytes=100), FETCH_VERSION)

    sizes = [len(records_of(each)) for each in response.responses[0].partitions]
    assert sizes[0] > 5_000
    assert sizes[1:] == [0, 0]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2"])
def test_a_wildcard_listener_advertises_the_address_that_the_client_connected_to(
    tmp_path: Path, host: str
) -> None:
    with sc.serve(tmp_path, listen="0.0.0.0:0") as served:
        port = int(served.address.rpartition(":")[2])
        with WireClient(host, port) as client:
            answer = client.ask(MetadataRequest(topics=[]), 9)

        assert [(broker.host, broker.port) for broker in answer.brokers] == [(host, port)]
        assert served.address == f"127.0.0.1:{port}"
        assert served.listeners == [f"plaintext://0.0.0.0:{port}"]


def test_answers_come_in_the_order_of_the_requests(client: WireClient, topic: str) -> None:
    apis = [
        (client.send(fetch_request(topic, max_wait_ms=50), FETCH_VERSION), FETCH_VERSION),
        (client.send(produce_request(topic, batch(b"a")), PRODUCE_VERSION), PRODUCE_VERSION),
        (client.send(MetadataRequest(topics=[]), 9), 9),
        (client.send(produce_request(topic, batch(b"b")), PRODUCE_VERSION), PRODUCE_VERSION),
        (client.send(produce_request(topic, batch(b"c")), PRODUCE_VERSION), PRODUCE_VERSION),
        (client.send(fetch_request(topic), FETCH_VERSION), FETCH_VERSION),
    ]

    answers = [client.receive(api, version) for api, version in apis]

    assert len(records_of(answers[0].responses[0].partitions[0])) == 0
    offsets = [answers[index].responses[0].partition_responses[0].base_offset for index in (1, 3, 4)]
    assert offsets == [0, 1, 2]
    assert answers[5].responses[0].partitions[0].high_watermark == 3


def test_many_requests_at_once_are_all_answered(client: WireClient, topic: str) -> None:
    apis = [client.send(MetadataRequest(topics=[]), 9) for _ in range(1_000)]

    answers = [client.receive(api, 9) for api in apis]

    assert len({answer.cluster_id for answer in answers}) == 1


def test_a_fetch_waits_until_records_are_produced(
    served: sc.ServedLog, client: WireClient, topic: str
) -> None:
    api = client.send(fetch_request(topic, max_wait_ms=15_000), FETCH_VERSION)

    with client_of(served) as other:
        produce(other, topic, batch(b"a"))
    data = client.receive(api, FETCH_VERSION).responses[0].partitions[0]

    assert records_of(data) == stored(batch(b"a"), 0)


def test_a_fetch_waits_for_a_producer_in_this_process_too(
    served: sc.ServedLog, client: WireClient, topic: str
) -> None:
    api = client.send(fetch_request(topic, max_wait_ms=15_000), FETCH_VERSION)

    with served.log.producer() as producer:
        producer.send_and_wait(topic, value=b"a", partition=0)
    data = client.receive(api, FETCH_VERSION).responses[0].partitions[0]

    assert data.high_watermark == 1
    assert records_of(data)


def test_a_fetch_for_more_than_there_is_ends_with_its_time(client: WireClient, topic: str) -> None:
    produce(client, topic, batch(b"a"))

    data = fetch(client, topic, max_wait_ms=30, min_bytes=1_000_000)

    assert records_of(data) == stored(batch(b"a"), 0)


def test_a_fetch_in_an_unknown_session_is_refused(client: WireClient, topic: str) -> None:
    codes = []
    for session_id, epoch in ((0, 0), (0, -1), (5, -1), (5, 0), (5, 1), (0, 1)):
        request = fetch_request(topic)
        request.session_id, request.session_epoch = session_id, epoch
        codes.append(client.ask(request, FETCH_VERSION).error_code)

    assert codes == [0, 0, 0, 0, 70, 70]


def test_a_fetch_of_a_replica_is_refused(client: WireClient, topic: str) -> None:
    produce(client, topic, batch(b"a"))
    request = fetch_request(topic)
    request.replica_id = 5

    data = client.ask(request, FETCH_VERSION).responses[0].partitions[0]
    request.topics[0].partitions[0].current_leader_epoch = 0
    of_an_epoch = client.ask(request, FETCH_VERSION).responses[0].partitions[0]

    assert (data.error_code, of_an_epoch.error_code) == (6, 75)
    assert not records_of(data)


def test_a_batch_without_acknowledgement_is_written_and_not_answered(client: WireClient, topic: str) -> None:
    client.send(produce_request(topic, batch(b"a"), acks=0), PRODUCE_VERSION)

    answer = client.ask(MetadataRequest(topics=[]), 9)

    assert answer.cluster_id
    assert fetch(client, topic, max_wait_ms=5_000).high_watermark == 1


def test_a_refused_batch_without_acknowledgement_ends_the_connection(client: WireClient) -> None:
    client.send(produce_request("no-such-topic", batch(b"a"), acks=0), PRODUCE_VERSION)

    assert client.is_closed_by_peer()


@pytest.mark.parametrize("version", [10, 11])
def test_topics_are_asked_for_by_id_only_where_an_answer_can_lack_a_name(
    client: WireClient, topic: str, version: int
) -> None:
    wanted = [MetadataRequestTopic(name=None, topic_id=bytes(16)), MetadataRequestTopic(name=topic)]

    topics = client.ask(MetadataRequest(topics=wanted), version).topics

    assert [(each.error_code, each.name) for each in topics] == [(42, ""), (42, topic)]


def test_an_error_about_a_long_name_is_short(client: WireClient) -> None:
    name = "é" * 16_383
    wanted = CreatableTopic(name=name, num_partitions=1, replication_factor=1, assignments=[], configs=[])

    (created,) = client.ask(CreateTopicsRequest(topics=[wanted]), 5).topics
    (described,) = client.ask(DescribeGroupsRequest(groups=[name]), 6).groups
    asked = ConsumerGroupDescribeRequest(group_ids=[name], include_authorized_operations=False)
    (newer,) = client.ask(asked, 0).groups

    for each in (created, described, newer):
        assert 100 < len(each.error_message) <= 1_000


@pytest.mark.parametrize("acks", [2, -2, 100])
def test_impossible_acks_are_refused(client: WireClient, topic: str, acks: int) -> None:
    response = client.ask(produce_request(topic, batch(b"a"), acks=acks), PRODUCE_VERSION)

    assert response.responses[0].partition_responses[0].error_code == 21


@pytest.mark.parametrize(
    ("records", "code"),
    [
        (None, 87),
        (b"", 87),
        (b"x" * 60, 87),
        (batch(b"a") + batch(b"b"), 87),
        (batch(b"a")[:-1], 87),
        (batch(b"a")[:-1] + b"!", 2),
        (batch(b"a")[:16] + b"\x01" + batch(b"a")[17:], 87),
        (batch(b"a")[:16] + b"\x03" + batch(b"a")[17:], 2),
        (batch(b"x" * 1_100_000), 10),
    ],
    ids=["null", "empty", "short", "two batches", "cut off", "damaged", "old format", "no format", "large"],
)
def test_a_batch_that_is_none_is_refused(
    client: WireClient, topic: str, records: bytes | None, code: int
) -> None:
    answer = produce(client, topic, records)

    assert answer.error_code == code
    assert answer.base_offset == -1
    assert fetch(client, topic).high_watermark == 0


def test_an_unknown_partition_is_refused_and_the_others_are_served(client: WireClient, topic: str) -> None:
    assert produce(client, topic, batch(b"a"), partition=7).error_code == 3
    assert produce(client, "no-such-topic", batch(b"a")).error_code == 3
    assert fetch(client, "no-such-topic").error_code == 3
    assert fetch(client, topic, 5).error_code == 1
    assert produce(client, topic, batch(b"a")).error_code == 0


def test_a_partition_whose_disk_has_failed_says_so_and_the_others_are_served(tmp_path: Path) -> None:
    with pytest.raises(sc.StorageError), sc.serve(tmp_path, listen="127.0.0.1:0") as served:
        served.log.create_topic("t", partitions=2)
        broker = served.log.embedded.node.broker
        broker.partition(sc.TopicPartition("t", 0)).health.fail(sc.StorageError("it burns"))
        with client_of(served) as client:
            failed = produce(client, "t", batch(b"a"))
            other = produce(client, "t", batch(b"a"), partition=1)

    assert failed.error_code == 56
    assert failed.error_message is not None
    assert "it burns" in failed.error_message
    assert other.error_code == 0


def test_a_version_of_api_versions_that_is_not_served_is_answered_in_version_0(client: WireClient) -> None:
    client.socket.sendall(struct.pack(">ihhih", 10, API_VERSIONS.key, 99, 7, -1))

    frame = client.receive_frame()

    answer = API_VERSIONS.response_codec(0).decode(frame, 4)
    assert struct.unpack_from(">i", frame) == (7,)
    assert answer.error_code == 35  # type: ignore[attr-defined]
    assert [(row.api_key, row.max_version) for row in answer.api_keys] == [(18, 4)]  # type: ignore[attr-defined]


def test_produce_is_advertised_from_version_0_and_served_from_version_3(
    served: sc.ServedLog, client: WireClient
) -> None:
    answer = client.ask(ApiVersionsRequest(client_software_name="a", client_software_version="1"), 4)

    ranges = {row.api_key: (row.min_version, row.max_version) for row in answer.api_keys}
    client.socket.sendall(struct.pack(">ihhih", 10, PRODUCE.key, 2, 7, -1))

    assert ranges[PRODUCE.key] == (0, PRODUCE.version_max)
    assert ranges[FETCH.key] == (FETCH.version_min, FETCH.version_max)
    assert client.is_closed_by_peer()


@pytest.mark.parametrize(
    "frame",
    [
        struct.pack(">hhih", 999, 0, 1, -1),
        struct.pack(">hhih", 3, 99, 1, -1),
        struct.pack(">hhih", 3, 9, 1, 5),
        struct.pack(">hhih", 3, 9, 1, -1) + b"\xff",
        struct.pack(">hhih", 3, 1, 1, -1) + b"\x7f\xff\xff\xff",
    ],
    ids=["unknown key", "unknown version", "cut off name", "cut off tags", "hostile length"],
)
def test_a_request_that_makes_no_sense_ends_its_connection_and_no_other(
    served: sc.ServedLog, client: WireClient, frame: bytes
) -> None:
    with client_of(served) as other:
        client.socket.sendall(struct.pack(">i", len(frame)) + frame)

        assert client.is_closed_by_peer()
        assert other.ask(MetadataRequest(topics=[]), 9).cluster_id


def test_bytes_after_a_request_are_ignored_as_kafka_does(client: WireClient) -> None:
    # librdkafka writes the null array of a Metadata request for all topics as four bytes instead of one.
    client.socket.sendall(struct.pack(">ihhihb", 18, 3, 13, 7, -1, 0) + bytes.fromhex("00000000010000"))

    frame = client.receive_frame()

    assert APIS[3].response_codec(13).decode(frame, 5).cluster_id  # type: ignore[attr-defined]


def test_every_advertised_request_has_a_function_that_answers_it() -> None:
    from streamcore.log.api.handlers.table import HANDLERS, handler_of

    assert set(HANDLERS) <= set(APIS)
    assert all(callable(handler_of(key)) for key in HANDLERS)


def test_an_open_transaction_is_not_shown_to_readers_of_committed_data(
    served: sc.ServedLog, client: WireClient, topic: str
) -> None:
    with (
        served.log.producer(transactional_id=f"t-{topic}") as producer,
        producer.transaction() as transaction,
    ):
        transaction.send(topic, value=b"a", partition=0).result()
        served.log.embedded.node.driver.sync_all()
        uncommitted = fetch(client, topic, isolation=0)
        committed = fetch(client, topic, isolation=1)
    after = fetch(client, topic, isolation=1)

    assert records_of(uncommitted)
    assert records_of(committed) == b""
    assert committed.last_stable_offset == 0
    assert committed.aborted_transactions == []
    assert records_of(after)


def test_a_log_that_was_served_opens_as_a_folder_and_the_other_way_round(tmp_path: Path) -> None:
    with sc.serve(tmp_path, listen="127.0.0.1:0") as served, client_of(served) as client:
        served.log.create_topic("t")
        produce(client, "t", batch(b"over the wire"))
    with sc.connect(tmp_path) as log, log.producer() as producer:
        producer.send_and_wait("t", value=b"embedded")
    with sc.serve(tmp_path, listen="127.0.0.1:0") as served, client_of(served) as client:
        data = fetch(client, "t")
        with served.log.consumer(assign=[("t", 0)]) as consumer:
            values = [consumer.poll(timeout="9s")[0].value for _ in range(2)]

    assert data.high_watermark == 2
    assert values == [b"over the wire", b"embedded"]
