"""A broker on a simulated disk, for tests of what it keeps in its cluster state."""

from __future__ import annotations

from typing import TypeVar

from streamcore.clock import ManualClock
from streamcore.log.broker.broker import Broker
from streamcore.log.broker.operations import Operation
from streamcore.log.broker.settings import BrokerSettings
from streamcore.log.node.operation_driver import OperationDriver
from streamcore.testing.sim_disk import SimDisk
from tests.support.managed_log import ManagedLog
from tests.support.partition_fixture import NOW_MS, ROOT

R = TypeVar("R")


class StatefulBroker:
    """A broker that can lose its power."""

    def __init__(self, settings: BrokerSettings | None = None, *, seed: int = 1) -> None:
        self.disk = SimDisk(seed)
        self.clock = ManualClock(NOW_MS)
        self._settings = settings or BrokerSettings()
        self.open()

    def open(self) -> None:
        manager = ManagedLog.open(ROOT, file_system=self.disk, clock=self.clock)
        self.broker = Broker(manager, self.clock, self._settings)
        self.driver = OperationDriver(self.clock, self.broker.unsynced, self.broker.groups)
        self.driver.run(self.broker.recover())

    def run(self, operation: Operation[R]) -> R:
        return self.driver.run(operation)

    def crash(self) -> None:
        self.disk.crash()
        self.open()
