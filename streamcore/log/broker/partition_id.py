"""The name of a partition in the newer group protocol (KIP-848): by the id of its topic."""

from __future__ import annotations

from typing import NamedTuple


class PartitionId(NamedTuple):
    """A partition by the id of its topic, which a new topic of the same name does not have."""

    topic_id: bytes
    partition: int
