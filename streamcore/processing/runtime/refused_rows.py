"""A task that takes its records one by one, and the rows that its steps do not take.

Both serve to find a record that makes a value which cannot be stored (``narrowing``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from streamcore.errors import SerdeError, StreamCoreError
from streamcore.model import Offset, TopicPartition
from streamcore.processing.operators.batch import Batch
from streamcore.processing.operators.guard import Guard
from streamcore.processing.runtime.inputs import RecordQueue
from streamcore.processing.topology.nodes import Node, StoreSpec
from streamcore.state.keys import key_codec

Place: TypeAlias = tuple[TopicPartition, Offset]
"""Where a record was read."""


class RefusedRows:
    """The rows that were made from one record; the error policy of the step decides about the record."""

    def __init__(
        self,
        record: Place | None,
        key: bytes | None,
        reason: StreamCoreError,
        guard: Guard,
        store: StoreSpec,
    ) -> None:
        """Create the rows of a record, or of the passing of time.

        Args:
            key: the bytes of the key in the store whose value cannot be stored, if they are known.
        """
        self._record = record
        self._key = key
        self._reason = reason
        self._guard = guard
        self._keys = key_codec(store.key_type)

    def left_out(self, batch: Batch | None) -> Batch | None:
        """Return the batch without these rows.

        Raises:
            StreamCoreError: by policy; it names the record.
        """
        if batch is None:
            return None
        rows = self._rows(batch)
        if not rows:
            return batch
        self._guard.failed(batch, rows[0], self._reason)
        gone = set(rows)
        return batch.take([index for index in range(len(batch)) if index not in gone])

    def _rows(self, batch: Batch) -> list[int]:
        """Return the rows of the record under the key that failed; all of its rows if none has this key."""
        made = [index for index, origin in enumerate(batch.origins) if self._is_refused(batch, origin)]
        return [index for index in made if self._is_failed(batch.keys[index])] or made

    def _is_refused(self, batch: Batch, origin: int) -> bool:
        if self._record is None:
            return True
        partition, offset = self._record
        record = batch.source.record_at(origin)
        return (TopicPartition(record.topic, record.partition), record.offset) == (partition, offset)

    def _is_failed(self, key: object) -> bool:
        """Whether the bytes of a key are in those of the store's key, beside the start or end of a window."""
        if self._key is None:
            return False
        try:
            return self._keys.encode(key) in self._key
        except (SerdeError, TypeError):
            return False


class OneByOne:
    """The next record of a task, and what its steps do not take."""

    def __init__(self, refused: Mapping[Node, Sequence[RefusedRows]]) -> None:
        self._refused = refused
        self._queue: RecordQueue | None = None

    def give(self, queue: RecordQueue) -> None:
        """Give the task the next record of one of its inputs."""
        self._queue = queue

    def taken(self) -> RecordQueue | None:
        """Return the input whose next record the task takes now; ``None`` for no record."""
        queue, self._queue = self._queue, None
        return queue

    def inputs_of(
        self, node: Node, parents: Sequence[int], outputs: list[Batch | None]
    ) -> list[Batch | None]:
        """Return the outputs of all steps, those of a step's parents as far as the step takes them.

        Raises:
            StreamCoreError: by the policy of the step.
        """
        refused = self._refused.get(node, ())
        inputs = list(outputs) if refused else outputs
        for rows in refused:
            for place in parents:
                inputs[place] = rows.left_out(inputs[place])
        return inputs
