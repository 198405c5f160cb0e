"""Declares foreign-key joins of tables: ``table.join(other, on=…)``; ``topology.references`` explains them.

What the two sides send each other travels through two repartition topics, ``<name>-references`` by the
foreign key and ``<name>-answers`` by the key of the left table. Beside the result, three stores are kept:
``<name>-foreign-keys``, ``<name>-references`` and ``<name>-rows``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from streamcore.errors import TopologyError, fact_text
from streamcore.processing.dsl.checks import check_function, type_name
from streamcore.processing.dsl.declaration import return_type
from streamcore.processing.dsl.flow import (
    REPARTITION_CONFIG,
    Flow,
    Shape,
    policy_above,
    takes_any_time_above,
    writable,
)
from streamcore.processing.dsl.topic_keys import internal_key_serde
from streamcore.processing.topology.code_locations import shown
from streamcore.processing.topology.error_policy import ErrorPolicy
from streamcore.processing.topology.nodes import (
    AnswerReferences,
    Branch,
    JoinAnswers,
    Node,
    Refer,
    Repartition,
    StoreSpec,
    TopicSpec,
)
from streamcore.processing.topology.partitions import topics_above
from streamcore.processing.topology.references import NOTES, REFERENCES, REFERRING_ROWS, Note, Reference
from streamcore.serde import Serde, serde_for


def check_foreign_key(right: Flow, on: Any, how: Any, *, step: str, other: str) -> None:
    """Refuse a foreign-key join that cannot be declared.

    Raises:
        TopologyError: ``on`` is no function of a value, it makes keys of another type than those of the right
            table, or the join is neither inner nor left.
    """
    if how not in ("inner", "left"):
        raise TopologyError(
            "a table joins another one by a foreign key with how='inner' or 'left'; a row of the other table "
            f"that no row refers to has no key in the result: {fact_text(step=step, how=shown(how))}"
        )
    check_function(on, step=f"{step}.on")
    made, keys = return_type(on), right.shape.key_type
    if made is not None and keys is not None and made != keys:
        raise TopologyError(
            "on= makes the keys of the other table, or None, and theirs are of another type: "
            + fact_text(
                step=step,
                on=type_name(made),
                other=other,
                other_keys=type_name(keys),
            )
        )


def declare_reference_join(
    left: Flow,
    right: Flow,
    right_store: StoreSpec,
    function: Callable[..., Any],
    *,
    on: Callable[[Any], Any],
    name: str,
    on_error: ErrorPolicy | None,
    is_left: bool,
) -> Node:
    """Declare the steps of a join up to the one that makes the rows of the result; return that step.

    Args:
        name: the name of the result, by which topics, stores and steps are named.
    """
    declaration = left.declaration
    left_serde, right_serde = writable(left.shape.value_serde), writable(right.shape.value_serde)

    def step_name(part: str) -> str:
        return declaration.node_name(None, None, f"{name}.{part}")

    def store(part: str, key_type: Any, serde: Serde[Any], *, is_index: bool = False) -> StoreSpec:
        return StoreSpec(
            name=declaration.store_name(f"{name}-{part}"),
            key_type=key_type,
            value_serde=serde,
            is_derived=True,
            is_index=is_index,
        )

    def sent(part: str, node: Node, topic: TopicSpec) -> Repartition:
        step = Repartition(
            name=step_name(f"{part}.repartition"), parents=(node,), on_error=on_error, topic=topic
        )
        return declaration.add(step)

    keys, other_keys = left.shape.key_type, right.shape.key_type
    refer = declaration.add(
        Refer(
            name=step_name("foreign-key"),
            parents=(left.node,),
            on_error=on_error,
            store=store("foreign-keys", keys, serde_for(bytes)),
            function=on,
            foreign_key_type=other_keys,
            value_serde=left_serde,
        )
    )
    answers = _topic(left, f"{name}-answers", NOTES, Note)
    references = _topic(right, f"{name}-references", REFERENCES, Reference)
    # Rows are sent before references, so the answer to a reference is behind the row.
    rows = declaration.add(Branch(name=step_name("rows"), parents=(refer,), function=None, index=0))
    sent("rows", rows, answers)
    referring = declaration.add(
        Branch(name=step_name("references"), parents=(refer,), function=None, index=1)
    )
    arrived = sent("references", referring, references)
    answer = declaration.add(
        AnswerReferences(
            name=step_name("answer"),
            parents=(arrived, right.node),
            on_error=on_error,
            table=right.node,
            store=right_store,
            references=store("references", tuple[bytes, bytes], serde_for(bytes), is_index=True),
            row_key_type=keys,
            value_serde=right_serde,
        )
    )
    return declaration.add(
        JoinAnswers(
            name=step_name("join"),
            parents=(sent("answers", answer, answers),),
            on_error=on_error,
            store=store("rows", keys, REFERRING_ROWS),
            function=function,
            left=is_left,
            left_serde=left_serde,
            right_serde=right_serde,
        )
    )


def _topic(flow: Flow, name: str, serde: Serde[Any], kind: type) -> TopicSpec:
    """Return an internal topic with the keys of a table, written and so partitioned as the table's are."""
    declaration = flow.declaration
    return declaration.topic(
        TopicSpec(
            name=f"{declaration.app_id}-{name}-repartition",
            key_serde=_key_serde(flow.node, flow.shape),
            value_serde=serde,
            key_type=flow.shape.key_type,
            value_type=kind,
            skips_nulls=True,
            on_error=policy_above(flow.node),
            takes_any_time=takes_any_time_above(flow.node),
            internal=True,
            config=REPARTITION_CONFIG,
        )
    )


def _key_serde(node: Node, shape: Shape) -> Serde[Any]:
    """Return the serde by which the topics above a table write its keys; that of stores if they differ."""
    serdes = {
        topic.key_serde.name: topic.key_serde
        for topic in topics_above(node)
        if topic.key_type == shape.key_type
    }
    return next(iter(serdes.values())) if len(serdes) == 1 else internal_key_serde(shape.key_type)
