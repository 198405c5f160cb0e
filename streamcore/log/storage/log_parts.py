"""What all partitions of one log share: the disk, open files, settings and checkpoints."""

from __future__ import annotations

from dataclasses import dataclass

from streamcore.log.storage.checkpoints import LogCheckpoints
from streamcore.log.storage.files import FileSystem
from streamcore.log.storage.open_files import OpenFiles
from streamcore.log.storage.settings import LogSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class LogParts:
    """The components that a partition works with; each is owned by the ``LogManager``."""

    file_system: FileSystem
    open_files: OpenFiles
    checkpoints: LogCheckpoints
    settings: LogSettings
