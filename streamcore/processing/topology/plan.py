"""Splits a declared application into sub-topologies. Pure.

A sub-topology is a set of nodes that are connected without a repartition topic between them; a shared table
connects nodes, too. A task is one sub-topology and one partition number (``partitions.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from streamcore.errors import TopologyError, fact_text
from streamcore.processing.topology.nodes import (
    EMIT_BY_TIME,
    LOOKUPS,
    TABLE_STEPS,
    AgentNode,
    AnswerReferences,
    AsOfJoin,
    Every,
    Final,
    GlobalTable,
    Node,
    Process,
    Repartition,
    Sink,
    Source,
    StoreSpec,
    StreamJoin,
    TableSource,
    To,
    TopicSpec,
    own_stores,
)


class Input(Struct, frozen=True):
    """A topic that a sub-topology reads, and the node where its records enter.

    ``meets_in_a_store`` is set where two steps of its records use one store: in a batch the second would see
    what the first wrote for later events.
    """

    topic: TopicSpec
    root: Node
    meets_in_a_store: bool
    holds_time: bool = True
    """Whether the watermark of a task waits for the input: not for a topic that is only read as a table."""
    has_marks: bool = False
    """Whether the input is a repartition topic whose writers write how far they are (``marks.py``)."""


class MarkedTopic(Struct, frozen=True):
    """The marks that the tasks of a sub-topology write into a repartition topic: how far each task is."""

    held_ms: int = 0
    """How far behind the time of the mark the records can be that the topic gets, in milliseconds."""
    fed_by: frozenset[str] | None = None
    """The input topics whose least time the mark says; ``None`` for the watermark of the task.

    They are named where the sub-topology reads, maybe through others, what it writes: its watermark waits for
    the topic, and must not be waited for.
    """


class SubTopology(Struct, frozen=True):
    """A part of the topology with no repartition inside. Its name is that of its first store, agent or topic.

    The order of ``inputs`` is the order in which records of equal times are taken: topics read as tables
    first, then by the topic's name, wherever the program declares them.
    """

    name: str
    nodes: tuple[Node, ...]
    inputs: tuple[Input, ...]
    stores: tuple[StoreSpec, ...]
    tables_by_node: Mapping[Node, tuple[StoreSpec, ...]]
    merges_inputs: bool = True
    """Whether a round can hold records of several inputs. It cannot where functions of the application would
    then read tables that change within the round.
    """
    held_ms: Mapping[Node, int] = field(default_factory=dict)
    """Nodes after final results -> how far behind the watermark the records can be that they still get."""
    keyed_only: frozenset[Node] = frozenset()
    """The repartition steps whose readers all leave out records without a key: these are not written."""
    marked: Mapping[str, MarkedTopic] = field(default_factory=dict)
    """Repartition topic that gets marks -> what its marks say."""

    @property
    def has_windows(self) -> bool:
        """Whether a step uses the watermark."""
        return any(store.windows is not None or store.holds_changes for store in self.stores)

    def held_ms_of_joins(self, table: Node) -> int:
        """Return how many milliseconds behind the watermark a record can look up a version of a table."""
        joins = [node for node in self.nodes if isinstance(node, AsOfJoin) and node.table is table]
        return max((self.held_ms.get(join, 0) for join in joins), default=0)

    @property
    def emits_by_time(self) -> bool:
        """Whether a step can emit records because the watermark moves."""
        return any(isinstance(node, EMIT_BY_TIME) for node in self.nodes)

    def store_of(self, name: str) -> StoreSpec | None:
        """Return the store of a name."""
        return next((store for store in self.stores if store.name == name), None)


class Plan(Struct, frozen=True):
    """A whole application, split."""

    app_id: str
    sub_topologies: tuple[SubTopology, ...]
    global_tables: tuple[GlobalTable, ...]
    topics: tuple[TopicSpec, ...]


def make_plan(
    app_id: str,
    nodes: Sequence[Node],
    app_tables: Sequence[StoreSpec],
    topics: Sequence[TopicSpec],
    tables_used_by: Callable[[Callable[..., Any]], tuple[StoreSpec, ...]],
) -> Plan:
    """Plan an application.

    Raises:
        TopologyError: two stores have one name.
    """
    named = {node: _tables_named_by(node, tables_used_by) for node in nodes}
    used = {node: _tables_of(node, named[node]) for node in nodes}
    _refuse_equal_names(nodes, app_tables)
    groups = _grouped(nodes, used)
    for members in groups:
        _add_tables_read(members, named, used)
    keyed_only = _keyed_only(nodes)
    sub_topologies = []
    names: set[str] = set()
    for members in groups:
        sub_topology = _sub_topology(members, used, names, keyed_only)
        if sub_topology is not None:
            names.add(sub_topology.name)
            sub_topologies.append(sub_topology)
    return Plan(
        app_id=app_id,
        sub_topologies=_with_marks(sub_topologies),
        global_tables=tuple(node for node in nodes if isinstance(node, GlobalTable)),
        topics=tuple(topics),
    )


def _tables_named_by(
    node: Node, tables_used_by: Callable[[Callable[..., Any]], tuple[StoreSpec, ...]]
) -> tuple[StoreSpec, ...]:
    function = getattr(node, "function", None)
    return () if function is None else tables_used_by(function)


def _tables_of(node: Node, named: Sequence[StoreSpec]) -> tuple[StoreSpec, ...]:
    """Return the tables that a node's task must own: those that its function may write, and declared ones."""
    found = [store for store in named if not store.is_kept_by_step]
    if isinstance(node, AgentNode | Process):
        found += [store for store in node.tables if not any(store is known for known in found)]
    return tuple(found)


