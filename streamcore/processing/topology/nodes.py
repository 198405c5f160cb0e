"""The nodes of a topology: the frozen declarations of an application, with nothing running.

A node names its parents; the graph is all nodes that can be reached from them. Nodes are compared by
identity. Types are erased here (``Any``): the DSL in ``stream.py`` and ``table.py`` keeps them. Nodes of
tables, of joins and of references between tables are in modules of their own, and are named here, too.

Order: an event passes the nodes in the order in which they were declared (which is a topological
order); a node with several parents takes the output of its first parent first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from streamcore.processing.topology.error_policy import Retry
from streamcore.processing.topology.join_nodes import AsOfJoin as AsOfJoin
from streamcore.processing.topology.join_nodes import JoinSide as JoinSide
from streamcore.processing.topology.join_nodes import StreamJoin as StreamJoin
from streamcore.processing.topology.join_nodes import TableJoin as TableJoin
from streamcore.processing.topology.node import Node as Node
from streamcore.processing.topology.reference_nodes import AnswerReferences as AnswerReferences
from streamcore.processing.topology.reference_nodes import JoinAnswers as JoinAnswers
from streamcore.processing.topology.reference_nodes import Refer as Refer
from streamcore.processing.topology.specs import Function as Function
from streamcore.processing.topology.specs import StoreSpec as StoreSpec
from streamcore.processing.topology.specs import TopicSpec as TopicSpec
from streamcore.processing.topology.table_nodes import DerivedTable as DerivedTable
from streamcore.processing.topology.table_nodes import GlobalTable as GlobalTable
from streamcore.processing.topology.table_nodes import Regroup as Regroup
from streamcore.processing.topology.table_nodes import RowFilter as RowFilter
from streamcore.processing.topology.table_nodes import RowJoin as RowJoin
from streamcore.processing.topology.table_nodes import RowMap as RowMap
from streamcore.processing.topology.table_nodes import TableHistory as TableHistory
from streamcore.processing.topology.table_nodes import TableSource as TableSource
from streamcore.serde import Serde


class Source(Node, frozen=True, eq=False, kw_only=True):
    """Read the records of a topic."""

    topic: TopicSpec


class Map(Node, frozen=True, eq=False, kw_only=True):
    """Replace each value by another."""

    function: Function


class FlatMap(Node, frozen=True, eq=False, kw_only=True):
    """Replace each value by any number of values."""

    function: Function


class MapRecord(Node, frozen=True, eq=False, kw_only=True):
    """Replace each record by another; the key may change."""

    function: Function


class FlatMapRecord(Node, frozen=True, eq=False, kw_only=True):
    """Replace each record by any number of records; keys may change."""

    function: Function


class Filter(Node, frozen=True, eq=False, kw_only=True):
    """Keep the values for which ``function`` is true (or false, if ``negated``)."""

    function: Function
    negated: bool = False


class Peek(Node, frozen=True, eq=False, kw_only=True):
    """Call a function on each value and pass the value on."""

    function: Function


class Foreach(Node, frozen=True, eq=False, kw_only=True):
    """Call a function on each value; nothing follows this step."""

    function: Function


class Sink(Node, frozen=True, eq=False, kw_only=True):
    """Call a function with lists of values, at least once for each; nothing follows this step."""

    function: Function
    batch: int
    """How many values a call has at most."""
    retry: Retry | None
    """How a failing call is repeated before the error policy applies."""
    with_records: bool = False
    """Whether the lists hold records instead of values."""


class Process(Node, frozen=True, eq=False, kw_only=True):
    """Run a user's object on records and timers, with stores of its own."""

    function: Function
    """The object's ``on_record``, as its class defines it: for the tables that it names."""
    make: Callable[[Any], Any]
    """Returns the object of a task for its context (``topology.processors``)."""
    tables: tuple[StoreSpec, ...]
    """The stores of the object, then ``event_timers`` and ``clock_timers``."""
    event_timers: StoreSpec
    clock_timers: StoreSpec


class GroupBy(Node, frozen=True, eq=False, kw_only=True):
    """Give each record a new key, computed from the value."""

    function: Function


class Split(Node, frozen=True, eq=False, kw_only=True):
    """Find the arm of each value: the first whose function is true, or the rest.

    Emits pairs of the arm's index and the value, for the arms behind it. An error names the arm whose
    function failed.
    """

    arms: tuple[tuple[str, Function], ...]
    """The node name and the function of each arm but the rest, whose index is the number of these."""


class Branch(Node, frozen=True, eq=False, kw_only=True):
    """One arm of a split, whose parent is the ``Split``: the values of its index.

    ``function`` is ``None`` in the arm that takes the rest. The ``Split`` calls it; the arm does not.
    """

    function: Function | None
    index: int


class Sample(Node, frozen=True, eq=False, kw_only=True):
    """Pass a fraction of the records, chosen by a hash of where each was read."""

    fraction: float


