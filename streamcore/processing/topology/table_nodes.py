"""The nodes of tables: stores that follow topics, tables made of tables, and the changes that they emit."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from streamcore.processing.topology.node import Node
from streamcore.processing.topology.specs import Function, StoreSpec, TopicSpec
from streamcore.processing.topology.versions import HistorySpan


class TableHistory(Struct, frozen=True, eq=False, kw_only=True):
    """The stores of the versions of a table, whose layout ``versions`` describes."""

    span: HistorySpan
    keys: StoreSpec
    """For each key the base and the buckets."""
    versions: StoreSpec
    """The versions of a key in a bucket."""


class TableSource(Node, frozen=True, eq=False, kw_only=True):
    """A store that follows a topic: the newest value of each key; emits each change."""

    store: StoreSpec
    history: TableHistory | None = None
    """The versions of the rows, if the table keeps them."""


class Regroup(Node, frozen=True, eq=False, kw_only=True):
    """Emit the changes of a table under another key: the old row taken back, then the new one added.

    ``function`` makes of a value the row (new key, value), which the store keeps by the table's key. Emitted
    values are lists of pairs (whether the row is added, value): of both rows if they have one key. A row
    whose new key is ``None`` is not emitted.
    """

    store: StoreSpec
    function: Function
    new_key_type: Any = None

    @property
    def leaves_out_null_keys(self) -> bool:
        """``True``: only rows with a key are in a table."""
        return True


class GlobalTable(Node, frozen=True, eq=False, kw_only=True):
    """A store that holds a whole topic on every worker. It has no parents and emits nothing."""

    store: StoreSpec
    topic: TopicSpec


class RowMap(Node, frozen=True, eq=False, kw_only=True):
    """Replace each value of a table; a deletion stays one. ``None`` is no row."""

    function: Function


class RowFilter(Node, frozen=True, eq=False, kw_only=True):
    """Keep the rows of a table for which ``function`` is true (or false, if ``negated``).

    A change to a value that does not pass is a deletion for the steps behind.
    """

    function: Function
    negated: bool = False


class RowJoin(Node, frozen=True, eq=False, kw_only=True):
    """One half of a join of two tables: for each change of its parent, the row of the result.

    It reads the other table, which is not one of ``parents``. The ``DerivedTable`` behind the two halves
    keeps the rows.
    """

    table: Node
    store: StoreSpec
    """The store of the other table."""
    function: Function
    is_right: bool
    """Whether the parent is the right table, whose value is the second argument."""
    needs_own: bool
    """Whether there is a row only if the parent has one."""
    needs_other: bool
    """Whether there is a row only if the other table has one."""


class DerivedTable(Node, frozen=True, eq=False, kw_only=True):
    """The store of a table that is made of other tables; emits each change. ``None`` deletes a row.

    The deletion of a row that is not there is left out.
    """

    store: StoreSpec
