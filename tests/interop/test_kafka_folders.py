"""A partition's folder that a real Apache Kafka wrote opens here, with everything that is in it.

One node of Kafka is started, written to by Kafka's own tools, and stopped; then its folder is taken
over. Every wait is bounded, and every process is ended by its own handle.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from streamcore.clock import ManualClock
from streamcore.log.records.decode import decode_run
from streamcore.log.storage.files import PosixFileSystem
from streamcore.log.storage.log_manager import CLEAN_STOP_NAME, LogManager
from streamcore.log.storage.offset_lookup import offset_for_time
from streamcore.log.storage.partition_log import PartitionLog
from streamcore.log.storage.verification import verify
from streamcore.model import Isolation, TopicPartition

pytestmark = pytest.mark.interop

TARGET = TopicPartition("written-by-kafka", 0)
NOW_MS = 1_800_000_000_000
PAYLOADS = [b"payload-%d-" % number + b"x" * 150 for number in range(7)]
CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
PLAIN_COUNT = 20_000
SMALL_COUNT = 500
COUNT = PLAIN_COUNT + SMALL_COUNT * (len(CODECS) + 1)
TOOL_LIMIT_S = 60
START_LIMIT_S = 90


@pytest.fixture(scope="module")
def kafka_folder(jars: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a partition as a Kafka left it that was stopped in good order."""
    work = tmp_path_factory.mktemp("kafka")
    payloads = work / "payloads"
    payloads.write_bytes(b"\n".join(PAYLOADS))
    with _kafka(jars, work) as address:
        _tool(
            jars,
            "org.apache.kafka.tools.TopicCommand",
            *("--bootstrap-server", address, "--create", "--topic", TARGET.topic, "--partitions", "1"),
            *("--config", "segment.bytes=1048576", "--config", "retention.ms=-1"),
            limit_s=START_LIMIT_S,
        )
        runs: list[tuple[int, str, tuple[str, ...]]] = [(PLAIN_COUNT, "none", ())]
        runs += [(SMALL_COUNT, codec, ()) for codec in CODECS]
        runs += [(SMALL_COUNT, "none", ("--transactional-id", "t", "--transaction-duration-ms", "50"))]
        for count, codec, options in runs:
            _tool(
                jars,
                "org.apache.kafka.tools.ProducerPerformance",
                *("--topic", TARGET.topic, "--num-records", str(count), "--throughput", "-1"),
                *("--payload-file", str(payloads), *options),
                *("--producer-props", f"bootstrap.servers={address}", f"compression.type={codec}"),
            )
    return work / "kraft" / str(TARGET)


@pytest.mark.parametrize("was_clean", [True, False])
def test_every_record_that_kafka_wrote_is_read(kafka_folder: Path, tmp_path: Path, was_clean: bool) -> None:
    root = _taken_over(kafka_folder, tmp_path, was_clean=was_clean)

    log = _open(root)
    partition = log.partition(TARGET)
    rows = list(_rows(partition))

    assert len(list(kafka_folder.glob("*.log"))) > 2
    assert len(rows) == COUNT
    assert {value for _, value in rows} <= set(PAYLOADS)
    assert [offset for offset, _ in rows[:PLAIN_COUNT]] == list(range(PLAIN_COUNT))
    assert len(partition.producer_states) == 1 + len(CODECS) + 1
    first = offset_for_time(partition, 0)
    assert first is not None
    assert first.offset == 0
    log.close()
    assert not list(verify(root / str(TARGET)))


def test_the_log_goes_on_where_kafka_stopped_and_keeps_kafkas_other_files(
    kafka_folder: Path, tmp_path: Path
) -> None:
    root = _taken_over(kafka_folder, tmp_path, was_clean=True)
    others = {path.name: path.read_bytes() for path in kafka_folder.iterdir() if path.suffix not in _OURS}
    log = _open(root)
    partition = log.partition(TARGET)
    end = partition.offsets.log_end

    appended = partition.append_marker(1_000_000, 0, True, 0, NOW_MS)
    log.close()

    assert appended.base_offset == end
    assert {"partition.metadata", "leader-epoch-checkpoint"} <= set(others)
    for name, content in others.items():
        assert (root / str(TARGET) / name).read_bytes() == content
    assert _open(root).partition(TARGET).offsets.log_end == end + 1


