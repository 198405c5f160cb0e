"""The running broker of one folder: the locked folder, the open partitions, the driver, and maintenance.

A ``Node`` is the base of a log in this process and of a server. The node takes the folder's lock, opens the
partitions, builds the one ``Broker`` over them, and drives the broker's operations under one lock
(``operation_driver``). ``streamcore.log.broker`` implements the operations.

A node needs no thread: each call completes its own work. On a real disk a few threads sync partitions in
parallel, and the maintenance thread calls ``maintain``; a simulation has neither and calls it itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Final, Literal, TypeAlias

from streamcore.clock import Clock, SystemClock
from streamcore.errors import ClosedError, InvalidConfigError
from streamcore.log.broker.broker import Broker
from streamcore.log.broker.config.broker_settings import Meaning, checked
from streamcore.log.broker.config.configuration import broker_config, topic_defaults_of
from streamcore.log.broker.config.texts import configured
from streamcore.log.broker.settings import BrokerSettings
from streamcore.log.node.directory_lock import DirectoryLock
from streamcore.log.node.maintenance import Maintenance
from streamcore.log.node.maintenance_schedule import (
    ALL_JOBS,
    Job,
    MaintenanceSchedule,
    job_intervals_ms,
)
from streamcore.log.node.maintenance_thread import MaintenanceThread
from streamcore.log.node.operation_driver import OperationDriver
from streamcore.log.node.sync_threads import SyncThreads
from streamcore.log.storage.files import FileSystem, PosixFileSystem
from streamcore.log.storage.log_manager import LogManager
from streamcore.log.storage.settings import LogSettings
from streamcore.log.storage.topics.topic_config import TopicConfig

Durability: TypeAlias = Literal["durable", "relaxed"]

_SYNC_THREADS_MAX: Final = 8


class Node:
    """The broker of a folder that this process owns. Safe to share between threads."""

    def __init__(
        self, broker: Broker, driver: OperationDriver, lock: DirectoryLock | None, resources: ExitStack
    ) -> None:
        self.broker = broker
        """The broker; ``driver`` drives its operations, or a server steps them."""
        self.driver = driver
        """The lock over the broker, and the syncs that all callers share."""
        self._maintenance = Maintenance(driver, broker)
        self._maintenance_thread: MaintenanceThread | None = None
        self._lock = lock
        self._resources = resources
        self._is_closed = False

    @classmethod
    def open(
        cls,
        data: Path | str,
        *,
        durability: Durability = "durable",
        clock: Clock | None = None,
        file_system: FileSystem | None = None,
        settings: BrokerSettings | None = None,
        topic_defaults: Mapping[str, str] | None = None,
        config: Mapping[str, str] | None = None,
        maintenance: bool = True,
    ) -> Node:
        """Open the log in the folder ``data``; create the folder if it is new.

        Args:
            durability: "durable" acknowledges after fdatasync. "relaxed" acknowledges at once; a power cut
                may then take the last second, a crash of the process alone takes nothing.
            file_system: a simulated one for tests; the folder is then not locked.
            topic_defaults: topic settings, by Kafka's names, for topics that do not set them.
            config: settings of the broker by Kafka's names, fixed while the node is open.
            maintenance: run maintenance in a background thread. Without it call ``maintain``.

        Raises:
            InvalidConfigError: a setting is unknown, impossible, or cannot be set.
            DirectoryInUseError: another process has the folder open; the message names its pid.
        """
        if durability not in ("durable", "relaxed"):
            raise InvalidConfigError(f"durability must be 'durable' or 'relaxed': durability={durability}")
        clock = clock or SystemClock()
        folder = Path(data)
        static = {**broker_config(topic_defaults or {}), **(config or {})}
        for name, value in static.items():
            checked(name, value)
        defaults = topic_defaults_of(static)
        TopicConfig.parse(defaults).ensure_consistent()
        log_settings = LogSettings(
            flush=durability,
            topic_defaults=defaults,
            sync_threads=_SYNC_THREADS_MAX if file_system is None else 1,
        )
        with ExitStack() as resources:
            lock = resources.enter_context(DirectoryLock(folder)) if file_system is None else None
            logs = LogManager.open(
                folder / "log",
                file_system=file_system or PosixFileSystem(),
                clock=clock,
                settings=configured(log_settings, Meaning.LOG, static),
            )
            resources.callback(logs.close)
            broker_settings = configured(settings or BrokerSettings(), Meaning.BROKER, static)
            broker = Broker(logs, clock, broker_settings, config=static)
            driver = OperationDriver(
                clock,
                broker.unsynced,
                broker.groups,
                shows_unsynced=durability == "relaxed",
                sync_threads=resources.enter_context(SyncThreads()) if file_system is None else None,
            )
            driver.run(broker.recover())
            node = cls(broker, driver, lock, resources.pop_all())
        if maintenance:
            schedule = MaintenanceSchedule(
                lambda: job_intervals_ms(broker.configuration.settings), clock.monotonic_s()
            )
            node._maintenance_thread = MaintenanceThread(
                node.maintain, driver.sync_all, schedule, clock
            ).start()
        return node

    def maintain(self, jobs: Job = ALL_JOBS) -> None:
        """Run one pass of retention, compaction, transaction timeouts and expiry of old committed offsets.

        Raises:
            ClosedError: the node is closed.
            StorageError: a partition could not be maintained; the others were.
            CorruptDataError: likewise.
        """
        self.ensure_open()
        self._maintenance.run_pass(jobs)

    def free_removed(self) -> None:
        """Give the space of removed files back to the operating system."""
        self._maintenance.free_removed()

    def publish_address(self, address: str | None) -> None:
        """Write the served address into the lock file, for refused processes; ``None`` removes it."""
        if self._lock is not None and not self._is_closed:
            self._lock.publish_address(address)

    def ensure_open(self) -> None:
        """Raise ``ClosedError`` if the node is closed."""
        if self._is_closed:
            raise ClosedError("the log is closed; open it again")

    def close(self) -> None:
        """Make everything durable and release the folder. A second call does nothing."""
        if self._is_closed:
            return
        if self._maintenance_thread is not None:
            self._maintenance_thread.stop()
        self._is_closed = True
        try:
            self.driver.close()
        finally:
            self._resources.close()
