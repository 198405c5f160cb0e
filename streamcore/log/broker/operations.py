"""Operations of the broker: the waits of a request, without a waiting thread inside the broker.

An operation is a generator. It runs up to a point where something outside has to happen, yields a wait, and
is resumed when the wait is over; its return value is the reply. The node drives operations with a lock and a
condition, a server drives the same ones from its event loop, a test by hand.

Between two steps other operations may run: a check before a ``yield`` has to be repeated after it.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Generator
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeAlias, TypeVar
from weakref import WeakSet

from msgspec import Struct

from streamcore.errors import StorageError
from streamcore.log.storage.partition.partition_log import PartitionLog
from streamcore.model import Offset

R = TypeVar("R")


class DurableUntil(Struct, frozen=True):
    """Wait until partitions are on disk up to these (exclusive) offsets."""

    marks: tuple[tuple[PartitionLog, Offset], ...]

    def missing(self, deleted: Container[PartitionLog]) -> list[PartitionLog]:
        """Return the partitions that are not durable yet. A deleted partition is not waited for."""
        return [log for log, end in self.marks if log.offsets.high_watermark < end and log not in deleted]

    def failure(self) -> StorageError | None:
        """Return why one of the partitions will never be durable, or ``None``."""
        return next((error for log, _ in self.marks if (error := log.health.error) is not None), None)


@dataclass(slots=True)
class OperationFuture(Generic[R]):
    """A reply that another operation will give; set once."""

    reply: R | None = None
    is_done: bool = False
    listeners: dict[object, Callable[[], None]] = field(default_factory=dict)
    """Callbacks of owners that cannot poll, called once the reply is set."""

    def keep(self, reply: R) -> None:
        """Set the reply."""
        assert not self.is_done
        self.reply = reply
        self.is_done = True
        for listener in self.listeners.values():
            listener()


class AnyFuture(Protocol):
    """A future of any type."""

    listeners: dict[object, Callable[[], None]]

    @property
    def is_done(self) -> bool:
        """Whether the reply is set."""


class Completed(Struct, frozen=True):
    """Wait until a future has its reply, or until a time of the monotonic clock.

    During the wait the broker's ``expire_members`` must be called as time passes: it completes a rebalance
    whose members do not return.
    """

    promise: AnyFuture
    deadline_s: float


class MoreVisible(Struct, frozen=True):
    """Wait until one of these partitions shows more records to readers, or until a time."""

    logs: tuple[PartitionLog, ...]
    deadline_s: float


class OffLockWork(Struct, frozen=True):
    """Run blocking work outside the broker lock, in any thread, then resume the operation.

    Other operations run meanwhile, so the work must use only what no other operation changes. An error of the
    work is raised in the operation. Work that was begun runs to its end, even if the operation is abandoned.
    """

    work: Callable[[], None]


Wait: TypeAlias = DurableUntil | Completed | MoreVisible | OffLockWork
Operation: TypeAlias = Generator[Wait, None, R]


@dataclass(slots=True)
class Unsynced:
    """The partitions with appended bytes that no fsync has covered yet."""

    logs: dict[int, PartitionLog] = field(default_factory=dict)
    deleted: WeakSet[PartitionLog] = field(default_factory=WeakSet)
    """Deleted partitions, for operations that still wait for them."""

    def add(self, log: PartitionLog) -> None:
        """Add a partition that was appended to."""
        self.logs[id(log)] = log

    def forget(self, log: PartitionLog) -> None:
        """Stop syncing a partition that is about to be deleted."""
        self.logs.pop(id(log), None)
        self.deleted.add(log)

    def take(self) -> list[PartitionLog]:
        """Return all of them, and clear the set."""
        taken = list(self.logs.values())
        self.logs.clear()
        return taken
