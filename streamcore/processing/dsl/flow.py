"""A point in the declared graph: a node, and the types of the records that it emits.

``Stream`` and ``Table`` are the typed surface that users see; each holds a ``Flow``, which names new steps,
keeps the types of keys and values, and inserts a repartition topic where a step needs equal keys in one
partition after the key was changed. A ``Destination`` is a topic that records can be written to.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from streamcore.errors import TopologyError, fact_text
from streamcore.processing.dsl.checks import legal_name, type_name
from streamcore.processing.dsl.declaration import (
    TOPIC_NAME_LENGTH_MAX,
    UNWRITABLE,
    Declaration,
    lenient_serde_for,
    named_after,
    value_serde_for,
)
from streamcore.processing.dsl.fitting_types import can_be_written
from streamcore.processing.dsl.topic_keys import internal_key_serde, output_key_serde
from streamcore.processing.topology.code_locations import shown
from streamcore.processing.topology.error_policy import ErrorPolicy
from streamcore.processing.topology.nodes import Node, Repartition, Source, TopicSpec
from streamcore.processing.topology.partitions import topics_above
from streamcore.serde import Serde

K_contra = TypeVar("K_contra", contravariant=True)
V_contra = TypeVar("V_contra", contravariant=True)

REPARTITION_CONFIG = {
    "cleanup.policy": "delete",
    "segment.bytes": str(64 << 20),
}
"""The worker deletes processed records, in whole segments."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Types of keys and values, as far as they are known; ``None`` where they are not."""

    key_type: Any
    value_type: Any
    value_serde: Serde[Any]
    key_changed: bool = False
    """Whether equal keys may be in different partitions, because a step changed them."""
    keys_unlike: bool = False
    """Whether equal keys may be in different partitions, because streams were united whose topics write keys
    in different ways, or have different numbers of partitions.
    """

    @property
    def is_scattered(self) -> bool:
        """Whether equal keys may be in different partitions."""
        return self.key_changed or self.keys_unlike

    def __str__(self) -> str:
        return f"key={type_name(self.key_type)} value={type_name(self.value_type)}"

    def with_values(self, value_type: Any, *, is_annotation: bool = False) -> Shape:
        """Return the shape with other values.

        Args:
            is_annotation: the type is the annotated result of a function: a type that cannot be written is
                refused only where it would be written.

        Raises:
            UsageError: values of this type cannot be written.
        """
        serde = lenient_serde_for(value_type) if is_annotation else value_serde_for(value_type)
        # As for a topic: what a Serde of the user's reads is not a declared type.
        found = value_type.value_type if isinstance(value_type, Serde) else value_type
        return replace(self, value_type=found, value_serde=serde)

    def has_values_of(self, other: Shape) -> bool:
        """Whether values of two shapes are of one type, and one serde can write both."""
        if self.value_type != other.value_type:
            return False
        ours, theirs = self.value_serde, other.value_serde
        return (
            self.value_type is not None
            or ours == theirs
            or (ours.value_type is not None and ours.value_type == theirs.value_type)
        )

    def with_keys(self, key_type: Any) -> Shape:
        """Return the shape with other keys, which a step changed."""
        return replace(self, key_type=key_type, key_changed=True)


class Destination(ABC, Generic[K_contra, V_contra]):
    """A declared topic that a stream can be written to, with the types of its keys and values."""

    spec: TopicSpec

    @property
    @abstractmethod
    def declaration(self) -> Declaration:
        """The application that the topic belongs to."""


