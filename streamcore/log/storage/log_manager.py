"""All partitions of one log: opens them, creates and deletes topics, and keeps house.

Layout of the root: ``topics.json`` (which topics there are), ``meta.properties`` (which log this is), a
directory ``<topic>-<partition>`` for each partition, three checkpoint files, ``start-leader-epoch`` once
there was an unclean stop, and ``.kafka_cleanshutdown`` after a clean one.

One owner, as for a ``PartitionLog``. What a call changes is durable when it returns, and a crash in
the middle leaves all of it or nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Final, Self

from streamcore.clock import Clock
from streamcore.errors import ClosedError, CorruptDataError, StorageError
from streamcore.log.storage.checkpoints import LOG_STARTS, RECOVERY_POINTS, LogCheckpoints
from streamcore.log.storage.compaction.compaction import Compaction
from streamcore.log.storage.files import DiskSpace, FileSystem, make_directory_durably, write_whole
from streamcore.log.storage.identity import LogIdentity, read_or_make_identity
from streamcore.log.storage.partition.leadership import read_leadership
from streamcore.log.storage.partition.log_parts import LogParts
from streamcore.log.storage.partition.opening import Opening, open_partition
from streamcore.log.storage.partition.partition_log import PartitionLog
from streamcore.log.storage.producers.producer_limit import ProducerRoom
from streamcore.log.storage.segment.open_files import OpenFiles
from streamcore.log.storage.settings import LogSettings
from streamcore.log.storage.sync_batch import SyncBatch
from streamcore.log.storage.topics.catalog import Catalog
from streamcore.log.storage.topics.topic_changes import Growth, Shelf, remove_folders
from streamcore.log.storage.topics.topic_folders import ensure_no_partitions, partitions_of
from streamcore.log.storage.topics.topic_registry import (
    RegistryFile,
    TopicRegistry,
    TopicState,
    read_registry,
    write_registry,
)
from streamcore.model import TopicName, TopicPartition

_OPEN_FILES_MAX: Final = 256
"""Files that are open at a time, when the files of many partitions are synced."""

CLEAN_STOP_NAME: Final = ".kafka_cleanshutdown"
_CLEAN_STOP: Final = b'{"version":0,"brokerEpoch":-1}\n'


class LogManager:
    """The log of one data folder. Made by ``LogManager.open``."""

    def __init__(self, shelf: Shelf, identity: LogIdentity, clock: Clock) -> None:
        self.identity = identity
        self.catalog = Catalog(shelf, shelf.parts.settings.topic_defaults)
        """Which topics there are. What it begins may run in another thread; see there."""
        self.settings = shelf.parts.settings
        self._shelf = shelf
        self._parts = shelf.parts
        self._clock = clock
        self._is_closed = False

    @classmethod
    def open(
        cls, directory: Path, *, file_system: FileSystem, clock: Clock, settings: LogSettings | None = None
    ) -> Self:
        """Open the log in a directory, or begin an empty one there.

        After an unclean stop every partition is recovered first; see ``opening``.

        Raises:
            CorruptDataError: durable data is damaged or missing; nothing was changed.
            UnsupportedVersionError: a newer program wrote it.
            StorageError: the disk refused.
        """
        settings = settings or LogSettings()
        make_directory_durably(file_system, directory)
        registry = read_registry(file_system, directory)
        if registry is None:
            ensure_no_partitions(file_system, directory)
            file_system.sync_directory(directory.parent)
            registry = TopicRegistry()
            write_registry(file_system, directory, registry)
        # A process that was killed may have left names here that a power cut would still undo: topics,
        # checkpoints, the missing mark of a clean stop. What is read here must be here to stay.
        file_system.sync_directory(directory)
        identity = read_or_make_identity(file_system, directory)
        parts = LogParts(
            file_system=file_system,
            open_files=OpenFiles(file_system, files_max=settings.open_files_max),
            checkpoints=LogCheckpoints(file_system, directory),
            settings=settings,
            leadership=read_leadership(file_system, directory),
            producer_room=ProducerRoom(
                partition_count_max=settings.partition_producer_count_max,
                count_max=settings.producer_count_max,
            ),
        )
        shelf = Shelf(directory, RegistryFile(file_system, directory, registry), parts)
        manager = cls(shelf, identity, clock)
        manager._finish_removals()
        marker_path = directory / CLEAN_STOP_NAME
        was_clean = file_system.exists(marker_path)
        syncs = parts.sync_batch()
        for topic in registry.topics.values():
            manager._open_topic(topic, syncs, was_clean=was_clean)
        syncs.run()
        if not was_clean:
            highest = max((log.leader_epoch for log in manager.catalog.all_logs()), default=None)
            if highest is not None:
                parts.leadership.begin_next(highest, file_system=file_system, root=directory)
        manager.checkpoint()
        # From here on files change: the next stop is clean only if it says so again.
        if was_clean:
            file_system.remove(marker_path)
            file_system.sync_directory(directory)
        return manager

    def _finish_removals(self) -> None:
        """Remove the folders of deleted topics that a crash has left, then forget them."""
        removing = self._shelf.registry.current.removing
        if removing:
            remove_folders(removing, self._shelf)
            self._shelf.registry.change(lambda current: TopicRegistry(current.topics))

    def _open_topic(self, topic: TopicState, syncs: SyncBatch, *, was_clean: bool) -> None:
        config = self.catalog.parsed(topic.config)
        logs: list[PartitionLog] = []
        for target in partitions_of(topic):
            directory = self._shelf.root / str(target)
            opening = Opening(
                topic_partition=target,
                directory=directory,
                config=config,
                was_clean=was_clean,
                now_ms=self._clock.now_ms(),
                syncs=syncs,
            )
            opened = open_partition(opening, self._parts)
            logs.append(PartitionLog(target, topic.topic_id, directory, config, opened, self._parts))
            if syncs.open_file_count >= _OPEN_FILES_MAX:
                syncs.run()
        self.catalog.add(topic, logs)

    @property
    def root(self) -> Path:
        """The folder of the log."""
        return self._shelf.root

    def space(self) -> DiskSpace:
        """The space of the disk that the log is on. Raises ``StorageError``."""
        return self._parts.file_system.space(self.root)

    # Topics

    @property
    def topics(self) -> Mapping[TopicName, TopicState]:
        """All topics by name."""
        return self.catalog.topics

    def partition(self, target: TopicPartition) -> PartitionLog:
        """The log of one partition. Raises ``UnknownTopicError``."""
        return self.catalog.partition(target)

    def create_topic(
        self, name: TopicName, partition_count: int, config: Mapping[str, str] | None = None
    ) -> TopicState:
        """Create a topic; durable when it returns.

        Raises:
            TopicExistsError: the name is taken.
            InvalidConfigError: a bad name, count or setting.
            StorageError: the disk refused; there is no such topic. Only if it also refuses to have that
                written down, the next opening may find an empty one.
        """
        self._ensure_open()
        return self._grow(self.catalog.new_topic(name, partition_count, config or {}))

    def _grow(self, growth: Growth) -> TopicState:
        change = self.catalog.begin_creation([growth])
        change.run()
        self.catalog.complete_creation(change)
        return growth.topic

    # Housekeeping

    def begin_maintenance(
        self, target: TopicPartition, *, deletes_old: bool = True, compacts: bool = True
    ) -> Compaction | None:
        """The quick part of a partition's maintenance: retention, expiry of producers, how far it is synced.

        Args:
            deletes_old: apply retention, and forget silent producers.
            compacts: look for a compaction that is due.

        Returns:
            The compaction that is due, if one is. Its ``run`` is the long part, for any thread; after
            it call ``go_on_with`` until that says that there is no more to do.
        """
        self._ensure_open()
        partition = self.catalog.find(target)
        if partition is None:
            return None
        partition.note_recovery_point()
        now_ms = self._clock.now_ms()
        if deletes_old:
            partition.apply_retention(now_ms)
            partition.expire_producers(now_ms)
        partition.release_memory()
        if not compacts or not partition.config.is_compacted:
            return None
        return Compaction.begin(partition, now_ms=now_ms, bytes_max=self._parts.settings.compaction_bytes_max)

    def go_on_with(self, compaction: Compaction) -> bool:
        """Put one cleaned segment of a compaction that has run in place; return whether there is more to do.

        Raises:
            StorageError: the compaction could not write; the partition goes on without it.
            CorruptDataError: it found something damaged; likewise.
        """
        if self._is_closed or self.catalog.find(compaction.log.topic_partition) is not compaction.log:
            compaction.discard()
            return False
        return compaction.complete_next()

    def free_removed(self) -> None:
        """Give the space of removed files back, once they have waited. May run beside the owner."""
        self._parts.open_files.removed.remove_due(self._clock.now_ms())

    def write_log_starts(self) -> None:
        """Write down where partitions begin. For any thread. Raises ``StorageError``."""
        self._parts.checkpoints.write(LOG_STARTS)

    def write_recovery_points(self) -> None:
        """Write down the recovery points as last noted. For any thread. Raises ``StorageError``."""
        self._parts.checkpoints.write(RECOVERY_POINTS)

    def release_idle(self) -> None:
        """Close the data files that nobody has read since the last call."""
        self._parts.open_files.close_idle()

    def checkpoint(self) -> None:
        """Write down how far each partition is synced; a crash then needs to look at less."""
        for partition in self.catalog.all_logs():
            partition.note_recovery_point()
        self.write_recovery_points()

    def close(self) -> None:
        """Sync everything, write what makes the next opening fast, and note that the stop was clean.

        Every partition is closed, even if one fails; then the stop is not clean.

        Raises:
            StorageError: a partition could not be synced.
        """
        if self._is_closed:
            return
        self._is_closed = True
        failures: list[StorageError | CorruptDataError] = []
        syncs = self._parts.sync_batch()
        for partition in self.catalog.all_logs():
            attempt(partial(partition.close, syncs), failures)
            partition.release_files()
            if syncs.open_file_count >= _OPEN_FILES_MAX:
                attempt(syncs.run, failures)
        attempt(syncs.run, failures)
        if not failures:
            attempt(self._write_clean_stop, failures)
        self._parts.open_files.close()
        if failures:
            raise failures[0]

    def _write_clean_stop(self) -> None:
        self.checkpoint()
        write_whole(self._parts.file_system, self._shelf.root / CLEAN_STOP_NAME, _CLEAN_STOP)

    def _ensure_open(self) -> None:
        if self._is_closed:
            raise ClosedError("the log is closed")


def attempt(action: Callable[[], None], failures: list[StorageError | CorruptDataError]) -> None:
    """Run an action on one partition; add its failure to the list, so that the other partitions go on."""
    try:
        action()
    except (StorageError, CorruptDataError) as error:
        failures.append(error)
