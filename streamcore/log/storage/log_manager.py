"""All partitions of one log: opening, creation and deletion of topics, maintenance, closing.

Layout of the root folder: ``topics.json`` (the list of topics), ``meta.properties`` (the log's ids), a
folder ``<topic>-<partition>`` for each partition, three checkpoint files, ``start-leader-epoch`` once
there was an unclean stop, and ``.kafka_cleanshutdown`` after a clean one.

One owner, as for a ``PartitionLog``. A change is durable when the call returns, and a crash during the call
leaves all of the change or nothing.
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
from streamcore.log.storage.producers.producer_limit import ProducerLimit
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
"""The maximum number of open files while the files of many partitions are synced."""

CLEAN_STOP_NAME: Final = ".kafka_cleanshutdown"
_CLEAN_STOP: Final = b'{"version":0,"brokerEpoch":-1}\n'


class LogManager:
    """The log of one data folder. Created by ``LogManager.open``."""

    def __init__(self, shelf: Shelf, identity: LogIdentity, clock: Clock) -> None:
        self.identity = identity
        self.catalog = Catalog(shelf, shelf.parts.settings.topic_defaults)
        """The topics. The changes that it begins may run in another thread; see there."""
        self.settings = shelf.parts.settings
        self._shelf = shelf
        self._parts = shelf.parts
        self._clock = clock
        self._is_closed = False

    @classmethod
    def open(
        cls, directory: Path, *, file_system: FileSystem, clock: Clock, settings: LogSettings | None = None
    ) -> Self:
        """Open the log in a folder, or create an empty log there.

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
        # A killed process may have left names here that a power cut would still undo: topics,
        # checkpoints, the removed mark of a clean stop. Make durable what is read here.
        file_system.sync_directory(directory)
        identity = read_or_make_identity(file_system, directory)
        parts = LogParts(
            file_system=file_system,
            open_files=OpenFiles(file_system, files_max=settings.open_files_max),
            checkpoints=LogCheckpoints(file_system, directory),
            settings=settings,
            leadership=read_leadership(file_system, directory),
            producer_limit=ProducerLimit(
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
        # From here on files change: only the next clean stop writes the mark again.
        if was_clean:
            file_system.remove(marker_path)
            file_system.sync_directory(directory)
        return manager

    def _finish_removals(self) -> None:
        """Remove the folders of deleted topics that a crash has left, then remove them from the registry."""
        removing = self._shelf.registry.current.removing
        if removing:
            remove_folders(removing, self._shelf)
            self._shelf.registry.change(lambda current: TopicRegistry(current.topics))

    def _open_topic(self, topic: TopicState, syncs: SyncBatch, *, was_clean: bool) -> None:
        config = self.catalog.parsed(topic.config)
        logs: list[PartitionLog] = []
        for partition in partitions_of(topic):
            directory = self._shelf.root / str(partition)
            opening = Opening(
                topic_partition=partition,
                directory=directory,
                config=config,
                was_clean=was_clean,
                now_ms=self._clock.now_ms(),
                syncs=syncs,
            )
            opened = open_partition(opening, self._parts)
            logs.append(PartitionLog(partition, topic.topic_id, directory, config, opened, self._parts))
            if syncs.open_file_count >= _OPEN_FILES_MAX:
                syncs.run()
        self.catalog.add(topic, logs)

    @property
    def root(self) -> Path:
        """The folder of the log."""
        return self._shelf.root

    def space(self) -> DiskSpace:
        """Return the space of the log's disk.

        Raises:
            StorageError: the disk refused.
        """
        return self._parts.file_system.space(self.root)

    # Topics

    @property
    def topics(self) -> Mapping[TopicName, TopicState]:
        """All topics by name."""
        return self.catalog.topics

    def partition(self, partition: TopicPartition) -> PartitionLog:
        """Return the log of one partition.

        Raises:
            UnknownTopicError: there is no such partition.
        """
        return self.catalog.partition(partition)

    def create_topic(
        self, name: TopicName, partition_count: int, config: Mapping[str, str] | None = None
    ) -> TopicState:
        """Create a topic, durably.

        Raises:
            TopicExistsError: the name is taken.
            InvalidConfigError: a bad name, count or setting.
            StorageError: the disk refused, and the topic does not exist. Only if the disk also refuses to
                write that down, the next opening may find an empty topic.
        """
        self._ensure_open()
        return self._grow(self.catalog.new_topic(name, partition_count, config or {}))

    def _grow(self, growth: Growth) -> TopicState:
        change = self.catalog.begin_creation([growth])
        change.run()
        self.catalog.complete_creation(change)
        return growth.topic

    # Maintenance

    def begin_maintenance(
        self, partition: TopicPartition, *, deletes_old: bool = True, compacts: bool = True
    ) -> Compaction | None:
        """Run the quick part of a partition's maintenance: retention, expiry of producers, recovery point.

        Args:
            deletes_old: apply retention, and remove producers that have not written for their expiry time.
            compacts: look for a compaction that is due.

        Returns:
            The compaction, if one is due. Its ``run`` is the long part, for any thread; after it call
            ``go_on_with`` until that returns false.
        """
        self._ensure_open()
        log = self.catalog.find(partition)
        if log is None:
            return None
        log.note_recovery_point()
        now_ms = self._clock.now_ms()
        if deletes_old:
            log.apply_retention(now_ms)
            log.expire_producers(now_ms)
        log.release_memory()
        if not compacts or not log.config.is_compacted:
            return None
        return Compaction.begin(log, now_ms=now_ms, bytes_max=self._parts.settings.compaction_bytes_max)

    def go_on_with(self, compaction: Compaction) -> bool:
        """Install one cleaned segment of a compaction that has run; return whether more segments follow.

        Raises:
            StorageError: the compaction could not write; the partition stays as it was.
            CorruptDataError: the compaction found damaged data; likewise.
        """
        if self._is_closed or self.catalog.find(compaction.log.topic_partition) is not compaction.log:
            compaction.discard()
            return False
        return compaction.complete_next()

    def free_removed(self) -> None:
        """Free the space of removed files whose delay is over. May run in parallel with the owner."""
        self._parts.open_files.removed.remove_due(self._clock.now_ms())

    def write_log_starts(self) -> None:
        """Write the checkpoint of log starts. For any thread.

        Raises:
            StorageError: the disk refused.
        """
        self._parts.checkpoints.write(LOG_STARTS)

    def write_recovery_points(self) -> None:
        """Write the checkpoint of recovery points as last noted. For any thread.

        Raises:
            StorageError: the disk refused.
        """
        self._parts.checkpoints.write(RECOVERY_POINTS)

    def release_idle(self) -> None:
        """Close the data files that were not read since the last call."""
        self._parts.open_files.close_idle()

    def checkpoint(self) -> None:
        """Write up to which offset each partition is synced, so that recovery after a crash reads less."""
        for partition in self.catalog.all_logs():
            partition.note_recovery_point()
        self.write_recovery_points()

    def close(self) -> None:
        """Sync everything, write the files that make the next opening fast, and mark the stop as clean.

        Every partition is closed, even if one fails; then the stop is not marked as clean.

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
    """Run an action on one partition; append its failure to the list, so that the caller can continue."""
    try:
        action()
    except (StorageError, CorruptDataError) as error:
        failures.append(error)
