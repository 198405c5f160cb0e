"""One pass of maintenance over a whole log, while others use the log.

The lock is held for what is quick: expiring, retention, taking a round of compaction on, putting one
cleaned segment in place, each for one partition at a time. It is not held while compaction reads and
writes, nor while it is written down how far partitions are synced, nor while the system frees the space
of removed files. A pass that finds another one under way waits for its turn.
"""

from __future__ import annotations

import threading
from functools import partial
from typing import Final

from streamcore.errors import CorruptDataError, StorageError
from streamcore.log.broker.broker import Broker
from streamcore.log.broker.operations import Elsewhere
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
        """Do some jobs over all partitions. A failed partition does not stop the others.

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
                # Compaction needs what it goes by on disk: better now than under the lock.
                attempt(self._driver.sync_all, failures)
            if jobs & _PARTITION_JOBS:
                with self._driver:
                    partitions = self._broker.all_partitions()
                for partition in partitions:
                    attempt(partial(self._maintain, partition, jobs), failures)
            if Job.RECOVERY_POINTS in jobs:
                write_down = Elsewhere(self._broker.write_recovery_points)
                attempt(partial(self._driver.work_elsewhere, write_down), failures)
            if Job.FILES in jobs:
                with self._driver:
                    self._broker.release_idle()
                self.free_removed()
        if failures:
            raise failures[0]

    def free_removed(self) -> None:
        """Give the space of removed files back to the system."""
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