class Flow:
    """A node, with the shape of its records."""

    def __init__(self, declaration: Declaration, node: Node | None, shape: Shape) -> None:
        self.declaration = declaration
        self.shape = shape
        self._node = node
        self._keyed: Flow | None = None

    @property
    def node(self) -> Node:
        """The step that emits the records."""
        assert self._node is not None
        return self._node

    @property
    def name(self) -> str:
        """The name of that step."""
        return self.node.name

    def then(self, node: Node, shape: Shape | None = None) -> Flow:
        """Declare the next step; without a shape, records keep theirs."""
        return Flow(self.declaration, self.declaration.add(node), self.shape if shape is None else shape)

    def step_name(self, wanted: str | None, function: Callable[..., Any] | None, kind: str) -> str:
        """Return the name of a next step: the wanted one, that of its function, or one by its kind."""
        return self.declaration.node_name(wanted, function, f"{self.node.name}.{kind}")

    def label(self, wanted: str | None, function: Any, kind: str) -> str:
        """Return the text by which errors name a step that is not declared yet; takes no name."""
        if isinstance(wanted, str):
            return wanted
        return named_after(function) or f"{self.name}.{kind}"

    def ensure_same_app(self, declaration: Declaration, **place: object) -> None:
        """Refuse an object that was declared on another application.

        Raises:
            TopologyError: the other application is another object, even if it has the same id.
        """
        if declaration is not self.declaration:
            raise TopologyError(
                "both belong to one application: declare it on the same sc.App: "
                + fact_text(**place, app=self.declaration.app_id, other_app=declaration.app_id)
            )

    def keyed(self, for_step: str, *, beside: TopicSpec | None = None) -> Flow:
        """Return the flow in which equal keys are in one partition: this one or a repartition topic's.

        The repartition topic has the name of the function that made the keys, or, where that has no name,
        the name of the step that needs it.

        Args:
            beside: a topic with which the keys must be co-partitioned. A key's partition follows from its
                bytes, so a topic that does not write keys as stores do gets a repartition topic that writes
                them in the same way.
        """
        if not self.shape.is_scattered:
            return self
        if beside is not None and beside.key_serde.name != internal_key_serde(self.shape.key_type).name:
            return self.repartitioned(for_step, None, key_serde=beside.key_serde)
        if self._keyed is None:
            function = getattr(self.node, "function", None)
            self._keyed = self.repartitioned(self.node.name if named_after(function) else for_step, None)
        return self._keyed

    def durable_name(self) -> str:
        """Return the name of the step that emits the stream, if the user's text decides it.

        Raises:
            TopologyError: the name comes from the step's kind or has a number, so another step may change it.
        """
        node = self.node
        if isinstance(node, Source) or self.declaration.is_named(node.name):
            return node.name
        raise TopologyError(
            "a repartition topic or store keeps its name for ever: give it one, name='…', or name the step "
            f"before by its function, which is no lambda: {fact_text(step=node.name)}"
        )

    def repartitioned(
        self,
        name: str,
        partitions: int | None,
        *,
        key_serde: Serde[Any] | None = None,
        on_error: ErrorPolicy | None = None,
    ) -> Flow:
        """Return the flow behind a repartition topic of this name, with keys written as in stores.

        Raises:
            TopologyError: the name has a number, because another step has it, too.
        """
        self.declaration.ensure_durable(name)
        shape = self.shape
        topic = self.declaration.topic(
            TopicSpec(
                name=f"{self.declaration.app_id}-{name}-repartition",
                key_serde=internal_key_serde(shape.key_type) if key_serde is None else key_serde,
                value_serde=writable(shape.value_serde),
                key_type=shape.key_type,
                value_type=shape.value_type,
                partition_count=partitions,
                on_error=policy_above(self.node),
                takes_any_time=takes_any_time_above(self.node),
                internal=True,
                config=REPARTITION_CONFIG,
            )
        )
        node = Repartition(
            name=self.declaration.node_name(None, None, f"{name}.repartition"),
            parents=(self.node,),
            on_error=on_error,
            topic=topic,
        )
        return self.then(node, replace(shape, key_changed=False, keys_unlike=False))

    def output_topic(self, topic: Any, *, step: str) -> TopicSpec:
        """Return the topic to write to, declared or named; a new name is declared with this shape.

        Raises:
            TopologyError: the object is not a topic, is a topic of another application, or an internal topic;
                or the topic takes no key or value of the stream's types.
        """
        if not isinstance(topic, str | Destination):
            raise TopologyError(
                "write to a topic: app.topic(...), or its name: " + fact_text(step=step, given=shown(topic))
            )
        name = topic if isinstance(topic, str) else topic.spec.name
        legal_name(name, "topic", length_max=TOPIC_NAME_LENGTH_MAX)
        if self.declaration.is_internal_name(name):
            raise TopologyError(
                "the application keeps its own state in topics of such names; write to another one: "
                + fact_text(step=step, topic=name)
            )
        if isinstance(topic, Destination):
            self.ensure_same_app(topic.declaration, step=step, topic=name)
        declared = topic.spec if isinstance(topic, Destination) else self.declaration.topics.get(topic)
        if declared is not None:
            self.ensure_taken_by(declared, step=step)
            return declared
        shape = self.shape
        return self.declaration.topic(
            TopicSpec(
                name=name,
                key_serde=output_key_serde(shape.key_type),
                value_serde=writable(shape.value_serde),
                key_type=shape.key_type,
                value_type=shape.value_type,
            )
        )

    def ensure_taken_by(self, topic: TopicSpec, *, step: str) -> None:
        """Refuse a topic that takes no record of this shape.

        Raises:
            TopologyError: keys or values are of another type.
        """
        shape = self.shape
        for what, found, serde in (
            ("key", shape.key_type, topic.key_serde),
            ("value", shape.value_type, topic.value_serde),
        ):
            wanted = serde.value_type
            if not can_be_written(found, serde, wanted):
                steps = "map_record(..., key=)" if what == "key" else "map(..., value=)"
                raise TopologyError(
                    f"the topic has {what}s of another type; change them first, {steps}, or declare the "
                    f"topic with {what}={type_name(found)}: "
                    + fact_text(step=step, topic=topic.name, given=type_name(found), takes=type_name(wanted))
                )


def policy_above(node: Node) -> ErrorPolicy | None:
    """Return the policy that all topics above a step declare: it also applies behind a repartition topic."""
    policies = {topic.on_error for topic in topics_above(node)}
    return policies.pop() if len(policies) == 1 else None


def late_topic(flows: Sequence[Flow], topic: Any, *, step: str) -> TopicSpec:
    """Return the topic for the late records of several streams; a new name is declared with their shape.

    Raises:
        TopologyError: it is no topic to write to; or it is a new name, and the streams have values of several
            types.
    """
    first: Flow = flows[0]
    is_new = isinstance(topic, str) and topic not in first.declaration.topics
    types = [flow.shape.value_type for flow in flows]
    if is_new and any(found != types[0] for found in types):
        raise TopologyError(
            "the late records of streams with values of several types need a declared topic, such as "
            "app.topic(name, value=A | B): "
            + fact_text(step=step, topic=topic, values=" ".join(map(type_name, types)))
        )
    spec = first.output_topic(topic, step=step)
    for flow in flows:
        flow.ensure_taken_by(spec, step=step)
    return spec


def takes_any_time_above(node: Node) -> bool:
    """Whether a repartition topic behind a step limits no event times, because a topic above does not."""
    return any(topic.limits_no_time for topic in topics_above(node))


def writable(serde: Serde[Any]) -> Serde[Any]:
    """Return a serde by which values can be kept.

    Raises:
        TopologyError: values of the type cannot be written.
    """
    if serde.name == UNWRITABLE:
        raise TopologyError(serde.type_name)
    return serde