def _add_tables_read(
    members: Sequence[Node],
    named: Mapping[Node, Sequence[StoreSpec]],
    used: dict[Node, tuple[StoreSpec, ...]],
) -> None:
    """Add the tables that functions read and that steps of the same sub-topology write.

    A function that names a table of another sub-topology does not unite the two: the function would see the
    keys of its partition number, which are other keys in the other sub-topology. Only ``tables=`` unites
    them.
    """
    kept = [store for node in members for store in own_stores(node)]
    for node in members:
        read = [store for store in named[node] if any(store is known for known in kept)]
        known = used[node]
        used[node] = (*known, *(store for store in read if not any(store is other for other in known)))


def _refuse_equal_names(nodes: Iterable[Node], app_tables: Iterable[StoreSpec]) -> None:
    by_name: dict[str, StoreSpec] = {}
    stores = [store for node in nodes for store in own_stores(node)]
    of_global_tables = [node.store for node in nodes if isinstance(node, GlobalTable)]
    for store in [*stores, *of_global_tables, *app_tables]:
        if by_name.setdefault(store.name, store) is not store:
            raise TopologyError(
                f"two tables have one name, rename one; their state would mix: {fact_text(table=store.name)}"
            )


def _grouped(nodes: Sequence[Node], used: Mapping[Node, tuple[StoreSpec, ...]]) -> list[list[Node]]:
    """Return the groups of connected nodes, each group in order of declaration."""
    leader: dict[object, object] = {}

    def find(item: object) -> object:
        leader.setdefault(item, item)
        while leader[item] is not item:
            item = leader[item]
        return item

    def unite(first: object, second: object) -> None:
        leader[find(second)] = find(first)

    for node in nodes:
        if isinstance(node, GlobalTable):
            continue
        find(node)
        for parent in node.parents:
            unite(_reading_side(parent), node)
        if isinstance(node, LOOKUPS) and not isinstance(node.table, GlobalTable):
            unite(_reading_side(node.table), node)
        for store in [*own_stores(node), *used[node]]:
            unite(store, node)
    members: dict[object, list[Node]] = {}
    for node in nodes:
        if not isinstance(node, GlobalTable):
            members.setdefault(find(node), []).append(node)
        if isinstance(node, Repartition) and _reading_side(node) in leader:
            members.setdefault(find(_reading_side(node)), [])
    return [group for group in members.values() if group]


def _reading_side(node: Node) -> object:
    """Return the node by which a reader is connected: a repartition node belongs to its writers, its readers
    to its topic.
    """
    return node.topic if isinstance(node, Repartition) else node


