"""The node of a folder, open once in this process and shared by all connections to the folder."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path

from streamcore.clock import Clock
from streamcore.errors import UsageError, fact_text
from streamcore.log.node.node import Durability, Node


class SharedNode:
    """The node of a folder, open once in this process and shared by all connections to the folder."""

    _open: dict[Path, SharedNode] = {}
    _open_lock = threading.Lock()

    def __init__(self, folder: Path, node: Node, durability: Durability, config: Mapping[str, str]) -> None:
        self.folder = folder
        self.node = node
        self.durability = durability
        self.config = config
        self.user_count = 0

    @classmethod
    def acquire(
        cls, folder: Path, durability: Durability, config: Mapping[str, str], clock: Clock
    ) -> SharedNode:
        """Return the node of a folder; open the node if no connection of this process has it open.

        Raises:
            DirectoryInUseError: another process holds the folder.
            UsageError: the node is open here with another durability, or with other settings.
        """
        folder = folder.resolve()
        with cls._open_lock:
            shared = cls._open.get(folder)
            if shared is None:
                node = Node.open(folder, durability=durability, config=config, clock=clock)
                shared = cls._open[folder] = cls(folder, node, durability, config)
            elif shared.durability != durability:
                facts = fact_text(folder=folder, open_as=shared.durability, wanted=durability)
                raise UsageError(
                    f"this process has the folder open with another durability: use the same: {facts}"
                )
            elif config and shared.config != config:
                facts = fact_text(folder=folder, wanted=",".join(config))
                raise UsageError(
                    f"this process has the folder open with other settings: use the same: {facts}"
                )
            shared.user_count += 1
            return shared

    def release(self) -> None:
        """End one use of the node; the last release closes the node."""
        with self._open_lock:
            self.user_count -= 1
            if self.user_count > 0:
                return
            del self._open[self.folder]
            self.node.close()
