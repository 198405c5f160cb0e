"""Readers over the broker in this process: batches are read under the lock and decoded outside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from streamcore.errors import (
    ClosedError,
    CorruptBatchError,
    CorruptDataError,
    UnknownTopicError,
    UsageError,
    with_facts,
)
from streamcore.log.broker.broker import Broker
from streamcore.log.node.operation_driver import OperationDriver
from streamcore.log.records.decode import decode_columns
from streamcore.log.storage.partition.partition_log import PartitionLog
from streamcore.model import FetchedColumns, Isolation, Offset, TopicPartition


@dataclass(slots=True)
class _Assigned:
    log: PartitionLog
    position: Offset


class EmbeddedReader:
    """Reads assigned partitions, each from its own position. For one thread at a time."""

    def __init__(self, driver: OperationDriver, broker: Broker, isolation: Isolation) -> None:
        self._driver = driver
        self._broker = broker
        self._isolation = isolation
        self._assigned: dict[TopicPartition, _Assigned] = {}
        self._is_closed = False

    def assign(self, positions: Mapping[TopicPartition, Offset]) -> None:
        """Replace the partitions that are read, and their positions."""
        self._ensure_open()
        with self._driver:
            self._assigned = {
                partition: _Assigned(self._broker.partition(partition), position)
                for partition, position in positions.items()
            }

    def fetch(self, partition: TopicPartition, *, bytes_max: int) -> FetchedColumns | None:
        """Return what is visible from the position and move the position past it; never wait."""
        self._ensure_open()
        assigned = self._of(partition)
        start = assigned.position
        with self._driver:
            if self._broker.partition(partition) is not assigned.log:
                raise UnknownTopicError(
                    with_facts(
                        "the topic was deleted and created again: assign its partitions again",
                        partition=partition,
                    )
                )
            result = assigned.log.read(start, bytes_max=bytes_max, isolation=self._isolation)
        if result.next_offset == start:
            return None
        try:
            columns = decode_columns(partition, result.data, start, result.aborted)
        except CorruptBatchError as error:
            with self._driver:
                path = assigned.log.segments.holding(start).data_path
            raise CorruptDataError(
                with_facts(
                    "a stored batch is damaged: restore the data file from a copy, and look for more "
                    "damage with `streamcore log verify`; a seek past the damage skips its records",
                    partition=partition,
                    read_from=start,
                    path=path,
                    found=error,
                )
            ) from error
        assigned.position = columns.next_offset = result.next_offset
        return columns

    def position(self, partition: TopicPartition) -> Offset:
        """Return the next offset that ``fetch`` reads."""
        return self._of(partition).position

    def visible_end(self, partition: TopicPartition) -> Offset:
        """Return where reading stops now, by this reader's isolation."""
        self._ensure_open()
        with self._driver:
            return self._of(partition).log.offsets.visible_end(self._isolation)

    def wait(self, timeout_s: float) -> bool:
        """Wait until an assigned partition has records past its position; return false on timeout."""
        self._ensure_open()
        return self._driver.wait_until(self._has_more, timeout_s)

    def on_progress(self, callback: Callable[[], None] | None) -> None:
        """Call ``callback``, from any thread, when records may have become readable."""
        self._driver.listen(self, None if callback is None else lambda _: callback())

    def close(self) -> None:
        """Stop reading."""
        self._is_closed = True
        self._driver.listen(self, None)
        self._assigned = {}

    def _has_more(self) -> bool:
        return any(
            each.log.offsets.visible_end(self._isolation) > each.position for each in self._assigned.values()
        )

    def _of(self, partition: TopicPartition) -> _Assigned:
        assigned = self._assigned.get(partition)
        if assigned is None:
            raise UsageError(with_facts("the partition is not assigned to this reader", partition=partition))
        return assigned

    def _ensure_open(self) -> None:
        if self._is_closed:
            raise ClosedError("the reader is closed")
