"""The nodes of a topology: what an application declared, frozen, with nothing running.

A node names its parents; the graph is whatever can be reached from them. Nodes are compared by
identity. Types are erased here (``Any``): the DSL in ``stream.py`` and ``table.py`` keeps them.

Order: an event passes the nodes in the order in which they were declared (which is a topological
order); a node with several parents takes what its first parent gave first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from streamcore.processing.topology.aggregations import Aggregator
from streamcore.processing.topology.error_policy import ErrorPolicy
from streamcore.processing.topology.windows import TimeWindows
from streamcore.serde import Serde

Function: TypeAlias = Callable[..., Any]


@dataclass(frozen=True, eq=False, kw_only=True)
class TopicSpec:
    """A topic that the application reads or writes.

    ``partition_count`` is ``None`` where the application does not care: the topic as it exists,
    or one partition when it has to be created.
    """

    name: str
    key_serde: Serde[Any]
    value_serde: Serde[Any]
    key_type: Any = None
    value_type: Any = None
    partition_count: int | None = None
    timestamp: Function | None = None
    idle_after_ms: int | None = None
    max_ahead_ms: int | None = None
    """How far ahead of the clock an event time may be; ``None`` for any."""
    skips_nulls: bool = False
    """Whether records without a value are left out of the topic's stream; tables take them in any case."""
    on_error: ErrorPolicy | None = None
    config: dict[str, str] = field(default_factory=dict)
    internal: bool = False


@dataclass(frozen=True, eq=False, kw_only=True)
class StoreSpec:
    """A named store of each task: its name is the identity of its changelog and files.

    ``source_topic`` is set when a topic is its own changelog. ``aggregators`` tell tools how to
    show what is stored; the one of a table of plain values has an empty name. ``value_serde`` encodes
    one stored value.
    """

    name: str
    key_type: Any
    value_serde: Serde[Any]
    windows: TimeWindows | None = None
    aggregators: tuple[tuple[str, Aggregator], ...] = ()
    result: Function | None = None
    source_topic: TopicSpec | None = None
    default: Any = None
    copies_on_read: bool = False

    @property
    def is_kept_by_step(self) -> bool:
        """Whether a step of the topology writes it: then user code only reads it."""
        return self.source_topic is not None or bool(self.aggregators)


@dataclass(frozen=True, eq=False, kw_only=True)
class Node:
    """A declared step. ``on_error`` of ``None`` means the application's."""

    name: str
    parents: tuple[Node, ...] = ()
    on_error: ErrorPolicy | None = None

    @property
    def leaves_out_null_keys(self) -> bool:
        """Whether the step gives nothing for a record without a key, so that nobody need bring it one."""
        return False


@dataclass(frozen=True, eq=False, kw_only=True)
class Source(Node):
    """Records of a topic."""

    topic: TopicSpec


@dataclass(frozen=True, eq=False, kw_only=True)
class Map(Node):
    """Each value by another."""

    function: Function


@dataclass(frozen=True, eq=False, kw_only=True)
class FlatMap(Node):
    """Each value by any number of values."""

    function: Function


@dataclass(frozen=True, eq=False, kw_only=True)
class MapRecord(Node):
    """Each record by another; the key may change."""

    function: Function


@dataclass(frozen=True, eq=False, kw_only=True)
class FlatMapRecord(Node):
    """Each record by any number of records; keys may change."""

    function: Function


@dataclass(frozen=True, eq=False, kw_only=True)
class Filter(Node):
    """Only the values for which ``function`` is true (or false, if ``negated``)."""

    function: Function
    negated: bool = False


@dataclass(frozen=True, eq=False, kw_only=True)
class Peek(Node):
    """Call a function on each value and pass the value on."""

    function: Function


@dataclass(frozen=True, eq=False, kw_only=True)
class Foreach(Node):
    """Call a function on each value; the end of the stream."""

    function: Function


@dataclass(frozen=True, eq=False, kw_only=True)
class GroupBy(Node):
    """A new key for each record, computed from the value."""

    function: Function


@dataclass(frozen=True, eq=False, kw_only=True)
class Branch(Node):
    """One arm of a split: values for which ``function`` is true and no earlier arm's was.

    ``function`` is ``None`` in the arm that takes the rest.
    """

    function: Function | None
    earlier: tuple[Function, ...] = ()


@dataclass(frozen=True, eq=False, kw_only=True)
class Merge(Node):
    """The records of all parents."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Repartition(Node):
    """Through an internal topic, so that equal keys meet in one partition.

    The parent writes the topic; the children of this node read it, in another sub-topology.
    """

    topic: TopicSpec


@dataclass(frozen=True, eq=False, kw_only=True)
class To(Node):
    """Write to a topic."""

    topic: TopicSpec


@dataclass(frozen=True, eq=False, kw_only=True)
class Aggregate(Node):
    """Fold the values of each key, or of each key and window, into a store; emits each change.

    Emits nothing for which no child asks.
    """

    store: StoreSpec
    late: TopicSpec | None = None

    @property
    def leaves_out_null_keys(self) -> bool:
        """Only records with a key are folded."""
        return True


@dataclass(frozen=True, eq=False, kw_only=True)
class Final(Node):
    """One result per key and window, when the window closes."""

    store: StoreSpec


@dataclass(frozen=True, eq=False, kw_only=True)
class TableSource(Node):
    """A store that follows a topic: the newest value of each key; emits each change."""

    store: StoreSpec


@dataclass(frozen=True, eq=False, kw_only=True)
class GlobalTable(Node):
    """A store that holds a whole topic on every worker. It has no parents and emits nothing."""

    store: StoreSpec
    topic: TopicSpec


@dataclass(frozen=True, eq=False, kw_only=True)
class TableJoin(Node):
    """Each value with the table's value of the same key (or of ``on(value)``, for global tables).

    Not part of ``parents``: the table is read, it gives no records.
    """

    table: Node
    store: StoreSpec
    function: Function
    left: bool
    on: Function | None = None

    @property
    def leaves_out_null_keys(self) -> bool:
        """A left join gives the record without a table value."""
        return self.on is None and not self.left


@dataclass(frozen=True, eq=False, kw_only=True)
class AgentNode(Node):
    """A user coroutine over the stream."""

    function: Function
    concurrency: int
    tables: tuple[StoreSpec, ...] = ()
    keyed_only: bool = False
    """Whether the stream's keys were changed before, so that records without a key are left out."""

    @property
    def leaves_out_null_keys(self) -> bool:
        """What ``keyed_only`` says."""
        return self.keyed_only
