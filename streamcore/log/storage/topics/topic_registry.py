"""The list of topics, in one file that is replaced as a whole.

``topics.json`:= {"version": 1, "topics": [{"name", "topic_id", "partition_count", "config"}],
"removing": [directory, ...]}``

A topic exists if it is in this file; directories alone mean nothing. ``removing`` names the directories of
deleted topics until they are gone, so that a topic created again under the same name never sees the old
topic's data.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import msgspec
from msgspec import Struct

from streamcore.errors import CorruptDataError, StorageError, UnsupportedVersionError, with_facts
from streamcore.log.storage.files import FileSystem, read_whole, write_whole
from streamcore.model import TopicName

REGISTRY_NAME = "topics.json"
VERSION = 1


class TopicState(Struct, frozen=True):
    """A topic; ``topic_id`` distinguishes topics that had the same name one after the other."""

    name: TopicName
    topic_id: UUID
    partition_count: int
    config: Mapping[str, str] = field(default_factory=dict)
    """Only the settings that were set, by Kafka's names."""


class _StoredTopic(msgspec.Struct):
    name: str
    topic_id: UUID
    partition_count: int
    config: dict[str, str]


class _Version(msgspec.Struct):
    version: int


class _Registry(msgspec.Struct):
    version: int
    topics: list[_StoredTopic]
    removing: list[str]


@dataclass(slots=True)
class TopicRegistry:
    """All topics, and the directories to remove."""

    topics: dict[TopicName, TopicState] = field(default_factory=dict)
    removing: list[str] = field(default_factory=list)


def read_registry(file_system: FileSystem, root: Path) -> TopicRegistry | None:
    """Read the registry; ``None`` if there is none.

    Raises:
        CorruptDataError: the file cannot be read.
        UnsupportedVersionError: a newer program wrote it.
    """
    path = root / REGISTRY_NAME
    try:
        data = read_whole(file_system, path)
    except FileNotFoundError:
        return None
    try:
        version = msgspec.json.decode(data, type=_Version).version
        if version != VERSION:
            raise UnsupportedVersionError(
                with_facts(
                    "the list of topics has another format than this program reads: upgrade the program",
                    path=path,
                    version=version,
                )
            )
        stored = msgspec.json.decode(data, type=_Registry)
    except msgspec.MsgspecError as error:
        raise CorruptDataError(
            with_facts("the list of topics cannot be read: restore the file from a copy", path=path)
        ) from error
    topics = {
        topic.name: TopicState(topic.name, topic.topic_id, topic.partition_count, topic.config)
        for topic in stored.topics
    }
    return TopicRegistry(topics, stored.removing)


def write_registry(file_system: FileSystem, root: Path, registry: TopicRegistry) -> None:
    """Replace the registry, durably and in one step."""
    stored = _Registry(
        VERSION,
        [
            _StoredTopic(topic.name, topic.topic_id, topic.partition_count, dict(topic.config))
            for topic in registry.topics.values()
        ],
        registry.removing,
    )
    data = msgspec.json.format(msgspec.json.encode(stored), indent=1)
    write_whole(file_system, root / REGISTRY_NAME, data)


class RegistryFile:
    """The registry as last written, and whether a failed write has left the file in doubt.

    Long changes are written outside the owner's lock, by one writer at a time; each change starts from the
    result of the change before.
    """

    def __init__(self, file_system: FileSystem, root: Path, registry: TopicRegistry) -> None:
        self._file_system = file_system
        self._root = root
        self._turn = threading.Lock()
        self._is_in_doubt = False
        self.current = registry

    @property
    def is_in_doubt(self) -> bool:
        """Whether the file may differ from ``current``, now or after a power cut."""
        return self._is_in_doubt

    def change(self, changed: Callable[[TopicRegistry], TopicRegistry]) -> None:
        """Write the registry that ``changed`` returns, durably. For any thread.

        Raises:
            StorageError: the disk refused, and ``current`` holds; if ``is_in_doubt``, the next opening may
                find either.
        """
        with self._turn:
            self._settle()
            registry = changed(self.current)
            self._is_in_doubt = True
            try:
                write_registry(self._file_system, self._root, registry)
            except StorageError:
                # The file may have its new content already, durable or not: write the old content again.
                with suppress(StorageError):
                    self._settle()
                raise
            self._is_in_doubt = False
            self.current = registry

    def forget_removed(self, names: Collection[str]) -> None:
        """Remove the names of folders that are gone, in memory; the next change writes that."""
        with self._turn:
            removing = [name for name in self.current.removing if name not in names]
            self.current = TopicRegistry(self.current.topics, removing)

    def settle(self) -> None:
        """End the doubt by writing ``current`` again.

        Raises:
            StorageError: the disk refused.
        """
        with self._turn:
            self._settle()

    def _settle(self) -> None:
        if self._is_in_doubt:
            write_registry(self._file_system, self._root, self.current)
            self._is_in_doubt = False