def _sub_topology(
    members: list[Node],
    used: Mapping[Node, tuple[StoreSpec, ...]],
    names: set[str],
    keyed_only: frozenset[Node],
) -> SubTopology | None:
    roots: list[tuple[TopicSpec, Node]] = []
    for node in members:
        if isinstance(node, Source):
            roots.append((node.topic, node))
        for parent in node.parents:
            if isinstance(parent, Repartition) and all(root is not parent for _, root in roots):
                roots.append((parent.topic, parent))
    if not roots:
        return None
    stores: list[StoreSpec] = []
    for node in members:
        for store in [*own_stores(node), *used[node]]:
            if not any(store is known for known in stores):
                stores.append(store)
    agents = [node.name for node in members if isinstance(node, AgentNode)]
    name = next(iter([store.name for store in stores] + agents + [roots[0][0].name]))
    if name in names:
        name = f"{name}.{roots[0][0].name}"
    roots.sort(key=lambda entry: (not _is_table(entry[1], members), entry[0].name))
    merges = _merges_inputs(members, used)
    holding = [root for _, root in roots if _is_read_as_stream(root, members)]
    inputs = tuple(
        Input(
            topic=topic,
            root=root,
            meets_in_a_store=_meets_in_a_store(root, members, used),
            holds_time=root in holding or not holding,
        )
        for topic, root in roots
    )
    return SubTopology(
        name=name,
        nodes=tuple(members),
        inputs=inputs,
        stores=tuple(stores),
        tables_by_node={node: used[node] for node in members if used[node]},
        merges_inputs=merges,
        held_ms=_held_ms(members),
        keyed_only=keyed_only.intersection(members),
    )


def _keyed_only(nodes: Sequence[Node]) -> frozenset[Node]:
    """Return the repartition steps whose readers all leave out records without a key."""
    readers: dict[Node, list[Node]] = {}
    for node in nodes:
        for parent in node.parents:
            if isinstance(parent, Repartition):
                readers.setdefault(parent, []).append(node)
    return frozenset(
        step for step, found in readers.items() if all(reader.leaves_out_null_keys for reader in found)
    )


def _is_table(root: Node, members: Sequence[Node]) -> bool:
    """Whether a topic is read as a table, possibly beside its stream."""
    return any(isinstance(node, TableSource) and root in node.parents for node in members)


def _is_read_as_stream(root: Node, members: Sequence[Node]) -> bool:
    """Whether the records of an input go on to a step that is not the table which follows the topic."""
    reached = {root}
    for node in members:
        if node is not root and any(parent in reached for parent in node.parents):
            if not isinstance(node, TABLE_STEPS):
                return True
            reached.add(node)
    return False


def _held_ms(members: Sequence[Node]) -> dict[Node, int]:
    held: dict[Node, int] = {}
    for node in members:
        above = [
            held.get(parent, 0) + _holds_back_ms(parent)
            for parent in node.parents
            if isinstance(parent, Final | Every | StreamJoin) or parent in held
        ]
        if any(above):
            held[node] = max(above)
    return held


def _holds_back_ms(node: Node) -> int:
    """Return how far behind the watermark a step can emit what it held back."""
    if isinstance(node, Every):
        return node.every_ms
    if isinstance(node, StreamJoin):
        return node.held_ms
    if isinstance(node, Final) and node.store.windows is not None:
        return node.store.windows.held_ms
    return 0


def _with_marks(sub_topologies: Sequence[SubTopology]) -> tuple[SubTopology, ...]:
    """Decide which repartition topics get marks: those whose reader, or one behind it, uses the watermark.

    In a ring, the reader of a topic writes, maybe through other steps, a topic that the writers of the first
    one read. There a mark says how far the inputs are that feed the topic. If a step in front of the topic
    emits by time, nobody knows how far the topic is. Then it gets no marks and does not hold the watermark,
    because the tasks would wait for one another.
    """
    readers = {
        entry.topic.name: each for each in sub_topologies for entry in each.inputs if entry.topic.internal
    }
    written = {
        each.name: [node for node in each.nodes if isinstance(node, Repartition)] for each in sub_topologies
    }

    def behind(first: SubTopology) -> dict[str, SubTopology]:
        """Return the names of the sub-topologies that get records from one, with its own name."""
        found, waiting = {first.name: first}, [first]
        while waiting:
            for node in written[waiting.pop().name]:
                reader = readers.get(node.topic.name)
                if reader is not None and reader.name not in found:
                    found[reader.name] = reader
                    waiting.append(reader)
        return found

    fed_by = {each.name: behind(each) for each in sub_topologies}
    marked: dict[str, dict[str, MarkedTopic]] = {each.name: {} for each in sub_topologies}
    unmarked: set[str] = set()
    rings: set[str] = set()
    for writer in sub_topologies:
        for node in written[writer.name]:
            name = node.topic.name
            if name not in readers:
                continue
            found: MarkedTopic | None = MarkedTopic(writer.held_ms.get(node, 0))
            if writer.name in fed_by[readers[name].name]:
                rings.add(name)
                found = _marked_in_ring(node, writer)
            uses_time = any(each.has_windows for each in fed_by[readers[name].name].values())
            if found is None or not uses_time:
                unmarked.add(name)
            else:
                marked[writer.name][name] = _united(marked[writer.name].get(name), found)
    with_marks = {name for found in marked.values() for name in found} - unmarked
    return tuple(
        replace(
            each,
            inputs=tuple(
                replace(entry, has_marks=entry.topic.name in with_marks)
                for entry in _outside(each.inputs, rings & unmarked)
            ),
            marked={name: found for name, found in marked[each.name].items() if name in with_marks},
        )
        for each in sub_topologies
    )


