"""The steps of a task that can run for a whole round while an agent acknowledges only a part of it."""

from __future__ import annotations

from streamcore.processing.topology import nodes
from streamcore.processing.topology.nodes import Node
from streamcore.processing.topology.plan import SubTopology

_WITHOUT_STATE = (
    nodes.Source,
    nodes.Map,
    nodes.FlatMap,
    nodes.MapRecord,
    nodes.FlatMapRecord,
    nodes.Filter,
    nodes.Peek,
    nodes.GroupBy,
    nodes.Sample,
    nodes.KeyInHeader,
    nodes.Split,
    nodes.Branch,
    nodes.Merge,
    nodes.TableJoin,
)
"""Steps that may run for records which are committed later: they write nothing."""


def steps_before_agent(sub_topology: SubTopology) -> frozenset[Node] | None:
    """Return the steps that lead to the agent, if there is one agent and no state on the way to it."""
    agents = [node for node in sub_topology.nodes if isinstance(node, nodes.AgentNode | nodes.Sink)]
    # Where two steps use one store, their order counts; batches are of one record then.
    if len(agents) != 1 or any(entry.meets_in_a_store for entry in sub_topology.inputs):
        return None
    roots = {entry.root for entry in sub_topology.inputs}
    found: set[Node] = set()
    waiting = list(agents[0].parents)
    while waiting:
        node = waiting.pop()
        if node in found or node in roots:
            continue
        if not isinstance(node, _WITHOUT_STATE):
            return None
        found.add(node)
        waiting += node.parents
    return frozenset(found)
