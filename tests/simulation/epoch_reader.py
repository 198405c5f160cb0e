"""A reader that goes by leader epochs: it knows how much of what it read a crash has left."""

from __future__ import annotations

from dataclasses import dataclass, field

from streamcore.log.records.batch import iter_batches
from streamcore.log.storage.partition.leader_epochs import NO_EPOCH, UNKNOWN_END
from streamcore.log.storage.partition.partition_log import PartitionLog
from streamcore.model import Isolation, Offset
from tests.simulation.partition_model import Row


@dataclass
class EpochReader:
    """One partition's reader: where it is, the epoch of what it read last, and what that was."""

    position: Offset = 0
    epoch: int = NO_EPOCH
    seen: dict[Offset, Row] = field(default_factory=dict)

    def ask(self, log: PartitionLog, *, may_be_cut: bool) -> None:
        """Find out by the epoch alone what is gone, and forget it."""
        if self.epoch != NO_EPOCH:
            end = log.end_of_epoch(self.epoch)
            assert end != UNKNOWN_END, f"epoch {self.epoch} is not known, which was read"
            if end.epoch < self.epoch or end.end_offset < self.position:
                assert may_be_cut, f"a reader at {self.position} in epoch {self.epoch} was cut to {end}"
                self.position, self.epoch = min(self.position, end.end_offset), end.epoch
                self.seen = {offset: row for offset, row in self.seen.items() if offset < self.position}
        if self.position < log.offsets.log_start:
            self.position, self.epoch, self.seen = log.offsets.log_start, NO_EPOCH, {}

    def read_on(self, log: PartitionLog, rows: dict[Offset, Row]) -> None:
        """Read all that is visible."""
        while self.position < log.offsets.high_watermark:
            result = log.read(self.position, bytes_max=1000, isolation=Isolation.READ_UNCOMMITTED)
            for _, header in iter_batches(result.data, check=True):
                assert header.leader_epoch >= self.epoch, "epochs go back"
                self.epoch = header.leader_epoch
            self.position = result.next_offset
        self.seen.update(rows)