def _marked_in_ring(step: Repartition, writer: SubTopology) -> MarkedTopic | None:
    """Return the marks of a topic through which records of the writer come back to it; ``None`` if the writer
    does not know how far that topic is.
    """
    above: list[Node] = []
    waiting = list(step.parents)
    while waiting:
        node = waiting.pop()
        if node not in above:
            above.append(node)
            waiting += [] if isinstance(node, Repartition) else node.parents
    feeding = [entry for entry in writer.inputs if entry.root in above]
    emits_by_time = any(isinstance(node, EMIT_BY_TIME) for node in above)
    if emits_by_time or not all(entry.holds_time for entry in feeding):
        return None
    return MarkedTopic(fed_by=frozenset(entry.topic.name for entry in feeding))


def _united(first: MarkedTopic | None, second: MarkedTopic) -> MarkedTopic:
    """Return the marks of a topic that two steps of a sub-topology write."""
    if first is None:
        return second
    if first.fed_by is None or second.fed_by is None:
        fed_by = None
    else:
        fed_by = first.fed_by | second.fed_by
    return MarkedTopic(max(first.held_ms, second.held_ms), fed_by)


def _outside(inputs: Sequence[Input], rings: Container[str]) -> list[Input]:
    """Return the inputs; those that are part of a ring do not hold the watermark."""
    held = [replace(entry, holds_time=False) if entry.topic.name in rings else entry for entry in inputs]
    if any(entry.holds_time for entry in held):
        return held
    return [replace(entry, holds_time=entry.topic.name not in rings) for entry in inputs]


def _merges_inputs(members: Sequence[Node], used: Mapping[Node, tuple[StoreSpec, ...]]) -> bool:
    """Whether every store that a step writes is read by joins only, which see it as of each record."""
    users: dict[int, list[Node]] = {}
    for node in members:
        for store in [*own_stores(node), *used[node]]:
            users.setdefault(id(store), []).append(node)
    if any(len(found) > 1 for found in users.values()):
        return False
    joins = [node for node in members if isinstance(node, LOOKUPS) and id(node.store) in users]
    # An agent or a sink may acknowledge a part of a round; a table must not have changed for the rest of it.
    return not (joins and any(isinstance(node, AgentNode | Sink) or used[node] for node in members))


def _meets_in_a_store(
    root: Node, members: Sequence[Node], used: Mapping[Node, tuple[StoreSpec, ...]]
) -> bool:
    reached: set[Node] = {root}
    touched: dict[int, Node] = {}
    for node in members:
        if node is not root and not any(parent in reached for parent in node.parents):
            continue
        reached.add(node)
        if isinstance(node, Final):
            continue
        read = [node.store] if isinstance(node, LOOKUPS) else []
        if isinstance(node, AnswerReferences) and node.parents[0] not in reached:
            read = []  # a change of the table brings the row with it
        for store in [*own_stores(node), *read, *used[node]]:
            if touched.setdefault(id(store), node) is not node:
                return True
    return False


def topics_written_by(sub_topology: SubTopology) -> list[TopicSpec]:
    """Return the topics that the steps of a sub-topology write. Topics that agents send to are not known."""
    written = [node.topic for node in sub_topology.nodes if isinstance(node, To | Repartition)]
    return written + [node.late for node in sub_topology.nodes if node.late is not None]


def task_count(sub_topology: SubTopology, counts: Mapping[str, int]) -> int:
    """Return the number of tasks of a sub-topology: the largest number of partitions among its inputs."""
    return max(counts[entry.topic.name] for entry in sub_topology.inputs)


def task_name(sub_topology: str, partition: int) -> str:
    """Return the name of the task of a sub-topology and a partition number."""
    return f"{sub_topology}-{partition}"


def writers_of(plan: Plan, topic: str, counts: Mapping[str, int]) -> list[str]:
    """Return the names of the tasks that write marks into a topic."""
    return [
        task_name(each.name, partition)
        for each in plan.sub_topologies
        if topic in each.marked
        for partition in range(task_count(each, counts))
    ]
