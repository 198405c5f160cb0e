"""Shows a planned application: as plain text, as a Mermaid flowchart, or as plain data.

All show the same things in the order of declaration: topics, sub-topologies with their
steps and stores, and the global tables. Nothing here needs a log, so partitions are shown only where
the application declares them.
"""

from __future__ import annotations

from collections.abc import Iterator

from streamcore.durations import duration_text
from streamcore.processing.topology.nodes import (
    AgentNode,
    Aggregate,
    AnswerReferences,
    AsOfJoin,
    Branch,
    DerivedTable,
    Every,
    Filter,
    Final,
    FlatMap,
    FlatMapRecord,
    Foreach,
    GlobalTable,
    GroupBy,
    JoinAnswers,
    KeyInHeader,
    Map,
    MapRecord,
    Merge,
    Node,
    Peek,
    Process,
    RateLimit,
    Refer,
    Regroup,
    Repartition,
    RowFilter,
    RowJoin,
    RowMap,
    Sample,
    Sink,
    Source,
    Split,
    StoreSpec,
    StreamJoin,
    TableJoin,
    TableSource,
    Take,
    To,
    TopicSpec,
    own_stores,
)
from streamcore.processing.topology.plan import Plan, SubTopology
from streamcore.state.changelog import changelog_topic

_KINDS: dict[type[Node], str] = {
    Source: "source",
    Map: "map",
    FlatMap: "flat_map",
    MapRecord: "map_record",
    FlatMapRecord: "flat_map_record",
    Peek: "peek",
    Foreach: "foreach",
    Sink: "sink",
    Process: "process",
    GroupBy: "group_by",
    Split: "split",
    Branch: "branch",
    Merge: "merge",
    Sample: "sample",
    KeyInHeader: "key for dedupe",
    Take: "take",
    Repartition: "repartition",
    To: "to",
    Final: "final",
    TableSource: "table",
    Regroup: "group_by of a table",
    Refer: "foreign key",
    AnswerReferences: "answer to foreign keys",
    RowMap: "map rows",
    DerivedTable: "table",
    GlobalTable: "global table",
    AgentNode: "agent",
}


def plain_text(plan: Plan) -> str:
    """Return the application as indented text, for a terminal."""
    return "\n".join(_plain_lines(plan)) + "\n"


def mermaid_text(plan: Plan) -> str:
    """Return the application as a Mermaid flowchart: a box per sub-topology, rounded topics, round stores."""
    return "\n".join(_Flowchart(plan).lines()) + "\n"


def described(plan: Plan) -> Iterator[dict[str, object]]:
    """Return the application as plain data: a dict for each sub-topology, then one for each global table."""
    for sub_topology in plan.sub_topologies:
        yield {
            "sub_topology": sub_topology.name,
            "reads": [entry.topic.name for entry in sub_topology.inputs],
            "steps": [
                {
                    "name": node.name,
                    "kind": kind_of(node),
                    "parents": [parent.name for parent in node.parents],
                }
                for node in sub_topology.nodes
            ],
            "tables": [
                {
                    "name": store.name,
                    "changelog": changelog_topic(plan.app_id, store.name)
                    if store.source_topic is None
                    else store.source_topic.name,
                    "aggregations": {name: found.stored_kind for name, found in store.aggregators},
                }
                for store in sub_topology.stores
            ],
            "writes": [node.topic.name for node in sub_topology.nodes if isinstance(node, To | Repartition)],
        }
    for table in plan.global_tables:
        yield {"global_table": table.store.name, "reads": [table.topic.name]}


def kind_of(node: Node) -> str:
    """Return the kind of a step, by the names of the DSL."""
    match node:
        case Filter():
            return "filter_not" if node.negated else "filter"
        case RowFilter():
            return "filter_not rows" if node.negated else "filter rows"
        case RowJoin():
            kept = [side for side, needs in _sides(node) if needs]
            return "table join" if len(kept) == 2 else f"{kept[0] if kept else 'outer'} table join"
        case Aggregate():
            windows = node.store.windows
            return "aggregate" if windows is None else f"aggregate {windows.kind}"
        case RateLimit():
            return "dedupe" if node.passes_unjudged else "rate_limit"
        case Every():
            return f"updates every {duration_text(node.every_ms)}"
        case TableJoin():
            return "left join" if node.left else "join"
        case AsOfJoin():
            return "left as-of join" if node.left else "as-of join"
        case JoinAnswers():
            return "left foreign-key join" if node.left else "foreign-key join"
        case StreamJoin():
            return "join of streams" if node.how == "inner" else f"{node.how} join of streams"
        case _:
            return _KINDS[type(node)]


