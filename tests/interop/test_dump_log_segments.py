"""Apache Kafka's own DumpLogSegments reads the files of our log, and sees in them what we put there."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamcore.clock import ManualClock
from streamcore.log.records.builder import encode_batch
from streamcore.log.storage.files import PosixFileSystem
from streamcore.log.storage.partition.partition_log import PartitionLog
from streamcore.log.storage.settings import LogSettings
from streamcore.log.tools.dump import dump
from streamcore.model import Headers, TopicPartition
from tests.support.managed_log import ManagedLog

pytestmark = pytest.mark.interop

TOOL = "org.apache.kafka.tools.DumpLogSegments"
NOW_MS = 1_700_000_000_000
ROUND_COUNT = 6
CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
PLAIN = TopicPartition("plain", 0)
COMPACTED = TopicPartition("compacted", 0)

_BATCH = re.compile(
    r"^baseOffset: (\d+) lastOffset: (\d+) count: (\d+) baseSequence: (-?\d+) .*isvalid: (\w+)",
    re.MULTILINE,
)
_RECORD = re.compile(
    r"^\| offset: (\d+) CreateTime: (\d+) keySize: (-?\d+) valueSize: (-?\d+) sequence: (-?\d+) "
    r"headerKeys: \[(.*?)\](?: key: (\S+))?(?: payload: (\S+))?"
)
_COMPLAINTS = (
    "Mismatches",
    "out of order",
    "Found timestamp mismatch",
    "isvalid: false",
    "Exception",
    "Error",
)


@pytest.fixture(scope="module")
def log_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log with everything in it, closed."""
    root = tmp_path_factory.mktemp("interop") / "log"
    clock = ManualClock(NOW_MS)
    log = ManagedLog.open(root, file_system=PosixFileSystem(), clock=clock, settings=LogSettings())
    small = {"segment.bytes": "2000", "index.interval.bytes": "100", "retention.ms": "-1"}
    log.create_topic(PLAIN.topic, 1, small)
    log.create_topic(
        COMPACTED.topic, 1, {**small, "cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0"}
    )
    for round_index in range(ROUND_COUNT):
        if round_index == ROUND_COUNT - 1:
            # Another round of compaction, when the time of tombstones and markers is over.
            log.maintain()
            clock.advance(25 * 60 * 60 * 1000)
        for partition in (log.partition(PLAIN), log.partition(COMPACTED)):
            for codec in CODECS:
                append_rows(partition, codec, round_index, clock.now_ms())
            append_transactions(partition, round_index, clock.now_ms())
            partition.sync()
    log.maintain()
    log.close()
    return root


def append_rows(partition: PartitionLog, codec: str, round_index: int, now_ms: int) -> None:
    """One batch with headers, a tombstone and an empty value, compressed."""
    keys = [b"key1", b"key2", b"key%d" % round_index, b"gone"]
    values = [f"value-{codec}-{round_index}".encode() * 20, b"v" * 30, b"", None]
    headers: list[Headers] = [(("trace", b"\x00\x01"), ("empty", None)), (), (), ()]
    times = [now_ms + round_index * 10 - index for index in range(4)]
    partition.append(encode_batch(keys, values, times, headers, compression=codec), now_ms=now_ms)


def append_transactions(partition: PartitionLog, round_index: int, now_ms: int) -> None:
    """An idempotent batch, a committed and an aborted transaction, interleaved."""
    for producer_id, transactional in ((1, False), (2, True), (3, True)):
        partition.append(
            encode_batch(
                [b"producer%d" % producer_id] * 3,
                [b"a", b"b", b"round%d" % round_index],
                [now_ms + round_index] * 3,
                producer_id=producer_id,
                producer_epoch=0,
                base_sequence=round_index * 3,
                transactional=transactional,
            ),
            now_ms=now_ms,
        )
    partition.append_marker(3, 0, False, 5, now_ms)
    partition.append_marker(2, 0, True, 5, now_ms)


