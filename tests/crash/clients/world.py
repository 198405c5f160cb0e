"""What the clients of one round share: the broker's address, the topics, the time, the history."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from random import Random
from typing import Final

from tests.histories.operations import Operation, Place, RecordId

SHORT_WAIT_S: Final = 0.02


@dataclass(frozen=True)
class Topic:
    """A topic that is there for the whole round."""

    name: str
    partition_count: int
    config: dict[str, str]
    has_keys: bool = False
    may_expire: bool = False

    @property
    def places(self) -> list[Place]:
        """Its partitions."""
        return [Place(self.name, partition) for partition in range(self.partition_count)]


@dataclass
class World:
    """One round. Threads only append to the history and take numbers."""

    seed: int
    port: int
    topics: Sequence[Topic]
    history: list[Operation] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    """What is no matter of the history: bugs of the clients, answers that make no sense."""
    is_over: threading.Event = field(default_factory=threading.Event)
    """Set when clients shall come to an end."""

    def __post_init__(self) -> None:
        self._ids = count(1)
        self._names = count(1)

    def random_for(self, client: str) -> Random:
        """The same choices for a client in each run of a seed."""
        return Random(f"{self.seed} {client}")

    def new_ids(self, record_count: int) -> tuple[RecordId, ...]:
        """Ids that no other record has."""
        return tuple(next(self._ids) for _ in range(record_count))

    def new_name(self, client: str) -> str:
        """A name that nothing else has."""
        return f"{client}.{next(self._names)}"

    def topic(self, name: str) -> Topic:
        """A topic by its name."""
        return next(topic for topic in self.topics if topic.name == name)

    def places(self, *topics: str) -> list[Place]:
        """All partitions of topics."""
        return [place for topic in self.topics if topic.name in topics for place in topic.places]

    def record(self, operation: Operation) -> None:
        """Add to the history."""
        self.history.append(operation)


def now_us() -> int:
    """The clock of histories."""
    return time.monotonic_ns() // 1000


def now_ms() -> int:
    """The time that records carry."""
    return int(time.time() * 1000)
