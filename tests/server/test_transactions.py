"""Transactions over the wire: what each version of a request is answered, as Apache Kafka 4.3 answers it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import streamcore as sc
from streamcore.clock import ManualClock
from streamcore.log.api.error_codes import ErrorCode
from streamcore.log.broker.requests import ProducerIdentity
from streamcore.log.protocol.messages.api_versions import ApiVersionsRequest
from streamcore.log.protocol.messages.describe_producers import DescribeProducersRequest, TopicRequest
from streamcore.log.protocol.messages.list_transactions import ListTransactionsRequest
from streamcore.log.protocol.messages.offset_fetch import OffsetFetchRequest, OffsetFetchRequestTopic
from streamcore.log.protocol.messages.write_txn_markers import (
    WritableTxnMarker,
    WritableTxnMarkerTopic,
    WriteTxnMarkersRequest,
)
from tests.support.serving import client_of, fetch
from tests.support.transaction_client import NOBODY, TransactionClient
from tests.support.wire_client import WireClient

E = ErrorCode
OLD = 3
"""A version of EndTxn that keeps the epoch."""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sc.ServedLog]:
    with sc.serve(tmp_path_factory.mktemp("served"), listen="127.0.0.1:0") as served:
        yield served


@pytest.fixture
def wire(served: sc.ServedLog) -> Iterator[WireClient]:
    with client_of(served) as wire:
        yield wire


@pytest.fixture
def client(wire: WireClient) -> TransactionClient:
    return TransactionClient(wire)


@pytest.fixture
def topic(served: sc.ServedLog, request: pytest.FixtureRequest) -> str:
    """A new topic, called after the test; its name is the test's transactional id, too."""
    name = request.node.name.translate(str.maketrans("[]- ", "...."))[:200]
    served.log.create_topic(name, partitions=2)
    return str(name)


def newer(identity: ProducerIdentity, by: int = 1) -> ProducerIdentity:
    return ProducerIdentity(identity.producer_id, identity.epoch + by)


def test_api_versions_advertises_that_epochs_may_move(wire: WireClient) -> None:
    request = ApiVersionsRequest(client_software_name="x", client_software_version="1")
    answers = {version: wire.ask(request, version) for version in (0, 2, 3, 4)}

    finalized = {
        version: [(each.name, each.max_version_level) for each in answer.finalized_features]
        for version, answer in answers.items()
    }
    supported = [(each.name, each.min_version, each.max_version) for each in answers[4].supported_features]
    assert ("transaction.version", 2) in finalized[3]
    assert finalized[3] == finalized[4]
    assert answers[3].finalized_features_epoch >= 0
    assert ("transaction.version", 0, 2) in supported
    # Up to version 3 a client cannot read of a feature that begins at 0.
    assert answers[3].supported_features == []
    assert finalized[0] == finalized[2] == []


def test_a_transaction_of_a_newer_client(client: TransactionClient, topic: str) -> None:
    first = client.begin(topic)

    assert client.produce(topic, first, topic) is E.NONE
    assert client.produce(topic, first, topic, sequence=1) is E.NONE
    assert client.describe(topic).transaction_state == "Ongoing"
    answers = [client.end(topic, first) for _ in range(2)]

    assert answers == [(E.NONE, newer(first))] * 2
    assert client.end(topic, first, commit=False) == (E.INVALID_TXN_STATE, NOBODY)
    assert client.end(topic, newer(first)) == (E.INVALID_TXN_STATE, NOBODY)
    assert client.produce(topic, first, topic, sequence=2) is E.INVALID_PRODUCER_EPOCH
    assert client.produce(topic, newer(first), topic, sequence=1) is E.OUT_OF_ORDER_SEQUENCE_NUMBER
    assert client.produce(topic, newer(first), topic) is E.NONE


def test_a_transaction_of_an_older_client(client: TransactionClient, topic: str) -> None:
    identity = client.begin(topic)

    not_added = [client.produce(topic, identity, topic, version=version) for version in (8, 10, 11)]
    assert client.add_partitions(topic, identity, {topic: [0]}) == [E.NONE]
    added = client.produce(topic, identity, topic, version=11)
    answers = [client.end(topic, identity, version=OLD)[0] for _ in range(2)]

    assert not_added == [E.INVALID_TXN_STATE, E.INVALID_TXN_STATE, E.TRANSACTION_ABORTABLE]
    assert added is E.NONE
    assert answers == [E.NONE, E.NONE]
    assert client.end(topic, identity, commit=False, version=OLD)[0] is E.INVALID_TXN_STATE
    assert client.produce(topic, identity, topic, version=11) is E.TRANSACTION_ABORTABLE
    assert client.describe(topic).producer_epoch == identity.epoch


