"""How the newer group protocol names a partition: by the id of its topic."""

from __future__ import annotations

from typing import NamedTuple


class PlaceId(NamedTuple):
    """A partition of one incarnation of a topic."""

    topic_id: bytes
    partition: int
