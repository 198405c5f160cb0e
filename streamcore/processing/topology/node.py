"""What all nodes of a topology have in common; ``nodes`` has the nodes."""

from __future__ import annotations

from msgspec import Struct

from streamcore.processing.topology.error_policy import ErrorPolicy
from streamcore.processing.topology.specs import TopicSpec


class Node(Struct, frozen=True, eq=False, kw_only=True):
    """A declared step. ``on_error`` of ``None`` means the application's policy."""

    name: str
    parents: tuple[Node, ...] = ()
    on_error: ErrorPolicy | None = None
    late: TopicSpec | None = None
    """The topic that receives the records which come too late for the step."""

    @property
    def leaves_out_null_keys(self) -> bool:
        """Whether the step emits nothing for a record without a key, so that such records need not reach
        it.
        """
        return False