@pytest.mark.parametrize(
    ("ask", "versions"),
    [
        ("init", {3: E.INVALID_PRODUCER_EPOCH, 4: E.PRODUCER_FENCED}),
        ("add partitions", {1: E.INVALID_PRODUCER_EPOCH, 2: E.PRODUCER_FENCED, 5: E.PRODUCER_FENCED}),
        ("add offsets", {1: E.INVALID_PRODUCER_EPOCH, 2: E.PRODUCER_FENCED}),
        ("commit offsets", {3: E.INVALID_PRODUCER_EPOCH, 5: E.INVALID_PRODUCER_EPOCH}),
        ("produce", {9: E.INVALID_PRODUCER_EPOCH, 12: E.INVALID_PRODUCER_EPOCH}),
        ("end", {1: E.INVALID_PRODUCER_EPOCH, 2: E.PRODUCER_FENCED, 5: E.PRODUCER_FENCED}),
    ],
)
def test_a_fenced_producer_receives_the_error_code_of_its_version(
    client: TransactionClient, topic: str, ask: str, versions: dict[int, ErrorCode]
) -> None:
    fenced = client.begin(topic)
    client.begin(topic)

    for version, expected in versions.items():
        match ask:
            case "init":
                code = client.init(topic, fenced, version=version)[0]
            case "add partitions":
                (code,) = client.add_partitions(topic, fenced, {topic: [0]}, version=version)
            case "add offsets":
                code = client.add_offsets(topic, fenced, "g", version=version)
            case "commit offsets":
                (code,) = client.commit_offsets(topic, fenced, "g", {topic: 1}, version=version)
            case "produce":
                code = client.produce(topic, fenced, topic, version=version)
            case _:
                code = client.end(topic, fenced, version=version)[0]
        assert code is expected, version


def test_requests_without_a_transactional_id_or_with_an_unknown_one(
    client: TransactionClient, topic: str
) -> None:
    somebody = ProducerIdentity(123_456, 0)

    assert client.init("")[0] is E.INVALID_REQUEST
    assert client.init(topic, ProducerIdentity(5, -1))[0] is E.INVALID_REQUEST
    assert client.init(topic, ProducerIdentity(-1, 5))[0] is E.INVALID_REQUEST
    assert client.add_partitions("", somebody, {topic: [0]}) == [E.INVALID_REQUEST]
    assert client.end("", somebody)[0] is E.INVALID_REQUEST
    assert client.produce(None, somebody, topic) is E.TRANSACTIONAL_ID_AUTHORIZATION_FAILED
    for name in ("unknown", "unknown too"):
        assert client.add_partitions(name, somebody, {topic: [0]}) == [E.INVALID_PRODUCER_ID_MAPPING]
        assert client.add_offsets(name, somebody, "g") is E.INVALID_PRODUCER_ID_MAPPING
        assert client.commit_offsets(name, somebody, "g", {topic: 1}) == [E.INVALID_PRODUCER_ID_MAPPING]
        assert client.produce(name, somebody, topic) is E.INVALID_PRODUCER_ID_MAPPING
        for version in (OLD, 5):
            assert client.end(name, somebody, version=version)[0] is E.INVALID_PRODUCER_ID_MAPPING


@pytest.mark.parametrize("timeout_ms", [0, -1, 900_001])
def test_a_time_out_that_is_not_allowed(client: TransactionClient, topic: str, timeout_ms: int) -> None:
    assert client.init(topic, timeout_ms=timeout_ms)[0] is E.INVALID_TRANSACTION_TIMEOUT
    assert client.init(None, timeout_ms=timeout_ms)[0] is E.NONE


# --- partitions -------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [3, 4])
def test_partitions_join_all_or_none(client: TransactionClient, topic: str, version: int) -> None:
    identity = client.begin(topic)

    codes = client.add_partitions(topic, identity, {topic: [0, 7], "nowhere": [0]}, version=version)

    unknown = E.UNKNOWN_TOPIC_OR_PARTITION
    assert codes == [E.OPERATION_NOT_ATTEMPTED, unknown, unknown]
    assert client.describe(topic).transaction_state == "Empty"


def test_brokers_may_ask_whether_partitions_have_joined(client: TransactionClient, topic: str) -> None:
    identity = client.begin(topic)
    client.add_partitions(topic, identity, {topic: [0]}, version=5)

    both = client.add_partitions(topic, identity, {topic: [0, 1]}, version=5, verify_only=True)
    fenced = client.add_partitions(topic, newer(identity), {topic: [0]}, version=5, verify_only=True)

    assert both == [E.NONE, E.TRANSACTION_ABORTABLE]
    assert fenced == [E.PRODUCER_FENCED]


# --- positions --------------------------------------------------------------------------------------


