"""The nodes of joins of streams: with a table, with the versions of a table, and with another stream."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from streamcore.processing.topology.joins import JoinSpan
from streamcore.processing.topology.node import Node
from streamcore.processing.topology.specs import Function, StoreSpec
from streamcore.processing.topology.table_nodes import TableHistory, TableSource
from streamcore.serde import Serde


class TableJoin(Node, frozen=True, eq=False, kw_only=True):
    """Join each value with the table's value of the same key (or of ``on(value)``, for global tables).

    The table is not one of ``parents``: it is read, and emits no records to the join.
    """

    table: Node
    store: StoreSpec
    function: Function
    left: bool
    on: Function | None = None

    @property
    def leaves_out_null_keys(self) -> bool:
        """``False`` for a left join, which emits the record without a table value."""
        return self.on is None and not self.left


class AsOfJoin(Node, frozen=True, eq=False, kw_only=True):
    """Join each value with the value that its key had in a table at the record's event time.

    The table is not one of ``parents``: its history is read.
    """

    table: TableSource
    store: StoreSpec
    """The store of the table's history by key."""
    history: TableHistory
    decode: Callable[[bytes], Any]
    """Returns a value of the table from its bytes in a version."""
    function: Function
    left: bool

    @property
    def leaves_out_null_keys(self) -> bool:
        """``False`` for a left join, which emits the record without a table value."""
        return not self.left


class JoinSide(Struct, frozen=True, eq=False, kw_only=True):
    """One side of a stream-stream join: the store of its rows, and the serde of their values."""

    store: StoreSpec
    serde: Serde[Any]


class StreamJoin(Node, frozen=True, eq=False, kw_only=True):
    """Join the records of two streams of equal keys whose times are near; ``parents`` are left and right."""

    function: Function
    span: JoinSpan
    sides: tuple[JoinSide, JoinSide]
    """Left and right."""
    how: str
    """``inner``, ``left`` or ``outer``."""

    def keeps(self, *, is_right: bool) -> bool:
        """Whether rows of a side are emitted without a match."""
        return self.how == "outer" or (self.how == "left" and not is_right)

    @property
    def held_ms(self) -> int:
        """How far behind the watermark the records can be that the step emits because time has passed."""
        return 0 if self.how == "inner" else self.span.held_ms

    @property
    def leaves_out_null_keys(self) -> bool:
        """Whether the join is an inner one: other joins emit a record without a key as unmatched."""
        return self.how == "inner"