def _sides(node: RowJoin) -> list[tuple[str, bool]]:
    """Return for each side of a join of tables whether a row needs it."""
    own, other = ("right", "left") if node.is_right else ("left", "right")
    return [(own, node.needs_own), (other, node.needs_other)]


# -- plain text


def _plain_lines(plan: Plan) -> Iterator[str]:
    yield f"application {plan.app_id}"
    for sub_topology in plan.sub_topologies:
        yield ""
        yield f"sub-topology {sub_topology.name}"
        yield from _section("reads", [_topic_line(entry.topic) for entry in sub_topology.inputs])
        yield from _section("steps", _step_lines(sub_topology))
        stores = [_store_line(plan.app_id, store) for store in sub_topology.stores]
        yield from _section("stores", stores)
        yield from _section("writes", [_topic_line(topic) for topic in _written_by(sub_topology)])
    if plan.global_tables:
        yield ""
        yield "global tables"
        yield from (f"  {table.name} (changelog {table.topic.name})" for table in plan.global_tables)


def _section(title: str, lines: list[str]) -> Iterator[str]:
    if lines:
        yield f"  {title}"
        yield from (f"    {line}" for line in lines)


def _step_lines(sub_topology: SubTopology) -> list[str]:
    nodes = [*_roots_from_elsewhere(sub_topology), *sub_topology.nodes]
    name_width = max(len(node.name) for node in nodes)
    return [f"{node.name:{name_width}}  {_what_it_does(node, sub_topology)}" for node in nodes]


def _what_it_does(node: Node, sub_topology: SubTopology) -> str:
    if isinstance(node, Source) or (isinstance(node, Repartition) and node not in sub_topology.nodes):
        return f"source of topic {node.topic.name}"
    target = f" to topic {node.topic.name}" if isinstance(node, Repartition) else ""
    if isinstance(node, To):
        target = f" topic {node.topic.name}"
    parents = ", ".join(parent.name for parent in node.parents)
    details = _details(node, sub_topology)
    return f"{kind_of(node)}{target} <- {parents}" + (f" ({', '.join(details)})" if details else "")


def _details(node: Node, sub_topology: SubTopology) -> list[str]:
    details = []
    match node:
        case Every() if node.keys_max is not None:
            details += [f"store {node.store.name}", f"at most {node.keys_max} keys"]
        case TableSource() if node.history is not None:
            details.append(f"history {duration_text(node.history.span.history_ms)}")
            details += [f"store {store.name}" for store in own_stores(node)]
        case AnswerReferences():
            details += [f"table {node.store.name}", f"store {node.references.name}"]
        case (
            Aggregate()
            | TableSource()
            | DerivedTable()
            | Regroup()
            | Refer()
            | JoinAnswers()
            | RateLimit()
            | Take()
            | Every()
        ):
            details.append(f"store {node.store.name}")
        case StreamJoin():
            span = node.span
            details.append(f"before {duration_text(span.before_ms)}")
            details.append(f"after {duration_text(span.after_ms)}")
            details.append(f"grace {duration_text(span.grace_ms)}")
            details += [f"store {store.name}" for store in own_stores(node)]
        case TableJoin() | RowJoin():
            details.append(f"table {node.store.name}")
        case AsOfJoin():
            details.append(f"table {node.table.store.name}")
        case AgentNode() if node.concurrency > 1:
            details.append(f"{node.concurrency} events at once")
        case _:
            pass
    details += [f"uses table {store.name}" for store in sub_topology.tables_by_node.get(node, ())]
    if node.late is not None:
        details.append(f"late to topic {node.late.name}")
    return details


def _topic_line(topic: TopicSpec) -> str:
    facts = []
    if topic.internal:
        facts.append("internal")
    if topic.partition_count is not None:
        facts.append(f"{topic.partition_count} partition{'s' if topic.partition_count > 1 else ''}")
    if topic.timestamp is not None:
        facts.append("time from the value")
    return f"{topic.name} ({', '.join(facts)})" if facts else topic.name


