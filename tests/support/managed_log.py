"""The storage of a whole log with changes that run to their end in one call, for tests without a broker."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from streamcore.errors import CorruptDataError, StorageError
from streamcore.log.storage.log_manager import LogManager, attempt
from streamcore.log.storage.topics.topic_registry import TopicState
from streamcore.model import TopicName, TopicPartition


class ManagedLog(LogManager):
    """A ``LogManager`` whose long changes and maintenance a test runs in place."""

    def add_partitions(self, name: TopicName, partition_count: int) -> TopicState:
        """Raise a topic's number of partitions to ``partition_count``; durable when it returns.

        Raises:
            UnknownTopicError: there is no such topic.
            InvalidConfigError: it has that many already.
            StorageError: the disk refused; the topic is as it was.
        """
        self._ensure_open()
        return self._grow(self.catalog.more_partitions(name, partition_count))

    def set_topic_config(self, name: TopicName, config: Mapping[str, str]) -> TopicState:
        """Replace what is set for a topic; durable when it returns.

        Raises:
            UnknownTopicError: there is no such topic.
            InvalidConfigError: a setting is unknown or impossible.
            StorageError: the disk refused; the settings are as they were.
        """
        self._ensure_open()
        change = self.catalog.begin_settings([self.catalog.with_config(name, config)])
        change.run()
        self.catalog.complete_settings(change)
        return self.topics[name]

    def delete_topic(self, name: TopicName) -> None:
        """Delete a topic with its data; durable when it returns.

        Raises:
            UnknownTopicError: there is no such topic.
            StorageError: the disk refused; the topic is as it was. Only if the disk also refuses to
                have that written down, nothing more is taken for it: the next opening may not find it.
        """
        self._ensure_open()
        removal = self.catalog.begin_removal([name])
        try:
            removal.run()
        except StorageError as error:
            self.catalog.abandon_removal(removal, error)
            raise
        self.catalog.complete_removal(removal)
        removal.remove_files()

    def maintain(self) -> None:
        """One pass of retention, compaction and producer expiry over all partitions.

        Raises:
            StorageError: a partition could not be maintained; the others were.
            CorruptDataError: likewise.
        """
        self._ensure_open()
        failures: list[StorageError | CorruptDataError] = []
        for log in list(self.catalog.all_logs()):
            attempt(partial(self.maintain_partition, log.topic_partition), failures)
        attempt(self.write_recovery_points, failures)
        self.release_idle()
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
