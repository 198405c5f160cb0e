"""Which parts of a worker write records that other parts read."""

from __future__ import annotations

from collections.abc import Iterable

from streamcore.model import TopicPartition
from streamcore.processing.runtime.parts import Part


class Feeding:
    """The parts that have written to each partition."""

    def __init__(self) -> None:
        self._writers: dict[TopicPartition, list[Part]] = {}

    def note(self, parts: Iterable[Part]) -> None:
        """Note what parts write with the next commit."""
        for part in parts:
            for partition in part.outputs.partitions():
                writers = self._writers.setdefault(partition, [])
                if part not in writers:
                    writers.append(part)

    def gets_more(self, part: Part) -> bool:
        """Whether another part that is at work writes records for a part.

        Each of its commits shows the part few records. Were these committed at once, a worker would do little
        but commit.
        """
        writers = [writer for queue in part.queues for writer in self._writers.get(queue.partition, ())]
        return any(not writer.is_idle for writer in writers if writer is not part)
