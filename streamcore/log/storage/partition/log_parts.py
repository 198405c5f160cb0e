"""The parts of a ``PartitionLog``: components that a log's partitions share, and the result of opening."""

from __future__ import annotations

from dataclasses import dataclass, field

from msgspec import Struct

from streamcore.log.storage.checkpoints import LogCheckpoints
from streamcore.log.storage.files import FileSystem
from streamcore.log.storage.partition.leader_epochs import LeaderEpochs
from streamcore.log.storage.partition.leadership import Leadership
from streamcore.log.storage.producers.producer_limit import ProducerLimit
from streamcore.log.storage.producers.producer_states import ProducerStates
from streamcore.log.storage.segment.open_files import OpenFiles
from streamcore.log.storage.segment.segment import Segment
from streamcore.log.storage.settings import LogSettings
from streamcore.log.storage.sync_batch import SyncBatch
from streamcore.model import Offset


class LogParts(Struct, frozen=True, kw_only=True):
    """The components that a partition uses; the ``LogManager`` owns them."""

    file_system: FileSystem
    open_files: OpenFiles
    checkpoints: LogCheckpoints
    settings: LogSettings
    leadership: Leadership = field(default_factory=Leadership)
    producer_limit: ProducerLimit = field(default_factory=ProducerLimit)

    def sync_batch(self) -> SyncBatch:
        """Return an empty batch of syncs."""
        return SyncBatch(self.file_system, self.settings.sync_threads)


@dataclass(slots=True)
class OpenedLog:
    """The result of opening a partition's directory."""

    segments: list[Segment]
    states: ProducerStates
    log_start: Offset
    epochs: LeaderEpochs
    snapshots: list[Offset]
    is_settled: bool = False
    """Whether the files hold all of this, durably: closing then writes nothing unless something was
    appended.
    """
