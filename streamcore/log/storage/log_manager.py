"""All partitions of one log: opens them, creates and deletes topics, and keeps house.

Layout of the root: ``topics.json`` (which topics there are), ``meta.properties`` (which log this is), a
directory ``<topic>-<partition>`` for each partition, three checkpoint files, ``start-leader-epoch`` once
there was an unclean stop, and ``.kafka_cleanshutdown`` after a clean one.

One owner, as for a ``PartitionLog``. What a call changes is durable when it returns, and a crash in
the middle leaves all of it or nothing.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType

from streamcore.clock import Clock
from streamcore.errors import (
    ClosedError,
    CorruptDataError,
    InvalidConfigError,
    StorageError,
    TopicExistsError,
    UnknownTopicError,
    fact_text,
)
from streamcore.log.storage.checkpoints import CHECKPOINT_NAMES, RECOVERY_POINTS, LogCheckpoints
from streamcore.log.storage.compaction import Compaction
from streamcore.log.storage.files import FileSystem, make_directory_durably, remove_tree, write_whole
from streamcore.log.storage.identity import LogIdentity, read_or_make_identity
from streamcore.log.storage.leadership import read_leadership
from streamcore.log.storage.log_parts import LogParts
from streamcore.log.storage.open_files import OpenFiles
from streamcore.log.storage.opening import Opening, create_partition, open_partition
from streamcore.log.storage.partition_log import PartitionLog
from streamcore.log.storage.producer_room import ProducerRoom
from streamcore.log.storage.settings import LogSettings
from streamcore.log.storage.topic_config import TopicConfig
from streamcore.log.storage.topic_folders import (
    check_topic_name,
    ensure_no_partitions,
    parse_partition,
    partitions_of,
    remove_leftover,
    remove_unused,
)
from streamcore.log.storage.topic_registry import (
    RegistryFile,
    TopicRegistry,
    TopicState,
    read_registry,
    write_registry,
)
from streamcore.model import TopicName, TopicPartition

_log = logging.getLogger(__name__)

CLEAN_STOP_NAME = ".kafka_cleanshutdown"
_CLEAN_STOP = b'{"version":0,"brokerEpoch":-1}\n'

PARTITION_COUNT_MAX = 100_000


class LogManager:
    """The log of one data folder. Made by ``LogManager.open``."""

    def __init__(
        self, root: Path, registry: RegistryFile, identity: LogIdentity, clock: Clock, parts: LogParts
    ) -> None:
        self.identity = identity
        self._root = root
        self._registry = registry
        self._clock = clock
        self._parts = parts
        self._partitions: dict[TopicPartition, PartitionLog] = {}
        self._is_closed = False
        self._names: dict[bytes, TopicName] = {}
        self._named_registry: TopicRegistry | None = None

    @classmethod
    def open(
        cls, directory: Path, *, file_system: FileSystem, clock: Clock, settings: LogSettings | None = None
    ) -> LogManager:
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
        manager = cls(directory, RegistryFile(file_system, directory, registry), identity, clock, parts)
        manager._finish_removals()
        marker_path = directory / CLEAN_STOP_NAME
        was_clean = file_system.exists(marker_path)
        for topic in registry.topics.values():
            for target in partitions_of(topic):
                manager._open_partition(topic, target, was_clean=was_clean)
        if manager.partitions and not was_clean:
            highest = max(partition.leader_epoch for partition in manager.partitions.values())
            parts.leadership.begin_next(highest, file_system=file_system, root=directory)
        manager.checkpoint()
        # From here on files change: the next stop is clean only if it says so again.
        if was_clean:
            file_system.remove(marker_path)
            file_system.sync_directory(directory)
        return manager

    @property
    def topics(self) -> Mapping[TopicName, TopicState]:
        """All topics by name."""
        return MappingProxyType(self._registry.current.topics)

    @property
    def topic_names(self) -> Mapping[bytes, TopicName]:
        """The names of topics by the bytes of their ids."""
        registry = self._registry.current
        if self._named_registry is not registry:
            self._named_registry = registry
            self._names = {topic.topic_id.bytes: topic.name for topic in registry.topics.values()}
        return self._names

    @property
    def partitions(self) -> Mapping[TopicPartition, PartitionLog]:
        """All partitions."""
        return MappingProxyType(self._partitions)

    def partition(self, target: TopicPartition) -> PartitionLog:
        """The log of one partition. Raises ``UnknownTopicError``."""
        try:
            return self._partitions[target]
        except KeyError as error:
            raise self._unknown(target) from error

    # Topics

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
        check_topic_name(name)
        _check_partition_count(partition_count)
        if name in self.topics:
            raise TopicExistsError("the topic exists already, " + fact_text(topic=name))
        self._parsed(config or {})
        topic = TopicState(name, uuid.uuid4(), partition_count, dict(config or {}))
        self._add_partitions(topic, partitions_of(topic))
        return topic

    def add_partitions(self, name: TopicName, partition_count: int) -> TopicState:
        """Raise a topic's number of partitions to ``partition_count``; durable when it returns.

        Raises:
            UnknownTopicError: there is no such topic.
            InvalidConfigError: it has that many already.
            StorageError: the disk refused; the topic is as it was.
        """
        self._ensure_open()
        old = self._topic(name)
        _check_partition_count(partition_count)
        if partition_count <= old.partition_count:
            raise InvalidConfigError(
                "partitions can only be added, "
                + fact_text(topic=name, partitions=old.partition_count, wanted=partition_count)
            )
        topic = TopicState(name, old.topic_id, partition_count, old.config)
        self._add_partitions(topic, partitions_of(topic)[old.partition_count :])
        return topic

    def set_topic_config(self, name: TopicName, config: Mapping[str, str]) -> TopicState:
        """Replace what is set for a topic; durable when it returns.

        Raises:
            UnknownTopicError: there is no such topic.
            InvalidConfigError: a setting is unknown or impossible.
            StorageError: the disk refused; the settings are as they were.
        """
        self._ensure_open()
        old = self._topic(name)
        parsed = self._parsed(config)
        topic = TopicState(name, old.topic_id, old.partition_count, dict(config))
        self._register(topic)
        for target in partitions_of(topic):
            self._partitions[target].config = parsed
        return topic

    def delete_topic(self, name: TopicName) -> None:
        """Delete a topic with its data; durable when it returns.

        Raises:
            UnknownTopicError: there is no such topic.
            StorageError: the disk refused; the topic is as it was. Only if the disk also refuses to
                have that written down, nothing more is taken for it: the next opening may not find it.
        """
        self._ensure_open()
        targets = partitions_of(self._topic(name))
        others = {key: value for key, value in self.topics.items() if key != name}
        removing = [*self._registry.current.removing, *map(str, targets)]
        try:
            self._registry.replace(TopicRegistry(others, removing))
        except StorageError as error:
            if self._registry.is_in_doubt:
                for target in targets:
                    self._partitions[target].give_up(error)
            raise
        for target in targets:
            self._partitions.pop(target).keep_files_until_removed()
        try:
            self._finish_removals()
        except StorageError as error:
            _log.warning("a topic is deleted, but not all of its files: they go later. %s", error)

    def _add_partitions(self, topic: TopicState, targets: Iterable[TopicPartition]) -> None:
        file_system = self._parts.file_system
        targets = list(targets)
        # A folder is only touched when it is certain that the registry does not name it.
        self._registry.settle()
        self._finish_removals()
        made: list[Path] = []
        try:
            for target in targets:
                path = self._root / str(target)
                if file_system.exists(path):
                    # Of a creation that a crash or a full disk cut short: never registered.
                    remove_unused(file_system, path)
                made.append(path)
                create_partition(path, topic.topic_id, self._parts)
            # The folders are durable before the registry names them: one that it names and that is
            # missing was there once, and perhaps with data. So opening never makes one anew.
            file_system.sync_directory(self._root)
            self._register(topic)
        except StorageError:
            if not self._registry.is_in_doubt:
                for path in made:
                    remove_leftover(file_system, path)
            raise
        for target in targets:
            self._open_partition(topic, target, was_clean=True)

    def _register(self, topic: TopicState) -> None:
        """Add a topic to the registry, or replace it there."""
        current = self._registry.current
        self._registry.replace(TopicRegistry({**current.topics, topic.name: topic}, current.removing))

    def _finish_removals(self) -> None:
        """Remove the directories of deleted topics, then forget that they were to be removed."""
        removing = self._registry.current.removing
        if not removing:
            return
        for name in removing:
            if self._parts.file_system.exists(self._root / name):
                remove_tree(self._parts.file_system, self._root / name)
        self._parts.file_system.sync_directory(self._root)
        # A topic of the same name must not find the old one's checkpoints.
        self._parts.checkpoints.forget(parse_partition(name) for name in removing)
        for name in CHECKPOINT_NAMES:
            self._parts.checkpoints.write(name)
        self._registry.replace(TopicRegistry(self._registry.current.topics))

    def _open_partition(self, topic: TopicState, target: TopicPartition, *, was_clean: bool) -> None:
        directory = self._root / str(target)
        config = self._parsed(topic.config)
        if not self._parts.file_system.exists(directory):
            raise CorruptDataError(
                "the folder of a partition is missing: restore it from a copy, " + fact_text(path=directory)
            )
        opening = Opening(
            topic_partition=target,
            directory=directory,
            config=config,
            was_clean=was_clean,
            now_ms=self._clock.now_ms(),
        )
        opened = open_partition(opening, self._parts)
        self._partitions[target] = PartitionLog(
            target, topic.topic_id, directory, config, opened, self._parts
        )

    # Housekeeping

    def maintain(self) -> None:
        """One pass of retention, compaction and producer expiry over all partitions.

        Raises:
            StorageError: a partition could not be maintained; the others were.
            CorruptDataError: likewise.
        """
        self._ensure_open()
        failures: list[StorageError | CorruptDataError] = []
        for target in list(self._partitions):
            _attempt(partial(self.maintain_partition, target), failures)
        _attempt(self.checkpoint, failures)
        self.free_removed()
        if failures:
            raise failures[0]

    def maintain_partition(self, target: TopicPartition) -> None:
        """Retention, compaction and producer expiry of one partition; a deleted one is passed over."""
        compaction = self.begin_maintenance(target)
        if compaction is not None:
            compaction.run()
            while self.go_on_with(compaction):
                pass

    def begin_maintenance(self, target: TopicPartition) -> Compaction | None:
        """The quick part of a partition's upkeep: retention, and expiry of producers.

        Returns:
            The compaction that is due, if one is. Its ``run`` is the long part, for any thread; after
            it call ``go_on_with`` until that says that there is no more to do.
        """
        self._ensure_open()
        partition = self._partitions.get(target)
        if partition is None:
            return None
        now_ms = self._clock.now_ms()
        partition.apply_retention(now_ms)
        partition.expire_producers(now_ms)
        partition.release_memory()
        if not partition.config.is_compacted:
            return None
        return Compaction.begin(partition, now_ms=now_ms, bytes_max=self._parts.settings.compaction_bytes_max)

    def go_on_with(self, compaction: Compaction) -> bool:
        """Put one cleaned segment of a compaction that has run in place; return whether there is more to do.

        Raises:
            StorageError: the compaction could not write; the partition goes on without it.
            CorruptDataError: it found something damaged; likewise.
        """
        if self._is_closed or self._partitions.get(compaction.log.topic_partition) is not compaction.log:
            compaction.discard()
            return False
        return compaction.complete_next()

    def free_removed(self) -> None:
        """Give the space of removed files back to the system. May run beside the owner, in any thread."""
        self._parts.open_files.close_removed()

    def checkpoint(self) -> None:
        """Write down how far each partition is synced; a crash then needs to look at less."""
        for partition in self._partitions.values():
            partition.note_recovery_point()
        self._parts.checkpoints.write(RECOVERY_POINTS)

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
        for partition in self._partitions.values():
            _attempt(partition.close, failures)
            partition.release_files()
        if not failures:
            _attempt(self._write_clean_stop, failures)
        self._parts.open_files.close()
        if failures:
            raise failures[0]

    def _write_clean_stop(self) -> None:
        self.checkpoint()
        write_whole(self._parts.file_system, self._root / CLEAN_STOP_NAME, _CLEAN_STOP)

    def _ensure_open(self) -> None:
        if self._is_closed:
            raise ClosedError("the log is closed")

    def _parsed(self, config: Mapping[str, str]) -> TopicConfig:
        return TopicConfig.parse(config, defaults=self._parts.settings.topic_defaults)

    def _topic(self, name: TopicName) -> TopicState:
        try:
            return self.topics[name]
        except KeyError as error:
            raise UnknownTopicError("there is no such topic, " + fact_text(topic=name)) from error

    def _unknown(self, target: TopicPartition) -> UnknownTopicError:
        topic = self.topics.get(target.topic)
        if topic is None:
            return UnknownTopicError("there is no such topic, " + fact_text(topic=target.topic))
        return UnknownTopicError(
            "the topic has no such partition, "
            + fact_text(topic=target.topic, partition=target.partition, partitions=topic.partition_count)
        )


def _check_partition_count(count: int) -> None:
    if not 1 <= count <= PARTITION_COUNT_MAX:
        raise InvalidConfigError(
            f"a topic has 1 to {PARTITION_COUNT_MAX} partitions, " + fact_text(partitions=count)
        )


def _attempt(action: Callable[[], None], failures: list[StorageError | CorruptDataError]) -> None:
    try:
        action()
    except (StorageError, CorruptDataError) as error:
        failures.append(error)
