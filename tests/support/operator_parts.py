"""What operators stand on, in memory: a source of batches, and a place for failures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from streamcore.model import Headers, Record
from streamcore.processing.operators.batch import Batch, BatchSource
from streamcore.processing.operators.guard import Guard
from streamcore.processing.topology.error_policy import ErrorPolicy, stop


@dataclass
class Fetched:
    """Records of the topic ``in``, partition 3, from offset 100; each is as old as its place."""

    values: list[Any]
    partition_times_ms: Sequence[int] = ()
    on_error: ErrorPolicy | None = None

    def __post_init__(self) -> None:
        self.partition_times_ms = self.partition_times_ms or list(range(len(self.values)))

    def policy_at(self, origin: int) -> ErrorPolicy | None:
        return self.on_error

    def places_at(self, origins: Sequence[int]) -> tuple[list[str], list[int], list[int]]:
        return ["in"] * len(origins), [3] * len(origins), [100 + origin for origin in origins]

    def record_at(self, origin: int) -> Record[bytes | None, bytes | None]:
        return Record(b"k", repr(self.values[origin]).encode(), origin, (), "in", 3, 100 + origin)


def batch_of(
    values: list[Any], *, keys: list[Any] | None = None, headers: list[Headers] | None = None
) -> Batch:
    """A batch with these values, whose times and origins are their places."""
    places = list(range(len(values)))
    source: BatchSource = Fetched(values)
    return Batch(keys if keys is not None else list(values), values, places, places, headers, source)


@dataclass
class Failures:
    """Remembers what the guards of a test did with failing records."""

    counted: list[tuple[str, str]] = field(default_factory=list)
    left_out: list[tuple[str, str, int]] = field(default_factory=list)
    dead: list[tuple[str, Any, str, str]] = field(default_factory=list)
    waited_ms: list[int] = field(default_factory=list)

    def count_failure(
        self, node: str, policy: str, record: Record[bytes | None, bytes | None], error: BaseException
    ) -> None:
        self.counted.append((node, policy))

    def count_left_out(self, node: str, reason: str, count: int) -> None:
        self.left_out.append((node, reason, count))

    def dead_letter(self, topic: str, batch: Batch, position: int, node: str, error: BaseException) -> None:
        self.dead.append((topic, batch.values[position], node, repr(error)))

    def wait_ms(self, duration_ms: int) -> None:
        self.waited_ms.append(duration_ms)


def guard(policy: ErrorPolicy = stop, failures: Failures | None = None) -> Guard:
    return Guard("step", policy, failures or Failures())