def run_tool(jars: Path, files: list[Path], *options: str) -> str:
    """Run DumpLogSegments; return what it prints. Anything that it complains of fails the test."""
    names = ",".join(map(str, files))
    command = ["java", "-Xmx256m", "-cp", f"{jars}/*", TOOL, "--files", names, *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    found = [line for line in output.splitlines() if any(complaint in line for complaint in _COMPLAINTS)]
    assert not found, "\n".join(found)
    return output


def files_of(root: Path, target: TopicPartition, suffix: str) -> list[Path]:
    files = sorted((root / str(target)).glob(f"*{suffix}"))
    assert files, f"no {suffix} file of {target} to look at"
    return files


def seen_records(output: str) -> Iterator[tuple[object, ...]]:
    for line in output.splitlines():
        match = _RECORD.match(line)
        if match and "endTxnMarker" not in line:
            offset, time_ms, key_size, value_size, _, header_keys, key, value = match.groups()
            yield int(offset), int(time_ms), int(key_size), int(value_size), header_keys, key, value


def our_records(files: list[Path]) -> Iterator[tuple[object, ...]]:
    for file in files:
        for batch in dump(file):
            for record in batch.records:
                yield (
                    record.offset,
                    record.timestamp_ms,
                    -1 if record.key is None else len(record.key),
                    -1 if record.value is None else len(record.value),
                    ",".join(name for name, _ in record.headers),
                    record.key.decode() if record.key is not None else None,
                    record.value.decode() if record.value else None,
                )


@pytest.mark.parametrize("target", [PLAIN, COMPACTED], ids=str)
def test_kafka_reads_the_same_records_and_markers(
    jars: Path, log_folder: Path, target: TopicPartition
) -> None:
    files = files_of(log_folder, target, ".log")
    assert len(files) > 1

    output = run_tool(jars, files, "--deep-iteration", "--print-data-log")

    batches = list(dump(log_folder / str(target)))
    seen = [(*map(int, numbers), valid) for *numbers, valid in _BATCH.findall(output)]
    headers = [batch.header for batch in batches]
    assert seen == [(h.base_offset, h.last_offset, h.record_count, h.base_sequence, "true") for h in headers]
    assert list(seen_records(output)) == list(our_records(files))
    assert {codec for codec in CODECS if f"compresscodec: {codec}" in output} == set(CODECS)
    markers = [batch.marker for batch in batches if batch.marker is not None]
    assert output.count("endTxnMarker: COMMIT coordinatorEpoch: 5") == sum(m.is_commit for m in markers)
    assert output.count("endTxnMarker: ABORT coordinatorEpoch: 5") == sum(not m.is_commit for m in markers)


def test_compaction_has_left_holes_and_delete_horizons(jars: Path, log_folder: Path) -> None:
    output = run_tool(jars, files_of(log_folder, COMPACTED, ".log"), "--deep-iteration", "--print-data-log")

    plain = list(our_records(files_of(log_folder, PLAIN, ".log")))
    compacted = list(seen_records(output))
    headers = [batch.header for batch in dump(log_folder / str(COMPACTED))]
    assert any(header.record_count == 0 for header in headers)
    assert any(
        header.record_count < header.last_offset_delta + 1 for header in headers if header.record_count
    )
    assert len(compacted) < len(plain) / 2
    assert "deleteHorizonMs: OptionalLong[" in output


@pytest.mark.parametrize("target", [PLAIN, COMPACTED], ids=str)
def test_kafka_finds_the_indexes_sound(jars: Path, log_folder: Path, target: TopicPartition) -> None:
    files = [file for suffix in (".index", ".timeindex") for file in files_of(log_folder, target, suffix)]

    sanity = run_tool(jars, files, "--index-sanity-check")
    run_tool(jars, files, "--verify-index-only")

    assert sanity.count("passed sanity check") == len(files)


def test_kafka_reads_the_aborted_transactions(jars: Path, log_folder: Path) -> None:
    output = run_tool(jars, files_of(log_folder, PLAIN, ".txnindex"))

    seen = re.findall(r"producerId: (\d+) firstOffset: (\d+) lastOffset: (\d+)", output)
    firsts = [
        b.header.base_offset for b in dump(log_folder / str(PLAIN)) if b.header.producer_id == 3 and b.records
    ]
    lasts = [
        b.header.last_offset for b in dump(log_folder / str(PLAIN)) if b.marker and not b.marker.is_commit
    ]
    assert [(int(p), int(f), int(last)) for p, f, last in seen] == [
        (3, first, last) for first, last in zip(firsts, lasts, strict=True)
    ]


def test_kafka_reads_the_producer_snapshot(jars: Path, log_folder: Path) -> None:
    output = run_tool(jars, [files_of(log_folder, PLAIN, ".snapshot")[-1]])

    seen = re.findall(
        r"producerId: (\d+) producerEpoch: 0 coordinatorEpoch: (-?\d+) .*lastSequence: (\d+)", output
    )
    sequences: dict[tuple[str, str], list[int]] = {}
    for producer_id, coordinator_epoch, last_sequence in seen:
        sequences.setdefault((producer_id, coordinator_epoch), []).append(int(last_sequence))
    # An entry for each of a producer's last batches: Kafka keeps the last one that it reads, the newest.
    assert list(sequences) == [("1", "-1"), ("2", "5"), ("3", "5")]
    assert {each[-1] for each in sequences.values()} == {3 * ROUND_COUNT - 1}
    assert all(each == sorted(each) for each in sequences.values())
