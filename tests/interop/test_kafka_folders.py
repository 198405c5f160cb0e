"""A partition's folder that a real Apache Kafka wrote opens here, with everything that is in it.

One node of Kafka is started, written to by Kafka's own tools, and stopped; then its folder is taken
over. Every wait is bounded, and every process is ended by its own handle.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamcore.clock import ManualClock
from streamcore.log.records.decode import decode_columns
from streamcore.log.storage.files import PosixFileSystem
from streamcore.log.storage.log_manager import CLEAN_STOP_NAME
from streamcore.log.storage.partition.offset_lookup import offset_for_time
from streamcore.log.storage.partition.partition_log import PartitionLog
from streamcore.log.tools.verification import verify
from streamcore.model import Isolation, TopicPartition
from tests.interop.kafka_processes import START_LIMIT_S, kafka_running, run_tool
from tests.support.managed_log import ManagedLog

pytestmark = pytest.mark.interop

TARGET = TopicPartition("written-by-kafka", 0)
NOW_MS = 1_800_000_000_000
PAYLOADS = [b"payload-%d-" % number + b"x" * 150 for number in range(7)]
CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
PLAIN_COUNT = 20_000
SMALL_COUNT = 500
COUNT = PLAIN_COUNT + SMALL_COUNT * (len(CODECS) + 1)


@pytest.fixture(scope="module")
def kafka_folder(jars: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a partition as a Kafka left it that was stopped in good order."""
    work = tmp_path_factory.mktemp("kafka")
    payloads = work / "payloads"
    payloads.write_bytes(b"\n".join(PAYLOADS))
    with kafka_running(jars, work) as address:
        run_tool(
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
            run_tool(
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


def _open(root: Path) -> ManagedLog:
    return ManagedLog.open(root, file_system=PosixFileSystem(), clock=ManualClock(NOW_MS))


def _rows(partition: PartitionLog) -> Iterator[tuple[int, bytes | None]]:
    position = partition.offsets.log_start
    while position < partition.offsets.last_stable:
        result = partition.read(position, bytes_max=500_000, isolation=Isolation.READ_COMMITTED)
        run = decode_columns(TARGET, result.data, position, result.aborted)
        yield from zip(run.offsets, run.values, strict=True)
        position = result.next_offset
