"""One pass of maintenance over a whole log, while other threads use the log.

The broker lock is held for the quick steps, for one partition at a time: expiry, retention, preparing a round
of compaction, installing one cleaned segment. The lock is not held while compaction reads and writes, while
recovery points are written, nor while the operating system frees the space of removed files. A pass waits
until the pass before it has ended.
"""

from __future__ import annotations

import threading
from functools import partial
from typing import Final

from streamcore.errors import CorruptDataError, StorageError
from streamcore.log.broker.broker import Broker
from streamcore.log.broker.operations import OffLockWork
from streamcore.log.node.maintenance_schedule import ALL_JOBS, Job
from streamcore.log.node.operation_driver import OperationDriver
from streamcore.log.storage.log_manager import attempt
from streamcore.model import TopicPartition

_PARTITION_JOBS: Final = Job.RETENTION | Job.COMPACTION | Job.RECOVERY_POINTS


class Maintenance:
    """Maintains the partitions of a broker."""

    def __init__(self, driver: OperationDriver, broker: Broker) -> None:
        self._driver = driver
        self._broker = broker
        self._turn = threading.Lock()

    def run_pass(self, jobs: Job = ALL_JOBS) -> None:
        """Run jobs over all partitions. A failed partition does not stop the others.

        Raises:
            StorageError: a partition could not be maintained; the others were.
            CorruptDataError: likewise.
        """
        failures: list[StorageError | CorruptDataError] = []
        with self._turn:
            self._driver.run(
                self._broker.expire_due(
                    transactions=Job.TRANSACTIONS in jobs,
                    transactional_ids=Job.TRANSACTIONAL_IDS in jobs,
                    committed_offsets=Job.COMMITTED_OFFSETS in jobs,
                )
            )
            if Job.COMPACTION in jobs:
                # Compaction reads only synced data: sync it here, before the lock is taken.
                attempt(self._driver.sync_all, failures)
            if jobs & _PARTITION_JOBS:
                with self._driver:
                    partitions = self._broker.all_partitions()
                for partition in partitions:
                    attempt(partial(self._maintain, partition, jobs), failures)
            if Job.RECOVERY_POINTS in jobs:
                write_down = OffLockWork(self._broker.write_recovery_points)
                attempt(partial(self._driver.run_off_lock, write_down), failures)
            if Job.FILES in jobs:
                with self._driver:
                    self._broker.release_idle()
                self.free_removed()
        if failures:
            raise failures[0]

    def free_removed(self) -> None:
        """Free the space of removed files."""
        self._broker.free_removed()

    def _maintain(self, partition: TopicPartition, jobs: Job) -> None:
        with self._driver:
            compaction = self._broker.begin_maintenance(
                partition, deletes_old=Job.RETENTION in jobs, compacts=Job.COMPACTION in jobs
            )
        if compaction is None:
            return
        compaction.run()
        has_more = True
        while has_more:
            with self._driver:
                has_more = self._broker.go_on_with(compaction)