def _store_line(app_id: str, store: StoreSpec) -> str:
    windows = ""
    if store.windows is not None and store.is_of_join:
        windows = f"rows of a join, {store.windows.text}, "
    elif store.history is not None:
        windows = f"history of {duration_text(store.history.history_ms)}, "
    elif store.windows is not None:
        windows = f"{store.windows.text}, grace {duration_text(store.windows.grace_ms)}, "
    folded = "".join(f"{text}, " for text in _aggregations_of(store))
    return f"{store.name} ({folded}{windows}changelog {_changelog_of(app_id, store)})"


def _aggregations_of(store: StoreSpec) -> list[str]:
    """Return the aggregations of a store as text: ``count``, or ``name kind`` where they have names."""
    return [f"{name} {aggregator.stored_kind}".strip() for name, aggregator in store.aggregators]


def _changelog_of(app_id: str, store: StoreSpec) -> str:
    return changelog_topic(app_id, store.name) if store.source_topic is None else store.source_topic.name


def _roots_from_elsewhere(sub_topology: SubTopology) -> list[Node]:
    """Return the repartition steps whose topics this sub-topology reads; another one, or itself, writes
    them.
    """
    return [
        entry.root
        for entry in sub_topology.inputs
        if isinstance(entry.root, Repartition) and entry.root not in sub_topology.nodes
    ]


def _written_by(sub_topology: SubTopology) -> list[TopicSpec]:
    """Return the topics that the steps write, each once, without changelogs and dead letters."""
    found: list[TopicSpec] = []
    for node in sub_topology.nodes:
        for topic in _outputs_of(node):
            if not any(topic is known for known in found):
                found.append(topic)
    return found


def _outputs_of(node: Node) -> list[TopicSpec]:
    if isinstance(node, To | Repartition):
        return [node.topic]
    return [] if node.late is None else [node.late]


# -- Mermaid


class _Flowchart:
    """Assigns short ids to the parts of a flowchart: names can collide with Mermaid's reserved words."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._ids: dict[tuple[str, object], str] = {}

    def lines(self) -> Iterator[str]:
        yield "flowchart TD"
        for topic in self._plan.topics:
            yield f'    {self._topic(topic)}(["{_label("topic", topic.name)}"])'
        for table in self._plan.global_tables:
            yield f'    {self._store(table.store)}[("{_label("global table", table.name)}")]'
        for number, sub_topology in enumerate(self._plan.sub_topologies):
            yield f'    subgraph sub{number}["{_label("sub-topology", sub_topology.name)}"]'
            for node in sub_topology.nodes:
                yield f'        {self._node(node)}["{_label(kind_of(node), node.name)}"]'
            for store in sub_topology.stores:
                yield f'        {self._store(store)}[("{_label("store", store.name)}")]'
            yield "    end"
        for table in self._plan.global_tables:
            yield f"    {self._topic(table.topic)} --> {self._store(table.store)}"
        for sub_topology in self._plan.sub_topologies:
            for node in sub_topology.nodes:
                yield from (f"    {edge}" for edge in self._edges(node, sub_topology))

    def _edges(self, node: Node, sub_topology: SubTopology) -> Iterator[str]:
        here = self._node(node)
        if isinstance(node, Source):
            yield f"{self._topic(node.topic)} --> {here}"
        for parent in node.parents:
            origin = self._topic(parent.topic) if isinstance(parent, Repartition) else self._node(parent)
            yield f"{origin} --> {here}"
        for store in own_stores(node):
            yield f"{here} -.- {self._store(store)}"
        if isinstance(node, TableJoin | AsOfJoin | RowJoin | AnswerReferences):
            yield f"{self._store(node.store)} -.-> {here}"
        for store in sub_topology.tables_by_node.get(node, ()):
            yield f"{here} -.- {self._store(store)}"
        late = node.late is not None
        for topic in _outputs_of(node):
            yield f"{here} {'-->|late|' if late else '-->'} {self._topic(topic)}"

    def _topic(self, topic: TopicSpec) -> str:
        return self._id("topic", topic.name)

    def _store(self, store: StoreSpec) -> str:
        return self._id("store", store.name)

    def _node(self, node: Node) -> str:
        return self._id("node", node)

    def _id(self, kind: str, item: object) -> str:
        return self._ids.setdefault((kind, item), f"{kind}{len(self._ids)}")


def _label(what: str, name: str) -> str:
    """Return text for a quoted label; names of functions may hold non-ASCII letters, but no quotes."""
    escaped = name.replace("&", "#amp;").replace('"', "#quot;")
    return f"{escaped}<br/>{what}"
