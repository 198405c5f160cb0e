"""ListOffsets, OffsetForLeaderEpoch and the epochs of Fetch, as Apache Kafka 4.3 answers them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import streamcore as sc
from streamcore.log.api.error_codes import ErrorCode
from streamcore.log.protocol.messages.fetch import FetchPartition, FetchRequest, FetchResponse, FetchTopic
from streamcore.log.protocol.messages.list_offsets import (
    ListOffsetsPartition,
    ListOffsetsRequest,
    ListOffsetsTopic,
)
from streamcore.log.protocol.messages.offset_for_leader_epoch import (
    OffsetForLeaderEpochRequest,
    OffsetForLeaderPartition,
    OffsetForLeaderTopic,
)
from streamcore.log.records.builder import encode_batch
from streamcore.log.storage.log_manager import CLEAN_STOP_NAME
from streamcore.model import TopicPartition
from tests.support.serving import NOW_MS, batch, client_of, produce
from tests.support.transaction_client import TransactionClient
from tests.support.wire_client import WireClient

E = ErrorCode
NOTHING = (E.NONE, -1, -1, -1)
LATEST, EARLIEST, LARGEST_TIME, EARLIEST_LOCAL, LATEST_TIERED, PENDING_UPLOAD = range(-1, -7, -1)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sc.ServedLog]:
    """A log whose topic ``old`` has 3 records from before an unclean stop, and 2 after it."""
    folder = tmp_path_factory.mktemp("served")
    with sc.serve(folder, listen="127.0.0.1:0") as served, client_of(served) as client:
        served.log.create_topic("old", config={"retention.ms": "-1"})
        produce(client, "old", batch(b"a", b"b", b"c"))
    (folder / "log" / CLEAN_STOP_NAME).unlink()
    with sc.serve(folder, listen="127.0.0.1:0") as served:
        with client_of(served) as client:
            produce(client, "old", batch(b"d", b"e"))
        yield served


@pytest.fixture
def client(served: sc.ServedLog) -> Iterator[WireClient]:
    with client_of(served) as client:
        yield client


@pytest.fixture
def topic(served: sc.ServedLog, request: pytest.FixtureRequest) -> str:
    """A new topic, called after the test."""
    name = request.node.name.translate(str.maketrans("[]- ", "...."))[:200]
    served.log.create_topic(name, config={"retention.ms": "-1"})
    return str(name)


Answer = tuple[ErrorCode, int, int, int]


def listed(
    client: WireClient,
    topic: str,
    time_ms: int,
    *,
    version: int = 11,
    isolation: int = 0,
    epoch: int = -1,
    partitions: tuple[int, ...] = (0,),
) -> list[Answer]:
    """Code, offset, time and leader epoch for each partition."""
    wanted = [
        ListOffsetsPartition(partition_index=each, timestamp=time_ms, current_leader_epoch=epoch)
        for each in partitions
    ]
    topics = [ListOffsetsTopic(name=topic, partitions=wanted)]
    answer = client.ask(ListOffsetsRequest(replica_id=-1, isolation_level=isolation, topics=topics), version)
    return [
        (ErrorCode(each.error_code), each.offset, each.timestamp, each.leader_epoch)
        for each in answer.topics[0].partitions
    ]


# --- ListOffsets ------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", range(1, 12))
def test_the_ends_of_a_log_are_known_in_every_version(client: WireClient, version: int) -> None:
    epochs = (1, 0) if version >= 4 else (-1, -1)

    latest = listed(client, "old", LATEST, version=version)
    earliest = listed(client, "old", EARLIEST, version=version)

    assert latest == [(E.NONE, 5, -1, epochs[0])]
    assert earliest == [(E.NONE, 0, -1, epochs[1])]


@pytest.mark.parametrize(
    ("time_ms", "since", "answer"),
    [
        (LARGEST_TIME, 7, (E.NONE, 0, NOW_MS, 0)),
        (EARLIEST_LOCAL, 8, (E.NONE, 0, -1, 0)),
        (LATEST_TIERED, 9, NOTHING),
        (PENDING_UPLOAD, 11, NOTHING),
    ],
)
def test_a_negative_time_has_a_meaning_from_a_version_on(
    client: WireClient, time_ms: int, since: int, answer: Answer
) -> None:
    assert listed(client, "old", time_ms, version=since) == [answer]
    assert listed(client, "old", time_ms, version=since - 1) == [(E.UNSUPPORTED_VERSION, -1, -1, -1)]
    assert listed(client, "old", -7) == [(E.UNSUPPORTED_VERSION, -1, -1, -1)]


def test_an_empty_log_has_ends_and_no_times(client: WireClient, topic: str) -> None:
    assert listed(client, topic, LATEST) == listed(client, topic, EARLIEST) == [(E.NONE, 0, -1, 1)]
    assert listed(client, topic, LARGEST_TIME) == listed(client, topic, 0) == [NOTHING]


def test_times_are_looked_up_within_what_the_reader_sees(client: WireClient, topic: str) -> None:
    producer = TransactionClient(client)
    for start_ms, compression in ((0, "none"), (10, "gzip")):
        times_ms = [NOW_MS + start_ms, NOW_MS + start_ms + 5]
        values = [b"v"] * 2
        produce(client, topic, bytes(encode_batch(values, values, times_ms, compression=compression)))
    producer.produce(topic, producer.begin(topic), topic)

    assert listed(client, topic, NOW_MS + 6) == [(E.NONE, 2, NOW_MS + 10, 1)]
    assert listed(client, topic, LATEST, isolation=0) == [(E.NONE, 5, -1, 1)]
    assert listed(client, topic, LATEST, isolation=1) == [(E.NONE, 4, -1, 1)]
    for isolation in (0, 1):
        assert listed(client, topic, NOW_MS, isolation=isolation) == [(E.NONE, 0, NOW_MS, 1)]
        assert listed(client, topic, NOW_MS + 16, isolation=isolation) == [NOTHING]


def test_a_partition_that_cannot_be_looked_up_does_not_affect_the_others(client: WireClient) -> None:
    unknown, twice = E.UNKNOWN_TOPIC_OR_PARTITION, E.INVALID_REQUEST

    assert [each[0] for each in listed(client, "old", LATEST, partitions=(0, 1, -1))] == [0, unknown, unknown]
    assert [each[0] for each in listed(client, "old", LATEST, partitions=(0, 1, 0))] == [twice, unknown]
    assert [each[0] for each in listed(client, "old", LATEST, isolation=2)] == [E.INVALID_REQUEST]
    assert [each[0] for each in listed(client, "nowhere", LATEST)] == [unknown]


@pytest.mark.parametrize(
    ("epoch", "code"), [(-1, E.NONE), (1, E.NONE), (0, E.FENCED_LEADER_EPOCH), (2, E.UNKNOWN_LEADER_EPOCH)]
)
def test_a_request_with_another_leader_epoch_is_refused(
    client: WireClient, epoch: int, code: ErrorCode
) -> None:
    assert listed(client, "old", LATEST, epoch=epoch)[0][0] is code
    assert ended(client, 0, believed=epoch)[0] is code
    assert fetched(client, 0, believed=epoch)[0] is code


# --- leader epochs ----------------------------------------------------------------------------------


def ended(
    client: WireClient, epoch: int, *, believed: int = -1, version: int = 4, topic: str = "old"
) -> tuple[ErrorCode, int, int]:
    """Code, epoch and end offset."""
    wanted = OffsetForLeaderPartition(partition=0, current_leader_epoch=believed, leader_epoch=epoch)
    topics = [OffsetForLeaderTopic(topic=topic, partitions=[wanted])]
    answer = client.ask(OffsetForLeaderEpochRequest(topics=topics), version).topics[0].partitions[0]
    return ErrorCode(answer.error_code), answer.leader_epoch, answer.end_offset


@pytest.mark.parametrize("version", [2, 3, 4])
def test_the_end_offset_of_a_leader_epoch_is_answered(client: WireClient, version: int) -> None:
    answers = {epoch: ended(client, epoch, version=version) for epoch in (-2, -1, 0, 1, 2)}

    assert answers == {
        -2: (E.NONE, -2, 0),
        -1: (E.NONE, -1, -1),
        0: (E.NONE, 0, 3),
        1: (E.NONE, 1, 5),
        2: (E.NONE, -1, -1),
    }
    assert ended(client, 0, topic="nowhere") == (E.UNKNOWN_TOPIC_OR_PARTITION, -1, -1)


def asked(client: WireClient, offset: int, *, believed: int, last: int, version: int) -> FetchResponse:
    wanted = FetchPartition(
        partition=0,
        fetch_offset=offset,
        current_leader_epoch=believed,
        last_fetched_epoch=last,
        partition_max_bytes=10_000,
    )
    request = FetchRequest(
        max_wait_ms=0, min_bytes=1, max_bytes=10_000, topics=[FetchTopic(topic="old", partitions=[wanted])]
    )
    response = client.ask(request, version)
    assert isinstance(response, FetchResponse)
    return response


def fetched(
    client: WireClient, offset: int, *, believed: int = -1, last: int = -1
) -> tuple[ErrorCode, tuple[int, int], bool]:
    """Code, the epoch that diverges with its end, and whether there are records."""
    answer = asked(client, offset, believed=believed, last=last, version=12).responses[0].partitions[0]
    diverging = answer.diverging_epoch
    assert answer.records is not None
    return ErrorCode(answer.error_code), (diverging.epoch, diverging.end_offset), len(answer.records) > 0


@pytest.mark.parametrize(
    ("offset", "last", "answer"),
    [
        (0, -1, (E.NONE, (-1, -1), True)),
        (3, 0, (E.NONE, (-1, -1), True)),
        (4, 1, (E.NONE, (-1, -1), True)),
        (4, 0, (E.NONE, (0, 3), False)),
        (6, 1, (E.NONE, (1, 5), False)),
        (6, -1, (E.OFFSET_OUT_OF_RANGE, (-1, -1), False)),
        (0, 2, (E.OFFSET_OUT_OF_RANGE, (-1, -1), False)),
    ],
)
def test_a_fetch_reports_when_the_records_read_before_were_replaced(
    client: WireClient, offset: int, last: int, answer: tuple[ErrorCode, tuple[int, int], bool]
) -> None:
    assert fetched(client, offset, last=last) == answer


def test_a_diverging_fetch_is_answered_at_once(client: WireClient) -> None:
    wanted = FetchPartition(partition=0, fetch_offset=5, last_fetched_epoch=0, partition_max_bytes=1000)
    request = FetchRequest(
        max_wait_ms=60_000, min_bytes=1, topics=[FetchTopic(topic="old", partitions=[wanted])]
    )

    answer = client.ask(request, 12).responses[0].partitions[0]

    assert (answer.diverging_epoch.epoch, answer.diverging_epoch.end_offset) == (0, 3)
    assert (answer.high_watermark, answer.last_stable_offset, answer.log_start_offset) == (5, 5, 0)


def test_a_newer_client_with_an_old_epoch_receives_the_leader(
    client: WireClient, served: sc.ServedLog
) -> None:
    topic_id = served.log.embedded.node.broker.partition(TopicPartition("old", 0)).topic_id.bytes
    wanted = FetchPartition(partition=0, fetch_offset=0, current_leader_epoch=0, partition_max_bytes=1000)
    request = FetchRequest(
        max_wait_ms=0, min_bytes=0, topics=[FetchTopic(topic_id=topic_id, partitions=[wanted])]
    )

    answer = client.ask(request, 16)

    leader = answer.responses[0].partitions[0].current_leader
    (endpoint,) = answer.node_endpoints
    assert (leader.leader_id, leader.leader_epoch) == (endpoint.node_id, 1)
    assert f"{endpoint.host}:{endpoint.port}" == served.address


def test_the_leader_epoch_alone_shows_an_unclean_stop(tmp_path: Path) -> None:
    with sc.serve(tmp_path, listen="127.0.0.1:0") as served:
        served.log.create_topic("old")
    with sc.serve(tmp_path, listen="127.0.0.1:0") as served, client_of(served) as client:
        after_a_clean_stop = ended(client, 0)
    (tmp_path / "log" / CLEAN_STOP_NAME).unlink()
    with sc.serve(tmp_path, listen="127.0.0.1:0") as served, client_of(served) as client:
        after_another = ended(client, 1)

    assert after_a_clean_stop == (E.NONE, 0, 0)
    assert after_another == (E.NONE, 1, 0)
