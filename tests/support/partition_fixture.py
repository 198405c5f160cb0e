"""A log with one partition on a simulated disk, for the tests of this folder."""

from __future__ import annotations

from pathlib import Path

from streamcore.clock import ManualClock
from streamcore.log.records.builder import encode_batch
from streamcore.log.records.decode import decode_columns
from streamcore.log.storage.partition.partition_log import PartitionLog
from streamcore.log.storage.partition.partition_replies import BatchAppended
from streamcore.log.storage.settings import Flush, LogSettings
from streamcore.model import Isolation, TopicPartition
from streamcore.testing.sim_disk import SimDisk
from tests.support.managed_log import ManagedLog

ROOT = Path("/data/log")
TARGET = TopicPartition("t", 0)
NOW_MS = 1_700_000_000_000


class OnePartition:
    """Opens, closes and crashes a log whose only topic is ``t`` with one partition."""

    def __init__(self, *, flush: Flush = "durable", seed: int = 1, **config: str) -> None:
        self.clock = ManualClock(NOW_MS)
        self.disk = SimDisk(seed, clock=self.clock)
        self.settings = LogSettings(flush=flush)
        self.manager = self._open()
        settings = {"retention.ms": "-1"} | {name.replace("_", "."): text for name, text in config.items()}
        self.manager.create_topic("t", 1, settings)

    @property
    def log(self) -> PartitionLog:
        return self.manager.partition(TARGET)

    def reopen(self) -> PartitionLog:
        """Stop in good order and start again."""
        self.manager.close()
        self.manager = self._open()
        return self.log

    def crash(self) -> PartitionLog:
        """Lose power and start again."""
        self.disk.crash()
        self.manager = self._open()
        return self.log

    def leave(self) -> PartitionLog:
        """Start again as after kill -9: what was written is there, but nothing was closed."""
        self.manager = self._open()
        return self.log

    def append(
        self,
        *values: bytes,
        key: bytes | None = b"k",
        time_ms: int | None = None,
        producer_id: int = -1,
        epoch: int = 0,
        sequence: int = 0,
        transactional: bool = False,
    ) -> BatchAppended:
        is_plain = producer_id < 0
        batch = encode_batch(
            [key] * len(values),
            list(values),
            [self.clock.now_ms() if time_ms is None else time_ms] * len(values),
            producer_id=producer_id,
            producer_epoch=-1 if is_plain else epoch,
            base_sequence=-1 if is_plain else sequence,
            transactional=transactional,
        )
        return self.log.append(batch, now_ms=self.clock.now_ms())

    def end(self, producer_id: int, *, commit: bool, epoch: int = 0) -> BatchAppended:
        return self.log.append_marker(producer_id, epoch, commit, 0, self.clock.now_ms())

    def values(self, isolation: Isolation = Isolation.READ_COMMITTED, *, bytes_max: int = 1) -> list[bytes]:
        """All that a reader sees, a batch at a time."""
        found: list[bytes] = []
        offset = self.log.offsets.log_start
        while offset < self.log.offsets.visible_end(isolation):
            result = self.log.read(offset, bytes_max=bytes_max, isolation=isolation)
            run = decode_columns(TARGET, result.data, offset, result.aborted)
            found += [value or b"" for value in run.values]
            assert result.next_offset > offset
            offset = result.next_offset
        return found

    def _open(self) -> ManagedLog:
        return ManagedLog.open(ROOT, file_system=self.disk, clock=self.clock, settings=self.settings)
