"""Changes of the topics of a log: long work, which the owner may leave to another thread.

Each change has three parts, like a ``SyncTicket`` and a ``Compaction``: the owner begins it, any thread
runs it, and the owner completes it, which makes the result visible. While it runs, the owner begins no other
change of the same topic; changes of different topics may run in parallel.

After a crash the registry decides. New folders are durable before the registry names them, and it names all
folders of a change at once; folders of a deleted topic are removed only after the registry has stopped naming
them. So a crash leaves all of a change or nothing, except for folders that the registry does not name, which
the next change of that name removes.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from streamcore.errors import StorageError
from streamcore.log.storage.checkpoints import CHECKPOINT_NAMES
from streamcore.log.storage.files import remove_tree
from streamcore.log.storage.partition.log_parts import LogParts
from streamcore.log.storage.partition.opening import make_partition, new_log
from streamcore.log.storage.partition.partition_log import PartitionLog
from streamcore.log.storage.segment.log_files import PARTITION_METADATA
from streamcore.log.storage.topics.topic_config import TopicConfig
from streamcore.log.storage.topics.topic_folders import parse_partition, remove_leftover, remove_unused
from streamcore.log.storage.topics.topic_registry import RegistryFile, TopicRegistry, TopicState
from streamcore.model import TopicName, TopicPartition

_log = logging.getLogger(__name__)


class Shelf(Struct, frozen=True):
    """What all changes use: the root folder, its registry, and the components that partitions share."""

    root: Path
    registry: RegistryFile
    parts: LogParts


class Growth(Struct, frozen=True):
    """A topic as it will be after the change, and its new partitions."""

    topic: TopicState
    config: TopicConfig
    partitions: Sequence[TopicPartition]


class NewPartitions:
    """New partitions of new topics or of existing ones; all of them are created or none."""

    def __init__(self, shelf: Shelf, growths: Sequence[Growth]) -> None:
        self.growths = growths
        self.logs: dict[TopicPartition, PartitionLog] = {}
        """The created partitions, after ``run``."""
        self._shelf = shelf

    def run(self) -> None:
        """Create the folders, then register the topics. For any thread.

        Raises:
            StorageError: the disk refused, and nothing was created. Only if the disk also refuses to write
                that down, the next opening may find the new partitions.
        """
        shelf = self._shelf
        # A folder is touched only when it is certain that the registry does not name it.
        shelf.registry.settle()
        made: list[Path] = []
        try:
            self._clear_the_way()
            for growth, partition in self._new_partitions():
                path = shelf.root / str(partition)
                made.append(path)
                make_partition(path, growth.topic.topic_id, shelf.parts)
            batch = shelf.parts.sync_batch()
            for path in made:
                batch.add_closed(path / PARTITION_METADATA)
                batch.add_folder(path)
            batch.run()
            # The folders are durable before the registry names them: a named folder that is missing
            # existed once, perhaps with data. So opening never creates such a folder.
            shelf.parts.file_system.sync_directory(shelf.root)
            shelf.registry.change(self._registered)
        except StorageError:
            if not shelf.registry.is_in_doubt:
                for path in made:
                    remove_leftover(shelf.parts.file_system, path)
            raise
        for growth, partition in self._new_partitions():
            path = shelf.root / str(partition)
            self.logs[partition] = new_log(partition, growth.topic.topic_id, path, growth.config, shelf.parts)

    def _new_partitions(self) -> Iterable[tuple[Growth, TopicPartition]]:
        return ((growth, partition) for growth in self.growths for partition in growth.partitions)

    def _clear_the_way(self) -> None:
        """Remove the leftovers of interrupted creations and deletions under these names."""
        file_system = self._shelf.parts.file_system
        names = {str(partition) for _, partition in self._new_partitions()}
        doomed = names.intersection(self._shelf.registry.current.removing)
        for name in names.intersection(file_system.list_directory(self._shelf.root)):
            if name in doomed:
                remove_tree(file_system, self._shelf.root / name)
            else:
                remove_unused(file_system, self._shelf.root / name)
        if doomed:
            _forget_offsets(doomed, self._shelf)

    def _registered(self, current: TopicRegistry) -> TopicRegistry:
        names = {str(partition) for _, partition in self._new_partitions()}
        topics = {**current.topics, **{growth.topic.name: growth.topic for growth in self.growths}}
        return TopicRegistry(topics, [name for name in current.removing if name not in names])


class Removal:
    """Topics to delete, with their data; all of them are deleted or none."""

    def __init__(self, shelf: Shelf, topics: Mapping[TopicName, Sequence[TopicPartition]]) -> None:
        self.topics = topics
        self.partitions = [partition for partitions in topics.values() for partition in partitions]
        self._shelf = shelf

    def run(self) -> None:
        """Remove the topics from the registry. For any thread; the owner then stops showing them.

        Raises:
            StorageError: the disk refused, and the topics are unchanged; if the registry is in doubt, the
                next opening may not find them.
        """
        self._shelf.registry.change(self._without)

    def remove_files(self) -> None:
        """Remove the files of the deleted topics. For any thread; files that cannot be removed now are
        removed later.
        """
        names = [str(partition) for partition in self.partitions]
        try:
            remove_folders(names, self._shelf)
        except StorageError as error:
            _log.warning("topics are deleted, but some of their files are deleted later: %s", error)
            return
        self._shelf.registry.forget_removed(set(names))

    def _without(self, current: TopicRegistry) -> TopicRegistry:
        topics = {name: state for name, state in current.topics.items() if name not in self.topics}
        return TopicRegistry(topics, [*current.removing, *map(str, self.partitions)])


class NewSettings:
    """Settings that replace those of some topics."""

    def __init__(self, shelf: Shelf, states: Sequence[TopicState]) -> None:
        self.states = states
        self._shelf = shelf

    def run(self) -> None:
        """Register the settings. For any thread.

        Raises:
            StorageError: the disk refused, and the settings are unchanged.
        """
        self._shelf.registry.change(self._registered)

    def _registered(self, current: TopicRegistry) -> TopicRegistry:
        return TopicRegistry(
            {**current.topics, **{state.name: state for state in self.states}}, current.removing
        )


def remove_folders(names: Iterable[str], shelf: Shelf) -> None:
    """Remove the folders of deleted topics, durably, and their rows in the checkpoints."""
    names = list(names)
    file_system = shelf.parts.file_system
    present = set(file_system.list_directory(shelf.root))
    for name in names:
        if name in present:
            remove_tree(file_system, shelf.root / name)
    file_system.sync_directory(shelf.root)
    _forget_offsets(names, shelf)


def _forget_offsets(names: Iterable[str], shelf: Shelf) -> None:
    """Remove the checkpoint rows of deleted topics, so that a new topic of the same name does not find
    them.
    """
    shelf.parts.checkpoints.forget(parse_partition(name) for name in names)
    for name in CHECKPOINT_NAMES:
        shelf.parts.checkpoints.write(name)