def committed(wire: WireClient, group: str, topic: str) -> tuple[int, int]:
    request = OffsetFetchRequest(
        group_id=group,
        topics=[OffsetFetchRequestTopic(name=topic, partition_indexes=[0])],
        require_stable=True,
    )
    (position,) = wire.ask(request, 7).topics[0].partitions
    return position.error_code, position.committed_offset


def test_positions_of_a_newer_client_join_by_themselves(
    client: TransactionClient, wire: WireClient, topic: str
) -> None:
    identity = client.begin(topic)

    assert client.commit_offsets(topic, identity, topic, {topic: 5}) == [E.NONE]
    state = client.describe(topic)
    client.end(topic, identity)

    assert [each.topic for each in state.topics] == ["__consumer_offsets"]
    assert committed(wire, topic, topic) == (0, 5)


def test_positions_of_an_older_client_are_named_first(
    client: TransactionClient, wire: WireClient, topic: str
) -> None:
    identity = client.begin(topic)

    early = [client.commit_offsets(topic, identity, topic, {topic: 5}, version=v)[0] for v in (0, 3, 4)]
    assert client.add_offsets(topic, identity, topic) is E.NONE
    assert client.commit_offsets(topic, identity, topic, {topic: 6}, version=3) == [E.NONE]
    client.end(topic, identity, version=OLD)

    assert early == [E.INVALID_TXN_STATE, E.INVALID_TXN_STATE, E.TRANSACTION_ABORTABLE]
    assert committed(wire, topic, topic) == (0, 6)


def test_positions_that_are_refused_for_themselves_leave_the_others(
    client: TransactionClient, topic: str
) -> None:
    identity = client.begin(topic)

    unknown = client.commit_offsets(topic, identity, topic, {"nowhere": 1})
    state = client.describe(topic).transaction_state
    some = client.commit_offsets(topic, identity, topic, {"nowhere": 1, topic: 1})
    too_long = client.commit_offsets(topic, identity, topic, {topic: 1}, metadata="x" * 5000)

    assert (unknown, state) == ([E.UNKNOWN_TOPIC_OR_PARTITION], "Empty")
    assert some == [E.UNKNOWN_TOPIC_OR_PARTITION, E.NONE]
    assert too_long == [E.OFFSET_METADATA_TOO_LARGE]


def test_no_group_no_positions(client: TransactionClient, topic: str) -> None:
    identity = client.begin(topic)

    assert client.commit_offsets(topic, identity, "", {topic: 1}) == [E.INVALID_GROUP_ID]


# --- who looks after them ---------------------------------------------------------------------------


def test_transactions_are_described_and_listed(
    client: TransactionClient, wire: WireClient, topic: str
) -> None:
    identity = client.begin(topic)
    client.produce(topic, identity, topic)

    state = client.describe(topic)
    request = ListTransactionsRequest(
        state_filters=["Ongoing", "ongoing"], producer_id_filters=[identity.producer_id]
    )
    listed = wire.ask(request, 2)

    assert (state.transaction_state, state.transaction_timeout_ms) == ("Ongoing", 60_000)
    assert (state.producer_id, state.producer_epoch) == (identity.producer_id, identity.epoch)
    assert [(each.topic, each.partitions) for each in state.topics] == [(topic, [0])]
    assert state.transaction_start_time_ms > 0
    assert listed.unknown_state_filters == ["ongoing"]
    assert [each.transactional_id for each in listed.transaction_states] == [topic]
    assert client.describe("unknown").error_code == E.TRANSACTIONAL_ID_NOT_FOUND
    assert client.describe("").error_code == E.INVALID_REQUEST


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("pattern:.*", {"é", "1", "a b"}),
        ("pattern:[0-9]", {"1"}),
        ("pattern", set()),
        ("[^:]+:\\W+", {"é"}),
        ("pattern:é", {"é"}),
        ("", {"é", "1", "a b"}),
    ],
)
def test_transactional_ids_are_looked_for_by_their_whole_name(
    client: TransactionClient, wire: WireClient, pattern: str, found: set[str]
) -> None:
    for name in ("é", "1", "a b"):
        client.begin(f"pattern:{name}")
    request = ListTransactionsRequest(
        state_filters=[], producer_id_filters=[], transactional_id_pattern=pattern
    )

    names = [each.transactional_id for each in wire.ask(request, 2).transaction_states]

    assert {name.partition(":")[2] for name in names if name.startswith("pattern:")} == found


def test_a_pattern_that_is_none_is_refused(wire: WireClient) -> None:
    request = ListTransactionsRequest(state_filters=[], producer_id_filters=[], transactional_id_pattern="(")

    answer = wire.ask(request, 2)

    assert (answer.error_code, answer.transaction_states) == (E.INVALID_REGULAR_EXPRESSION, [])


