"""Chooses the partition of a record without a key: one that stays for a batch.

A few full batches cost less than many small ones (KIP-480). The partition of a record with a key is in
``streamcore.partitioning``.
"""

from __future__ import annotations

from random import Random


class StickyPartition:
    """The partition for records without a key: one until its batch is full, then another."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self.current = -1

    def next(self, partition_count: int) -> int:
        """Change to another partition, if there is another, and return it."""
        if self.current < 0:
            self.current = self._random.randrange(partition_count)
        elif partition_count > 1:
            step = self._random.randrange(1, partition_count)
            self.current = (self.current + step) % partition_count
        return self.current
