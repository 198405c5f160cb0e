"""The graph of an application while it is declared: its nodes in order, and the names in use.

Nothing here runs. The user names durable things; other nodes have the name of their function, or one
made of their parent and kind, and a number is added to a name that is taken.
"""

from __future__ import annotations

import functools
import operator
import types
import typing
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar, get_origin

from streamcore.errors import SerdeError, TopologyError, UsageError, fact_text
from streamcore.processing.dsl.checks import legal_name
from streamcore.processing.dsl.loops import refuse_endless_loop
from streamcore.processing.topology.code_locations import caller_location
from streamcore.processing.topology.error_policy import DeadLetter, ErrorPolicy
from streamcore.processing.topology.nodes import Node, StoreSpec, TopicSpec
from streamcore.serde import UNTYPED, Serde, serde_for
from streamcore.state.changelog import changelog_topic

N = TypeVar("N", bound=Node)

TOPIC_NAME_LENGTH_MAX = 249


@dataclass(eq=False)
class Declaration:
    """The growing graph of one application."""

    app_id: str
    on_error: ErrorPolicy
    nodes: list[Node] = field(default_factory=list)
    topics: dict[str, TopicSpec] = field(default_factory=dict)
    app_tables: list[StoreSpec] = field(default_factory=list)
    locations: dict[tuple[str, str], str] = field(default_factory=dict)
    """(kind, name) of each named thing -> the line of its declaration, ``FILE:LINE``."""
    numbered: dict[str, str] = field(default_factory=dict)
    """Names with a number, because another step has the name without it -> the place of that one."""

    def add(self, node: N) -> N:
        """Append a node; its parents must be in the graph already.

        Raises:
            TopologyError: the node would close an endless loop of records, see ``loops``, or its policy
                writes dead letters to a changelog.
        """
        self.check_dead_letter(node.on_error, step=node.name)
        refuse_endless_loop([*self.nodes, node], self.on_error)
        self.nodes.append(node)
        return node

    def node_name(self, wanted: str | None, function: Callable[..., Any] | None, default: str) -> str:
        """Return the name of a node: the wanted name, that of its function, or the default.

        A name that the user's text gives, or a function, does not depend on topics, tables and steps without
        such a name: these may have the same one.

        Raises:
            TopologyError: the wanted name is taken or invalid.
        """
        text = named_after(function) if wanted is None else wanted
        return self.name("part" if text is None else "step", wanted, text or default)

    def name(self, kind: str, wanted: str | None, default: str) -> str:
        """Take a name of a kind: the wanted one, else the default, with a number if the default is taken.

        Raises:
            TopologyError: the wanted name is taken or invalid.
        """
        if wanted is not None:
            legal_name(wanted, kind)
            self._take(kind, wanted)
            return wanted
        name, number = default, 1
        while (kind, name) in self.locations:
            number += 1
            name = f"{default}-{number}"
        if number > 1 and kind in ("step", "part"):
            self.numbered[name] = self.locations[kind, default]
        self.locations[kind, name] = caller_location()
        return name

    def ensure_durable(self, name: str) -> None:
        """Refuse a name of a topic or store that holds a number: the order of declarations would decide it.

        Raises:
            TopologyError: another step had the name before.
        """
        for numbered, first in self.numbered.items():
            if name == numbered or name.startswith(f"{numbered}."):
                raise TopologyError(
                    "a repartition topic or store keeps its name for ever, and this one is named after a "
                    "step whose name another step has, too; give one of them name='…' (the name below "
                    f"continues with a topic that exists): {fact_text(name=numbered, first=first)}"
                )

    def is_named(self, step: str) -> bool:
        """Whether the user's text gave a step its name: ``name=``, or a function that no other step has."""
        return ("step", step) in self.locations and step not in self.numbered

    def store_name(self, name: str) -> str:
        """Take the name of a table: of its store, its files and its changelog topic.

        Raises:
            TopologyError: another table has the name, or the changelog's name would be too long.
        """
        legal_name(name, "table")
        legal_name(changelog_topic(self.app_id, name), "table's changelog", length_max=TOPIC_NAME_LENGTH_MAX)
        self._take("table", name)
        return name

    def topic(self, spec: TopicSpec) -> TopicSpec:
        """Register a topic.

        Raises:
            TopologyError: the name is declared already.
        """
        legal_name(spec.name, "topic", length_max=TOPIC_NAME_LENGTH_MAX)
        self.check_dead_letter(spec.on_error, topic=spec.name)
        if spec.name in self.topics:
            raise TopologyError(
                "the topic is declared twice, use the first declaration: "
                + fact_text(topic=spec.name, first=self.locations.get(("topic", spec.name), "unknown"))
            )
        self.topics[spec.name] = spec
        self.locations["topic", spec.name] = caller_location()
        return spec

    def check_dead_letter(self, policy: ErrorPolicy | None, **place: object) -> None:
        """Refuse a policy that writes to an internal topic of the application.

        Raises:
            TopologyError: its dead letter topic is internal.
        """
        if isinstance(policy, DeadLetter) and self.is_internal_name(policy.topic):
            raise TopologyError(
                "the application keeps its own state in topics of such names; send dead letters to another: "
                + fact_text(**place, dead_letter=policy.topic)
            )

    def is_internal_name(self, topic: str) -> bool:
        """Whether a topic has the name of a changelog or repartition topic of this application."""
        return topic.startswith(f"{self.app_id}-") and topic.endswith(("-changelog", "-repartition"))

    def _take(self, kind: str, name: str) -> None:
        if (kind, name) in self.locations:
            what = "their state would mix; " if kind == "table" else ""
            raise TopologyError(
                f"two {kind}s have one name, {what}rename one: "
                + fact_text(name=name, first=self.locations[kind, name])
            )
        self.locations[kind, name] = caller_location()


