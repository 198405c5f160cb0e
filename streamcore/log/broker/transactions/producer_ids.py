"""Allocation of producer ids, each at most once, also across crashes.

Ids are reserved in blocks by a record of the internal topic ``__producer_ids``; an id is returned only once
the record of its block is durable. A crash leaves a block of which some ids were never used; the next start
begins after the block.

Record := key b"next" | value: the first id not reserved, decimal
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from streamcore.log.broker.internal_topic import InternalTopic, ReplayedRecord
from streamcore.log.broker.operations import Operation
from streamcore.log.records.batch import NO_PRODUCER_ID
from streamcore.model import ProducerId

TOPIC: Final = "__producer_ids"
_KEY: Final = b"next"
_MADE_UP_FROM: Final = 2**62


class ProducerIds:
    """The next producer id, and the end of the reserved ids."""

    def __init__(self, topic: InternalTopic, block_count: int) -> None:
        self._topic = topic
        self._block_count = block_count
        self._next: ProducerId = 0
        self._reserved_end: ProducerId = 0

    def recover(self, seen: Iterable[ProducerId]) -> None:
        """Continue after every id that is reserved, or that stored batches carry: a folder may be Kafka's.

        An id that no log ever allocates was invented by a client. It must not use up the remaining ids.
        """
        highest_seen = max((each for each in seen if each < _MADE_UP_FROM), default=NO_PRODUCER_ID)
        for entry in self._topic.replay():
            if isinstance(entry, ReplayedRecord) and entry.key == _KEY and entry.value is not None:
                self._reserved_end = int(entry.value)
        self._reserved_end = max(self._reserved_end, highest_seen + 1)
        self._next = self._reserved_end

    def next_id(self) -> Operation[ProducerId]:
        """Allocate an id."""
        while self._next >= self._reserved_end:
            start = self._next
            end = start + self._block_count
            self._topic.append(TOPIC, [(_KEY, str(end).encode())])
            yield self._topic.written(TOPIC)
            # Other operations may have reserved a block meanwhile, written before or after this one.
            self._reserved_end = max(self._reserved_end, end)
        producer_id = self._next
        self._next += 1
        return producer_id
