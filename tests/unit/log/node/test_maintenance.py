"""Maintenance while other threads use the log."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from streamcore.clock import ManualClock
from streamcore.errors import CorruptDataError, StorageError
from streamcore.log.client.embedded.log import EmbeddedLog
from streamcore.log.storage.files import File
from streamcore.model import RecordColumns, TopicPartition
from streamcore.testing.sim_disk import SimDisk

TABLE = TopicPartition("table", 0)
LIMIT_S = 20
CONFIG = {
    "cleanup.policy": "compact",
    "segment.bytes": "400",
    "min.cleanable.dirty.ratio": "0",
    "retention.ms": "-1",
}


class CallingDisk(SimDisk):
    """A disk that calls a function once, when compaction begins to write."""

    def __init__(self) -> None:
        super().__init__(1)
        self.call: Callable[[], object] | None = None

    def open(self, path: Path, *, create: bool = False) -> File:
        file = super().open(path, create=create)
        if path.name.endswith(".cleaned") and self.call is not None:
            call, self.call = self.call, None
            call()
        return file


@pytest.fixture
def disk() -> CallingDisk:
    return CallingDisk()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


@pytest.fixture
def log(disk: CallingDisk) -> EmbeddedLog:
    log = open_log(disk)
    log.create_topic("table", config=CONFIG)
    write(log, *range(30))
    return log


def open_log(disk: CallingDisk) -> EmbeddedLog:
    return EmbeddedLog.open(
        "/data", file_system=disk, clock=ManualClock(1_700_000_000_000), maintenance=False
    )


def write(log: EmbeddedLog, *numbers: int) -> None:
    producer = log.producer_port()
    for number in numbers:
        producer.append_columns(
            TABLE, RecordColumns([b"k%d" % (number % 3)], [b"%d" % number], [1_700_000_000_000])
        ).result()


def read(log: EmbeddedLog) -> list[bytes | None]:
    reader = log.reader()
    reader.assign({TABLE: log.offsets([TABLE])[TABLE].log_start})
    values: list[bytes | None] = []
    while (run := reader.fetch(TABLE, bytes_max=1000)) is not None:
        values += run.values
    return values


def test_records_are_written_and_acknowledged_while_compaction_runs(
    disk: CallingDisk, log: EmbeddedLog, pool: ThreadPoolExecutor
) -> None:
    disk.call = lambda: pool.submit(write, log, 30, 31).result(LIMIT_S)

    log.maintain()

    values = read(log)
    assert values[-2:] == [b"30", b"31"]
    assert len(values) < 15
    log.close()
    disk.crash()
    assert read(open_log(disk)) == values


def test_a_topic_deleted_and_created_again_during_compaction_has_only_the_new_records(
    disk: CallingDisk, log: EmbeddedLog, pool: ThreadPoolExecutor
) -> None:
    def begin_anew() -> None:
        log.delete_topic("table")
        log.create_topic("table", config=CONFIG)
        write(log, 100)

    disk.call = lambda: pool.submit(begin_anew).result(LIMIT_S)

    log.maintain()

    assert read(log) == [b"100"]
    log.close()
    disk.crash()
    assert read(open_log(disk)) == [b"100"]


def test_records_deleted_while_they_are_compacted_stay_deleted(
    disk: CallingDisk, log: EmbeddedLog, pool: ThreadPoolExecutor
) -> None:
    disk.call = lambda: pool.submit(log.delete_records, {TABLE: 29}).result(LIMIT_S)

    log.maintain()
    log.maintain()

    assert read(log) == [b"29"]
    assert not [name for name in disk.list_directory(Path("/data/log/table-0")) if "cleaned" in name]


def test_a_missing_data_file_is_reported_and_the_other_partitions_are_maintained(
    disk: CallingDisk, log: EmbeddedLog
) -> None:
    log.create_topic("zebra", config={"retention.bytes": "300", "segment.bytes": "300"})
    zebra = TopicPartition("zebra", 0)
    producer = log.producer_port()
    for _ in range(5):
        producer.append_columns(zebra, RecordColumns([None], [b"x" * 100], [1_000_000_000_000])).result()
    disk.remove(Path("/data/log/table-0/00000000000000000000.log"))

    with pytest.raises(CorruptDataError, match="missing"):
        log.maintain()

    assert log.offsets([zebra])[zebra].log_start > 0


def test_a_full_disk_ends_a_compaction_but_not_the_log(disk: CallingDisk, log: EmbeddedLog) -> None:
    before = read(log)
    disk.call = lambda: disk.fill_after(50)
    with pytest.raises(StorageError):
        log.maintain()
    disk.fill_after(None)

    assert read(log) == before
    write(log, 30)
    log.maintain()
    assert len(read(log)) < len(before)


@pytest.mark.parametrize(("config", "kept_count"), [({}, 3), ({"retention.ms": "604800000"}, 0)])
def test_a_history_that_a_program_loads_is_kept_unless_its_topic_has_a_retention(
    config: dict[str, str], kept_count: int
) -> None:
    clock = ManualClock(1_700_000_000_000)
    with EmbeddedLog.open(
        "/data", file_system=SimDisk(1, clock=clock), clock=clock, maintenance=False
    ) as log:
        log.create_topic("history", config=config)
        history = TopicPartition("history", 0)
        log.producer_port().append_columns(history, RecordColumns([None] * 3, [b"v"] * 3, [1, 2, 3])).result()
        clock.advance(7 * 86_400_000)
        log.maintain()
        assert log.offsets([history])[history].log_start == 0

        clock.advance(1)
        log.maintain()
        offsets = log.offsets([history])[history]
        assert offsets.high_watermark - offsets.log_start == kept_count