def active_producers(wire: WireClient, topic: str, partition: int = 0) -> list[tuple[int, int, int, int]]:
    request = DescribeProducersRequest(topics=[TopicRequest(name=topic, partition_indexes=[partition])])
    (answer,) = wire.ask(request, 0).topics[0].partitions
    if answer.error_code:
        return [(-answer.error_code, 0, 0, 0)]
    return [
        (each.producer_id, each.producer_epoch, each.last_sequence, each.current_txn_start_offset)
        for each in answer.active_producers
    ]


def mark(
    wire: WireClient, identity: ProducerIdentity, topic: str, *, commit: bool = False, version: int = 0
) -> list[int]:
    topics = [WritableTxnMarkerTopic(name=topic, partition_indexes=[0, 0, 9])]
    marker = WritableTxnMarker(
        producer_id=identity.producer_id,
        producer_epoch=identity.epoch,
        transaction_result=commit,
        topics=topics,
        coordinator_epoch=0,
        transaction_version=version,
    )
    answer = wire.ask(WriteTxnMarkersRequest(markers=[marker]), 2)
    return [each.error_code for each in answer.markers[0].topics[0].partitions]


def test_a_hanging_transaction_is_found_and_aborted_by_an_administrator(
    client: TransactionClient, wire: WireClient, topic: str
) -> None:
    identity = client.begin(topic)
    client.produce(topic, identity, topic)

    hanging = active_producers(wire, topic)
    answer = mark(wire, identity, topic)
    ended = active_producers(wire, topic)

    assert hanging == [(identity.producer_id, identity.epoch, 0, 0)]
    assert answer == [E.NONE, E.UNKNOWN_TOPIC_OR_PARTITION]
    assert ended == [(identity.producer_id, identity.epoch, 0, -1)]
    data = fetch(wire, topic, isolation=1)
    assert (data.last_stable_offset, data.high_watermark) == (2, 2)
    assert [each.first_offset for each in data.aborted_transactions or ()] == [0]
    assert active_producers(wire, topic, 9) == [(-E.UNKNOWN_TOPIC_OR_PARTITION, 0, 0, 0)]


def test_a_marker_that_makes_no_sense_is_refused(
    client: TransactionClient, wire: WireClient, topic: str
) -> None:
    identity = client.begin(topic)
    client.produce(topic, identity, topic)

    answers = [
        mark(wire, NOBODY, topic)[0],
        mark(wire, newer(identity, -1), topic)[0],
        mark(wire, identity, topic, version=2)[0],
        mark(wire, newer(identity), topic, version=2)[0],
        mark(wire, identity, topic)[0],
    ]

    assert answers == [
        E.INVALID_REQUEST,
        E.INVALID_REQUEST,
        E.INVALID_PRODUCER_EPOCH,
        E.NONE,
        E.INVALID_PRODUCER_EPOCH,
    ]


# --- idempotent producers ---------------------------------------------------------------------------


def test_an_idempotent_producer_receives_the_error_of_its_batches(
    client: TransactionClient, topic: str
) -> None:
    _, one = client.init(None)

    def sent(sequence: int, identity: ProducerIdentity = one) -> ErrorCode:
        return client.produce(None, identity, topic, sequence=sequence, transactional=False)

    assert [sent(5), sent(7), sent(5), sent(6)] == [
        E.NONE,
        E.OUT_OF_ORDER_SEQUENCE_NUMBER,
        E.NONE,
        E.NONE,
    ]
    assert [sent(1, newer(one)), sent(0, newer(one)), sent(7)] == [
        E.OUT_OF_ORDER_SEQUENCE_NUMBER,
        E.NONE,
        E.INVALID_PRODUCER_EPOCH,
    ]


def test_a_batch_outside_of_the_open_transaction_is_refused(client: TransactionClient, topic: str) -> None:
    identity = client.begin(topic)
    client.produce(topic, identity, topic)

    code = client.produce(topic, identity, topic, sequence=1, transactional=False)

    assert code is E.INVALID_TXN_STATE


# --- time -------------------------------------------------------------------------------------------


def test_a_served_log_aborts_transactions_that_time_out(tmp_path: Path) -> None:
    clock = ManualClock(1_700_000_000_000)
    with sc.serve(tmp_path, listen="127.0.0.1:0", clock=clock) as served, client_of(served) as wire:
        served.log.create_topic("t")
        client = TransactionClient(wire)
        identity = client.init("t", timeout_ms=1000)[1]
        client.produce("t", identity, "t")
        clock.advance(1001)

        served.log.embedded.maintain()

        assert client.describe("t").transaction_state == "CompleteAbort"
        assert client.produce("t", identity, "t", sequence=1) is E.INVALID_PRODUCER_EPOCH
        assert client.end("t", identity)[0] is E.INVALID_TXN_STATE
        assert client.end("t", identity, commit=False) == (E.NONE, newer(identity))
