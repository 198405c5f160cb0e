"""A folder's log, open once in this process for all who connect to it."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, TypeAlias

from streamcore.clock import Clock
from streamcore.errors import UsageError, fact_text
from streamcore.log.client.embedded.log import EmbeddedLog

Durability: TypeAlias = Literal["durable", "relaxed"]


class SharedLog:
    """A folder's log, open once in this process for all who connect to it."""

    _open: dict[Path, SharedLog] = {}
    _open_lock = threading.Lock()

    def __init__(
        self, folder: Path, log: EmbeddedLog, durability: Durability, config: Mapping[str, str]
    ) -> None:
        self.folder = folder
        self.log = log
        self.durability = durability
        self.config = config
        self.user_count = 0

    @classmethod
    def acquire(
        cls, folder: Path, durability: Durability, config: Mapping[str, str], clock: Clock
    ) -> SharedLog:
        """The log in a folder, opened by the first who asks.

        Raises:
            DirectoryInUseError: another process has it.
            UsageError: it is open here with another durability, or other settings than are wanted.
        """
        folder = folder.resolve()
        with cls._open_lock:
            shared = cls._open.get(folder)
            if shared is None:
                log = EmbeddedLog.open(folder, durability=durability, config=config, clock=clock)
                shared = cls._open[folder] = cls(folder, log, durability, config)
            elif shared.durability != durability:
                facts = fact_text(folder=folder, open_as=shared.durability, wanted=durability)
                raise UsageError(f"the folder is open in this process with another durability {facts}")
            elif config and shared.config != config:
                facts = fact_text(folder=folder, wanted=",".join(config))
                raise UsageError(f"the folder is open in this process with other settings {facts}")
            shared.user_count += 1
            return shared

    def release(self) -> None:
        """Give it back; the last one closes it."""
        with self._open_lock:
            self.user_count -= 1
            if self.user_count > 0:
                return
            del self._open[self.folder]
            self.log.close()
