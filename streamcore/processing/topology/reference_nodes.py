"""The nodes of a foreign-key join of tables; ``references`` explains what they send each other."""

from __future__ import annotations

from typing import Any

from streamcore.processing.topology.node import Node
from streamcore.processing.topology.specs import Function, StoreSpec
from streamcore.serde import Serde


class Refer(Node, frozen=True, eq=False, kw_only=True):
    """Find the row of another table that each row of a table refers to, by ``function``: the left part of a
    foreign-key join (``references``).

    Emits pairs of an arm and what is sent: (0, ``Note``) under the key of the row, and (1, ``Reference``)
    under the foreign key, for the ``Branch`` steps behind it. The store keeps the bytes of the foreign key of
    each row that refers to another.
    """

    store: StoreSpec
    function: Function
    foreign_key_type: Any
    """The type of the keys of the other table."""
    value_serde: Serde[Any]
    """The serde of the values of the rows."""

    @property
    def leaves_out_null_keys(self) -> bool:
        """``True``: only rows with a key are in a table."""
        return True


class AnswerReferences(Node, frozen=True, eq=False, kw_only=True):
    """Answer references to the rows of a table: the right part of a foreign-key join.

    The parents are the topic of ``Reference`` values, and the table. A reference is kept and answered with
    the row as it is then; a change of a row answers all references to it, in the order of the bytes of the
    keys of the left rows. Emits answers, ``Note``, under the keys of the left rows.
    """

    table: Node
    store: StoreSpec
    """The store of the table."""
    references: StoreSpec
    """The references: (bytes of the foreign key, bytes of the left row's key) -> stamp."""
    row_key_type: Any
    """The type of the keys of the left rows."""
    value_serde: Serde[Any]
    """The serde of the values of the table."""

    @property
    def leaves_out_null_keys(self) -> bool:
        """``True``: no row has the key ``None``."""
        return True


class JoinAnswers(Node, frozen=True, eq=False, kw_only=True):
    """Join left rows with the answers to their references: the last part of a foreign-key join.

    The parent is the topic of ``Note`` values; emits changes of the rows of the result, ``None`` for no
    row. The store keeps the left rows that refer to another row.
    """

    store: StoreSpec
    function: Function
    left: bool
    """Whether there is a row without a right value."""
    left_serde: Serde[Any]
    right_serde: Serde[Any]

    @property
    def leaves_out_null_keys(self) -> bool:
        """``True``: no row has the key ``None``."""
        return True
