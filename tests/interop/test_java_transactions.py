"""Kafka's own Java clients and tools use transactions of a served log, and read what it keeps of them."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import streamcore as sc
from streamcore.log.broker.transactions.listing import TransactionFilter
from tests.support.serving import client_of, fetch
from tests.support.transaction_client import TransactionClient

pytestmark = pytest.mark.interop

TOOLS = "org.apache.kafka.tools"
RECORD_COUNT = 20_000
TOOL_LIMIT_S = 90


@pytest.fixture
def served(tmp_path: Path) -> Iterator[sc.ServedLog]:
    with sc.serve(tmp_path / "data", listen="127.0.0.1:0") as served:
        served.log.create_topic("t", partitions=3, config={"retention.ms": "-1"})
        yield served


def tool(jars: Path, name: str, *arguments: str) -> str:
    """What a tool of Kafka's prints."""
    command = ["java", "-Xmx256m", "-cp", f"{jars}/*", name, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TOOL_LIMIT_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def transactions(jars: Path, served: sc.ServedLog, *arguments: str) -> str:
    return tool(jars, f"{TOOLS}.TransactionsCommand", "--bootstrap-server", served.address, *arguments)


def test_the_java_producer_moves_its_epoch_with_each_transaction(jars: Path, served: sc.ServedLog) -> None:
    tool(
        jars,
        f"{TOOLS}.ProducerPerformance",
        *("--bootstrap-server", served.address, "--topic", "t", "--num-records", str(RECORD_COUNT)),
        *("--record-size", "50", "--throughput", "-1"),
        *("--transactional-id", "perf", "--transaction-duration-ms", "20"),
    )
    read = tool(
        jars,
        f"{TOOLS}.consumer.ConsoleConsumer",
        *("--bootstrap-server", served.address, "--topic", "t", "--from-beginning"),
        *("--isolation-level", "read_committed", "--max-messages", str(RECORD_COUNT)),
        *("--timeout-ms", "20000"),
    )
    described = transactions(jars, served, "describe", "--transactional-id", "perf")

    assert len(read.splitlines()) == RECORD_COUNT
    assert "CompleteCommit" in described
    node = served.log.embedded.node
    with node.driver:
        (of_java,) = node.broker.list_transactions(TransactionFilter())
    assert of_java.producer.epoch > 1


def test_kafkas_tool_finds_what_hangs_and_ends_it(jars: Path, served: sc.ServedLog) -> None:
    with client_of(served) as client:
        producer = TransactionClient(client)
        identity = producer.begin("hanging")
        producer.produce("hanging", identity, "t")
        place = ("--topic", "t", "--partition", "0")

        producers = transactions(jars, served, "describe-producers", *place)
        listed = transactions(jars, served, "list")
        transactions(jars, served, "abort", *place, "--start-offset", "0")

        offsets = fetch(client, "t", isolation=1)

    (row,) = [line.split() for line in producers.splitlines()[1:]]
    assert (row[0], row[-1]) == (str(identity.producer_id), "0")
    assert re.search(r"^hanging\s.*Ongoing", listed, re.MULTILINE)
    assert offsets.last_stable_offset == offsets.high_watermark == 2


def test_kafkas_tool_reads_what_is_stored_of_a_transaction(
    jars: Path, served: sc.ServedLog, tmp_path: Path
) -> None:
    with client_of(served) as client:
        producer = TransactionClient(client)
        identity = producer.begin("x")
        producer.produce("x", identity, "t")
        producer.end("x", identity)
    served.close()

    path = tmp_path / "data" / "log" / "__transaction_state-0" / "00000000000000000000.log"
    dumped = tool(jars, f"{TOOLS}.DumpLogSegments", "--transaction-log-decoder", "--files", str(path))

    values = [json.loads(text)["data"] for text in re.findall(r"payload: (\{.*\})$", dumped, re.MULTILINE)]
    assert [(each["transactionStatus"], each["producerEpoch"]) for each in values] == [
        (0, 0),
        (1, 0),
        (2, 1),
        (4, 1),
    ]
    assert values[1]["transactionPartitions"] == [{"topic": "t", "partitionIds": [0]}]
    assert values[3]["clientTransactionVersion"] == 2
