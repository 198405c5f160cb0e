"""Connecting: one folder, one process; sharing inside it; addresses of brokers; groups."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from streamcore.errors import ClosedError, DirectoryInUseError, InvalidConfigError, UsageError
from streamcore.log.connect import connect
from streamcore.model import CommittedOffset, TopicPartition

PLACES = [TopicPartition("t", 0), TopicPartition("t", 1)]


@pytest.mark.parametrize("address", ["http://h1:9092", "kafka://", "h1:0", ""])
def test_an_address_that_is_neither_a_folder_nor_a_broker_is_refused(address: str) -> None:
    with pytest.raises(UsageError):
        connect(address)


def test_a_folder_is_shared_inside_a_process_and_closed_by_the_last(tmp_path: Path) -> None:
    first, second = connect(tmp_path), connect(str(tmp_path))
    first.create_topic("t")
    first.close()
    first.close()
    assert "t" in second.topics()
    with pytest.raises(ClosedError):
        first.topics()
    second.close()

    with connect(tmp_path) as again:
        assert "t" in again.topics()


def test_a_folder_is_not_shared_under_another_durability(tmp_path: Path) -> None:
    with connect(tmp_path), pytest.raises(UsageError, match="durability"):
        connect(tmp_path, durability="relaxed")


def test_a_second_process_is_refused_with_the_pid_of_the_first(tmp_path: Path, project: Path) -> None:
    program = (
        "import sys; from streamcore.log.connect import connect\n"
        "log = connect(sys.argv[1]); print('open', flush=True); sys.stdin.read(); log.close()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        cwd=project,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"

        with pytest.raises(DirectoryInUseError, match=str(other.pid)):
            connect(tmp_path)

        other.stdin.close()
        other.wait(20)
    with connect(tmp_path) as log:
        assert log.groups() == []


def test_acknowledged_records_survive_closing_and_opening(tmp_path: Path) -> None:
    with connect(tmp_path) as log:
        log.create_topic("t", partitions=2, config={"retention.ms": "-1"})
        with log.producer(compression="zstd") as producer:
            producer.send_many("t", [(b"%d" % number, b"v" * 100) for number in range(1_000)]).result()
        log.commit_offsets("g", {PLACES[0]: CommittedOffset(7)})

    with connect(tmp_path) as log, log.consumer("t") as consumer:
        seen = 0
        while any(consumer.lag().values()):
            seen += len(consumer.poll())
        assert seen == 1_000
        assert log.committed("g") == {PLACES[0]: CommittedOffset(7)}


def test_a_group_is_described_with_its_lag(tmp_path: Path) -> None:
    with connect(tmp_path) as log:
        log.create_topic("t", partitions=2)
        with log.producer() as producer:
            producer.send_many("t", [(None, b"v")] * 10, partition=0).result()
        log.commit_offsets("g", {PLACES[0]: CommittedOffset(4, "note")})

        summary = log.describe_group("g")

        assert (summary.state, summary.lag, summary.members) == ("Empty", 6, ())
        (position,) = summary.positions
        assert (position.committed, position.log_end, position.lag, position.metadata) == (4, 10, 6, "note")
        with pytest.raises(UsageError):
            log.describe_group("unknown")
        log.delete_group("g")
        assert log.groups() == []


@pytest.mark.parametrize("timeout", ["999ms", "0s", "15m1s"])
def test_a_transaction_timeout_that_the_log_does_not_allow_is_refused(tmp_path: Path, timeout: str) -> None:
    with connect(tmp_path) as log, pytest.raises(InvalidConfigError, match="timeout"):
        log.producer(transactional_id="t", transaction_timeout=timeout)


@pytest.mark.parametrize(("timeout", "timeout_ms"), [(None, 60_000), ("1s", 1_000), ("15m", 900_000)])
def test_a_transaction_has_the_timeout_that_the_producer_requests(
    tmp_path: Path, timeout: str | None, timeout_ms: int
) -> None:
    with connect(tmp_path) as log, log.producer(transactional_id="t", transaction_timeout=timeout):
        found = log.embedded.node.broker.describe_transaction("t")

    assert found is not None
    assert found.timeout_ms == timeout_ms


def test_records_of_an_open_transaction_are_no_lag(tmp_path: Path) -> None:
    with connect(tmp_path) as log, log.producer(transactional_id="open") as producer:
        log.create_topic("t")
        with producer.transaction():
            producer.send_many("t", [(None, b"v")] * 3, partition=0)
            producer.flush()
            log.commit_offsets("g", {PLACES[0]: CommittedOffset(0)})

            (position,) = log.describe_group("g").positions

            assert (position.log_end, position.lag) == (3, 0)
        assert log.describe_group("g").lag == 4  # with the marker of the commit


@pytest.mark.parametrize(
    ("to", "expected"),
    [
        ("earliest", 0),
        ("latest", 10),
        ("3", 3),
        (3, 3),
        (99, 10),
        ("+2", 7),
        ("-2", 3),
        ("-99", 0),
        ("1970-01-01T00:00:06Z", 6),
        ("1h", 10),
        ({PLACES[0]: 8}, 8),
    ],
)
def test_a_group_is_reset_to_the_given_offsets(tmp_path: Path, to: str | int, expected: int) -> None:
    with connect(tmp_path) as log:
        log.create_topic("t", partitions=2)
        with log.producer() as producer:
            for number in range(10):
                producer.send("t", value=b"v", partition=0, timestamp_ms=1_000 * number)
        log.commit_offsets("g", {PLACES[0]: CommittedOffset(5)})

        planned = log.reset_group("g", to, dry_run=True)
        assert log.committed("g")[PLACES[0]].offset == 5
        log.reset_group("g", to)

        assert planned[PLACES[0]].offset == expected
        assert log.committed("g")[PLACES[0]].offset == expected


def test_a_reset_needs_something_to_reset(tmp_path: Path) -> None:
    with connect(tmp_path) as log:
        log.create_topic("t", partitions=2)
        with pytest.raises(UsageError):
            log.reset_group("new", "earliest")
        with pytest.raises(UsageError):
            log.reset_group("new", "sometime", topics=["t"])

        assert set(log.reset_group("new", "earliest", topics=["t"])) == set(PLACES)


def test_a_default_that_the_log_was_opened_with_counts_for_topics_that_say_nothing(tmp_path: Path) -> None:
    with connect(tmp_path, config={"log.retention.hours": "1"}) as log:
        assert log.create_topic("short").config == {}
        assert log.create_topic("long", config={"retention.ms": "-1"}).config == {"retention.ms": "-1"}