class KeyInHeader(Node, frozen=True, eq=False, kw_only=True):
    """Give each record the key that a function makes of its value, and keep its own key in a header."""

    function: Function
    key_serde: Serde[Any]
    """The serde of the record's own key."""


class RateLimit(Node, frozen=True, eq=False, kw_only=True):
    """Pass a record if no span of the store's size that holds its time has more than ``count`` of its key.

    ``dedupe`` is a limit of one.
    """

    store: StoreSpec
    count: int
    passes_unjudged: bool = False
    """Whether records without a key and late ones pass, as for ``dedupe``; otherwise they are left out."""
    key_serde: Serde[Any] | None = None
    """The serde of the key in the header of ``KeyInHeader``, which becomes the record's key again."""

    @property
    def leaves_out_null_keys(self) -> bool:
        """Whether records without a key are left out."""
        return not self.passes_unjudged


class Take(Node, frozen=True, eq=False, kw_only=True):
    """Pass the first ``count`` records of each key in each span of the store's size, aligned to 1970."""

    store: StoreSpec
    count: int

    @property
    def leaves_out_null_keys(self) -> bool:
        """``True``: a record without a key belongs to no key's first ones."""
        return True


class Every(Node, frozen=True, eq=False, kw_only=True):
    """Emit the newest change of each key, at most once in each interval of event time.

    The watermark of the task ends an interval. The store keeps the changes of the interval under way: for
    each key the time of its newest change, and the value. The values of ``table`` are not kept: they are the
    results that the table has when the interval ends.
    """

    store: StoreSpec
    every_ms: int
    table: StoreSpec | None = None
    """The store of an aggregation without windows, if that is the parent and every change of it counts."""
    keys_max: int | None = None
    """How many keys a task holds changes of; one more emits all of them before the interval has ended."""

    @property
    def leaves_out_null_keys(self) -> bool:
        """``True``: a change is that of a key."""
        return True

    def interval_of(self, time_ms: int) -> int:
        """Return the number of the interval that holds a time; -1 before 1970."""
        return max(-1, time_ms // self.every_ms)


class Merge(Node, frozen=True, eq=False, kw_only=True):
    """Pass on the records of all parents."""


class Repartition(Node, frozen=True, eq=False, kw_only=True):
    """Write to an internal topic, so that equal keys are in one partition.

    The parent writes the topic; the children of this node read it, in another sub-topology.
    """

    topic: TopicSpec


class To(Node, frozen=True, eq=False, kw_only=True):
    """Write to a topic."""

    topic: TopicSpec


class Aggregate(Node, frozen=True, eq=False, kw_only=True):
    """Fold the values of each key, or of each key and window, into a store; emits each change.

    Emits nothing where no child reads the changes.
    """

    store: StoreSpec
    late_value: Function | None = None
    """Makes of a late value what is written to the topic, where the values of the step are marked."""
    follows_rows: bool = False
    """Whether the values are changes of a table's rows: of what one record changes, the last is emitted."""

    @property
    def leaves_out_null_keys(self) -> bool:
        """``True``: only records with a key are folded."""
        return True


class Final(Node, frozen=True, eq=False, kw_only=True):
    """Emit one result per key and window, when the window closes."""

    store: StoreSpec


class AgentNode(Node, frozen=True, eq=False, kw_only=True):
    """Run a user coroutine over the stream."""

    function: Function
    concurrency: int
    tables: tuple[StoreSpec, ...] = ()
    keyed_only: bool = False
    """Whether an earlier step changed the stream's keys, so that records without a key are left out."""

    @property
    def leaves_out_null_keys(self) -> bool:
        """The value of ``keyed_only``."""
        return self.keyed_only


LOOKUPS = TableJoin | AsOfJoin | RowJoin | AnswerReferences
"""Steps that read the store of a table, for records that do not come from the table."""

EMIT_BY_TIME = Every | Final | StreamJoin | Process
"""Steps that can emit records because the watermark moves."""

TABLE_STEPS = TableSource | DerivedTable | RowMap | RowFilter | RowJoin | JoinAnswers
"""Steps between a topic and a table that follows it: they do not read the topic as a stream."""


def reads_store(node: Node) -> bool:
    """Whether a step reads the results of its parent, an aggregation, in the store and not as records."""
    return isinstance(node, Final) or (isinstance(node, Every) and node.table is not None)


def own_stores(node: Node) -> tuple[StoreSpec, ...]:
    """Return the stores that only this step writes."""
    if isinstance(node, StreamJoin):
        return tuple(side.store for side in node.sides)
    if isinstance(node, TableSource) and node.history is not None:
        return (node.store, node.history.keys, node.history.versions)
    if isinstance(node, Aggregate) and node.store.sets is not None:
        return (node.store, node.store.sets)
    if isinstance(node, AnswerReferences):
        return (node.references,)
    if isinstance(
        node,
        Aggregate | TableSource | DerivedTable | Regroup | RateLimit | Take | Every | Refer | JoinAnswers,
    ):
        return (node.store,)
    return ()
