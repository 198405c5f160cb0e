"""What an application has declared so far: its nodes in order, and names for what comes next.

Nothing here runs. Durable things are named by the user; other nodes are called after their function,
or after their parent and kind, and a second one of the same name gets a number.
"""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar, get_origin

from streamcore.errors import TopologyError, UsageError, fact_text
from streamcore.model import Windowed
from streamcore.processing.topology.error_policy import ErrorPolicy
from streamcore.processing.topology.nodes import GlobalTable, Node, StoreSpec, TopicSpec
from streamcore.serde import UNTYPED, Serde, serde_for
from streamcore.state.keys import key_codec

N = TypeVar("N", bound=Node)

_LEGAL_NAME = re.compile(r"[A-Za-z0-9._-]{1,200}")


@dataclass(eq=False)
class Declaration:
    """The growing graph of one application."""

    app_id: str
    on_error: ErrorPolicy
    nodes: list[Node] = field(default_factory=list)
    topics: dict[str, TopicSpec] = field(default_factory=dict)
    app_tables: list[StoreSpec] = field(default_factory=list)
    names: set[str] = field(default_factory=set)

    def add(self, node: N) -> N:
        """Append a node; its parents are in the graph already."""
        self.nodes.append(node)
        return node

    def node_name(self, wanted: str | None, function: Callable[..., Any] | None, default: str) -> str:
        """The name of a node: as wanted, after its function, or after its place.

        Raises:
            TopologyError: the wanted name is taken or not a name.
        """
        if wanted is not None:
            legal_name(wanted, "step")
            if wanted in self.names:
                raise TopologyError(f"two steps have one name, rename one: {fact_text(name=wanted)}")
            self.names.add(wanted)
            return wanted
        base = named_after(function) or default
        name, number = base, 1
        while name in self.names:
            number += 1
            name = f"{base}-{number}"
        self.names.add(name)
        return name

    def topic(self, spec: TopicSpec) -> TopicSpec:
        """Register a topic; two declarations of one name are refused.

        Raises:
            TopologyError: the name is declared already.
        """
        legal_name(spec.name, "topic")
        if spec.name in self.topics:
            raise TopologyError(
                f"the topic is declared twice, use the first declaration: {fact_text(topic=spec.name)}"
            )
        self.topics[spec.name] = spec
        return spec

    def stores(self) -> list[StoreSpec]:
        """All stores, in the order of declaration; a store that several nodes share comes once."""
        found: list[StoreSpec] = []
        for node in self.nodes:
            store = getattr(node, "store", None)
            if isinstance(store, StoreSpec) and not any(store is known for known in found):
                found.append(store)
        return found + self.app_tables

    def global_tables(self) -> list[GlobalTable]:
        """The tables that every worker holds whole."""
        return [node for node in self.nodes if isinstance(node, GlobalTable)]


def legal_name(name: str, what: str) -> str:
    """Return the name; it becomes part of topics and files.

    Raises:
        TopologyError: it holds other characters than letters, digits, dot, dash and underscore.
    """
    if not isinstance(name, str) or not _LEGAL_NAME.fullmatch(name) or name in (".", ".."):
        raise TopologyError(
            f"name the {what} with letters, digits, '.', '_' and '-', at most 200: "
            + fact_text(name=repr(name))
        )
    return name


def ensure_hashable_keys(key: Any, **place: object) -> None:
    """Refuse a type of keys whose values cannot be told apart in a dict.

    Raises:
        UsageError: they cannot be hashed.
    """
    kind = get_origin(key) or key
    if isinstance(kind, type) and kind.__hash__ is None:
        raise UsageError(
            "keys are values that can be hashed, such as a tuple, or a class with frozen=True: "
            + fact_text(**place, key=getattr(key, "__name__", key))
        )


def named_after(function: Callable[..., Any] | None) -> str | None:
    """The name of a function that has one; lambdas, partials and the like have none."""
    name = getattr(function, "__name__", None)
    if not isinstance(name, str) or name == "<lambda>" or not isinstance(function, types.FunctionType):
        return None
    return name


def return_type(function: Callable[..., Any]) -> Any:
    """The annotated type of what a function returns, without ``None``; ``None`` if it says nothing."""
    try:
        found = typing.get_type_hints(function).get("return")
    except (NameError, TypeError, AttributeError):
        return None
    return without_none(found)


def without_none(found: Any) -> Any:
    """The type itself of an optional one; ``None`` for what tells nothing."""
    if found in (Any, None, type(None), object):
        return None
    if typing.get_origin(found) in (typing.Union, types.UnionType):
        rest = [argument for argument in typing.get_args(found) if argument is not type(None)]
        return rest[0] if len(rest) == 1 else found
    return found


def item_type(found: Any) -> Any:
    """The type of the items of an annotated iterable."""
    arguments = typing.get_args(found)
    return without_none(arguments[0]) if len(arguments) == 1 else None


def value_serde_for(value_type: Any, codec: str = "json") -> Serde[Any]:
    """The serde of a value by its type; plain data where the type is unknown."""
    return UNTYPED if value_type is None else serde_for(value_type, codec=codec)


def internal_key_serde(key_type: Any) -> Serde[Any]:
    """How keys stand in the application's own topics: the bytes that stores use."""
    codec = key_codec(key_type)
    return Serde(encode=codec.encode, decode=codec.decode, name=codec.name)


def output_key_serde(key_type: Any) -> Serde[Any]:
    """How keys stand in a topic that was given by name alone."""
    if typing.get_origin(key_type) is Windowed or key_type is Windowed:
        return serde_for(Windowed)
    return value_serde_for(key_type)