def ensure_hashable_keys(key: Any, **place: object) -> None:
    """Refuse a type of keys whose values cannot be the keys of a dict.

    Raises:
        UsageError: the values cannot be hashed.
    """
    kind = get_origin(key) or key
    if isinstance(kind, type) and kind.__hash__ is None:
        raise UsageError(
            "keys are values that can be hashed, such as a tuple, or a class with frozen=True: "
            + fact_text(**place, key=getattr(key, "__name__", key))
        )


def check_key_type(key: Any, **place: object) -> None:
    """Refuse an object that is not a type of keys; ``None`` declares no type.

    Raises:
        UsageError: values of the type cannot be hashed, or cannot be written.
    """
    ensure_hashable_keys(key, **place)
    serde_for(key)


def named_after(function: Callable[..., Any] | None) -> str | None:
    """Return the name of a function; ``None`` for lambdas, partials and the like."""
    name = getattr(function, "__name__", None)
    if not isinstance(name, str) or name == "<lambda>" or not isinstance(function, types.FunctionType):
        return None
    return name


def return_type(function: Callable[..., Any]) -> Any:
    """Return the annotated return type of a function, without ``None``; ``None`` if it has no annotation."""
    try:
        found = typing.get_type_hints(function).get("return")
    except (NameError, TypeError, AttributeError):
        return None
    return without_none(found)


def without_none(found: Any) -> Any:
    """Return the type inside an optional one; ``None`` for types that say nothing about values."""
    if found in (Any, None, type(None), object) or isinstance(found, TypeVar):
        return None
    if typing.get_origin(found) in (typing.Union, types.UnionType):
        rest = [argument for argument in typing.get_args(found) if argument is not type(None)]
        return rest[0] if len(rest) == 1 else found
    return found


def allows_none(declared: Any) -> bool:
    """Whether ``None`` is a value of a declared type; ``True`` without a declared type."""
    if declared in (None, Any, object, type(None)):
        return True
    origin = typing.get_origin(declared)
    if origin is typing.Annotated:
        return allows_none(typing.get_args(declared)[0])
    if origin in (typing.Union, types.UnionType):
        return any(map(allows_none, typing.get_args(declared)))
    return False


def item_type(found: Any) -> Any:
    """Return the type of the items of an annotated iterable, without ``None``; ``None`` if it is not known.

    Of a mapping the keys are the items, of a generator what it yields. Where items have several types, such
    as those of ``tuple[int, str]``, the result is their union.
    """
    origin, arguments = typing.get_origin(found), typing.get_args(found)
    if hasattr(origin, "__value__"):  # ``type Rows[T] = list[T]`` of Python 3.12, with arguments
        return item_type(origin.__value__[arguments])
    if not isinstance(found, type) and hasattr(found, "__value__"):
        return item_type(found.__value__)
    if origin is typing.Annotated:
        return item_type(arguments[0])
    if origin in (typing.Union, types.UnionType):
        return _one_of([item_type(argument) for argument in arguments if argument is not types.NoneType])
    if origin is tuple:
        return _one_of([without_none(argument) for argument in arguments if argument is not Ellipsis])
    if isinstance(origin, type) and issubclass(origin, Iterable) and arguments:
        return without_none(arguments[0])
    if found is str:
        return str
    if found in (bytes, bytearray):
        return int
    return next(filter(None, map(item_type, getattr(found, "__orig_bases__", ()))), None)


def _one_of(found: Sequence[Any]) -> Any:
    """Return the union of types; ``None`` if one of them is not known."""
    if not found or any(each is None for each in found):
        return None
    return functools.reduce(operator.or_, found)


def lenient_serde_for(value_type: Any) -> Serde[Any]:
    """Return the serde of a step's results; a type that cannot be written fails only when it is written."""
    try:
        return value_serde_for(value_type)
    except UsageError as error:
        reason = error

        def encode(_: Any) -> bytes:
            raise SerdeError(str(reason))

        return Serde(encode=encode, decode=bytes, name=UNWRITABLE, type_name=str(reason))


UNWRITABLE = "unwritable"
"""The name of the serde of a type that cannot be written; its ``type_name`` holds the reason."""


def value_serde_for(value_type: Any, codec: str = "json") -> Serde[Any]:
    """Return the serde of values of a type; plain data where the type is unknown."""
    return UNTYPED if value_type is None else serde_for(value_type, codec=codec)
