"""What the broker's answers wait for, without anybody waiting inside the broker.

An operation is a generator. It runs up to a point where something outside has to happen, yields
what that is, and is resumed once it has happened; its return value is the reply. The embedded
adapter drives operations with a lock and a condition, a server would drive the very same ones from
its event loop, a test by hand.

Between two steps other operations may run: what was checked before a ``yield`` has to be checked
again after it.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Generator
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeAlias, TypeVar
from weakref import WeakSet

from streamcore.errors import StorageError
from streamcore.log.storage.partition.partition_log import PartitionLog
from streamcore.model import Offset

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class DurableUntil:
    """Wait until partitions are on disk up to these (exclusive) offsets."""

    marks: tuple[tuple[PartitionLog, Offset], ...]

    def missing(self, deleted: Container[PartitionLog]) -> list[PartitionLog]:
        """The partitions that are not there yet. One that was deleted meanwhile has nothing to wait for."""
        return [log for log, end in self.marks if log.offsets.high_watermark < end and log not in deleted]

    def failure(self) -> StorageError | None:
        """Why one of the partitions will never be there, if so."""
        return next((error for log, _ in self.marks if (error := log.health.error) is not None), None)


@dataclass(slots=True)
class Promise(Generic[R]):
    """A reply that some other operation will give; kept once, read by who waits for it."""

    reply: R | None = None
    is_kept: bool = False
    listeners: dict[object, Callable[[], None]] = field(default_factory=dict)
    """Called once it is kept, by their owners; for those who cannot wait by asking again and again."""

    def keep(self, reply: R) -> None:
        """Give the reply."""
        assert not self.is_kept
        self.reply = reply
        self.is_kept = True
        for listener in self.listeners.values():
            listener()


class Keepable(Protocol):
    """A promise of anything."""

    listeners: dict[object, Callable[[], None]]

    @property
    def is_kept(self) -> bool:
        """Whether the reply is there."""


@dataclass(frozen=True, slots=True)
class Kept:
    """Wait until a promise is kept, or until a moment of the monotonic clock has passed.

    While somebody waits, the broker's ``expire`` must be called as time passes: it is what keeps
    the promises of a rebalance whose members do not come back.
    """

    promise: Keepable
    deadline_s: float


@dataclass(frozen=True, slots=True)
class MoreVisible:
    """Wait until one of these partitions shows more to readers, or until a moment has passed."""

    logs: tuple[PartitionLog, ...]
    deadline_s: float


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Have long work done without the broker's lock, in any thread, and go on after it.

    Everybody else goes on meanwhile, so the work must keep to what nobody else touches. What it raises is
    raised where it was asked for. Work that was begun is carried to its end, whoever stops waiting for it.
    """

    work: Callable[[], None]


Wait: TypeAlias = DurableUntil | Kept | MoreVisible | Elsewhere
Operation: TypeAlias = Generator[Wait, None, R]


@dataclass(slots=True)
class Unsynced:
    """The partitions with appended bytes that no fsync has covered yet."""

    logs: dict[int, PartitionLog] = field(default_factory=dict)
    deleted: WeakSet[PartitionLog] = field(default_factory=WeakSet)
    """Partitions that are gone, for those who still wait for them."""

    def add(self, log: PartitionLog) -> None:
        """Remember a partition that was appended to."""
        self.logs[id(log)] = log

    def forget(self, log: PartitionLog) -> None:
        """Stop syncing a partition that is about to be deleted."""
        self.logs.pop(id(log), None)
        self.deleted.add(log)

    def take(self) -> list[PartitionLog]:
        """Hand over all of them, and start anew."""
        taken = list(self.logs.values())
        self.logs.clear()
        return taken