def test_our_partition_metadata_is_what_kafka_writes(kafka_folder: Path, tmp_path: Path) -> None:
    log = _open(tmp_path)
    log.create_topic("ours", 1)
    log.close()

    kafkas = (kafka_folder / "partition.metadata").read_text().splitlines()
    ours = (tmp_path / "ours-0" / "partition.metadata").read_text().splitlines()

    assert ours[0] == kafkas[0]
    assert [len(line) for line in ours] == [len(line) for line in kafkas]


_OURS = {".log", ".index", ".timeindex", ".txnindex", ".snapshot"}


def _taken_over(kafka_folder: Path, tmp_path: Path, *, was_clean: bool) -> Path:
    """A log of ours with Kafka's folder in the place of its own."""
    root = tmp_path / "log"
    log = _open(root)
    log.create_topic(TARGET.topic, 1, {"retention.ms": "-1"})
    log.close()
    shutil.rmtree(root / str(TARGET))
    shutil.copytree(kafka_folder, root / str(TARGET))
    if not was_clean:
        (root / CLEAN_STOP_NAME).unlink()
    return root


def _open(root: Path) -> LogManager:
    return LogManager.open(root, file_system=PosixFileSystem(), clock=ManualClock(NOW_MS))


def _rows(partition: PartitionLog) -> Iterator[tuple[int, bytes | None]]:
    position = partition.offsets.log_start
    while position < partition.offsets.last_stable:
        result = partition.read(position, bytes_max=500_000, isolation=Isolation.READ_COMMITTED)
        run = decode_run(TARGET, result.data, position, result.aborted)
        yield from zip(run.offsets, run.values, strict=True)
        position = result.next_offset


@contextmanager
def _kafka(jars: Path, work: Path) -> Iterator[str]:
    """One node of Kafka on loopback, for as long as the block runs; yields its address."""
    client_port, controller_port = _free_ports(2)
    address = f"127.0.0.1:{client_port}"
    properties = work / "server.properties"
    properties.write_text(
        "\n".join(
            [
                "process.roles=broker,controller",
                "node.id=1",
                f"controller.quorum.voters=1@127.0.0.1:{controller_port}",
                f"listeners=PLAINTEXT://{address},CONTROLLER://127.0.0.1:{controller_port}",
                f"advertised.listeners=PLAINTEXT://{address}",
                "controller.listener.names=CONTROLLER",
                "listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
                f"log.dirs={work / 'kraft'}",
                "offsets.topic.replication.factor=1",
                "offsets.topic.num.partitions=1",
                "transaction.state.log.replication.factor=1",
                "transaction.state.log.min.isr=1",
                "transaction.state.log.num.partitions=1",
            ]
        )
    )
    cluster_id = _tool(jars, "kafka.tools.StorageTool", "random-uuid").split()[-1]
    _tool(jars, "kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", str(properties))
    command = ["java", "-Xmx512m", f"-Dkafka.logs.dir={work}", "-cp", f"{jars}/*", "kafka.Kafka"]
    with (work / "kafka.log").open("wb") as output:
        node = subprocess.Popen([*command, str(properties)], stdout=output, stderr=subprocess.STDOUT)
    try:
        # It may not listen yet: the first client waits for it.
        yield address
        node.terminate()
        assert node.wait(TOOL_LIMIT_S) in (0, 143)
    finally:
        node.kill()
        node.wait(TOOL_LIMIT_S)


def _tool(jars: Path, name: str, *arguments: str, limit_s: int = TOOL_LIMIT_S) -> str:
    done = subprocess.run(
        ["java", "-Xmx256m", "-cp", f"{jars}/*", name, *arguments],
        capture_output=True,
        text=True,
        timeout=limit_s,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [found.getsockname()[1] for found in sockets]
    for found in sockets:
        found.close()
    return ports
