"""Splitting a stream into arms, and uniting streams."""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from streamcore.errors import TopologyError, fact_text
from streamcore.processing.dsl.checks import check_function, check_policy, legal_name
from streamcore.processing.dsl.copartitioning import all_meet, are_split
from streamcore.processing.dsl.declaration import value_serde_for
from streamcore.processing.dsl.flow import Shape
from streamcore.processing.dsl.steps import Policy, Steps
from streamcore.processing.topology.code_locations import declares, shown
from streamcore.processing.topology.error_policy import dead_letter, retry
from streamcore.processing.topology.nodes import Branch, Merge, Split

if TYPE_CHECKING:
    from streamcore.processing.dsl.stream import Stream

K = TypeVar("K")
V = TypeVar("V")


class Branching(Steps[K, V], Generic[K, V]):
    """The steps with several streams behind them or before them."""

    @declares
    def branch(self, /, *, on_error: Policy = None, **arms: Callable[[V], object]) -> Branches[K, V]:
        """Split the stream: each value is in the first arm whose function is true, or in ``.rest``.

        The functions are called in the order of the arms, until one is true. A value for which one fails is
        in no arm; ``on_error`` decides about its record, once.
        """
        given: Any = on_error
        taken = [arm for arm in arms if arm == "rest" or arm.startswith("_")]
        if isinstance(given, FunctionType) and given not in (dead_letter, retry):
            taken.append("on_error")
        if not arms or taken:
            raise TopologyError(
                "name at least one arm, stream.branch(big=is_big); no arm is called 'rest' or 'on_error', or "
                "begins with '_': "
                + fact_text(step=f"{self.name}.branch", arms=",".join(arms), taken=",".join(taken) or "none")
            )
        check_policy(on_error, step=f"{self.name}.branch")
        for arm, tested in arms.items():
            legal_name(arm, "arm")
            check_function(tested, step=f"{self.name}.{arm}")
        names = {arm: self.declaration.node_name(None, None, f"{self.name}.{arm}") for arm in (*arms, "rest")}
        split = self.flow.then(
            Split(
                name=self.declaration.node_name(None, None, f"{self.name}.branch"),
                parents=(self.node,),
                on_error=on_error,
                arms=tuple((names[arm], tested) for arm, tested in arms.items()),
            )
        )
        streams = {
            arm: self._stream(
                split.then(
                    Branch(
                        name=name,
                        parents=(split.node,),
                        on_error=on_error,
                        function=arms.get(arm),
                        index=index,
                    )
                )
            )
            for index, (arm, name) in enumerate(names.items())
        }
        return Branches(streams)

    @declares
    def merge(self, *others: Stream[K, V], name: str | None = None) -> Stream[K, V]:
        """Unite streams; records made of one event keep the order of the streams, this stream's first."""
        step = self.flow.label(name, None, "merge")
        if not others:
            raise TopologyError(f"name the streams to unite, a.merge(b): {fact_text(step=step)}")
        for other in others:
            if not isinstance(other, Branching):
                raise TopologyError(
                    f"streams are merged with streams: {fact_text(step=step, given=shown(other))}"
                )
            self.flow.ensure_same_app(other.declaration, step=step, stream=other.name)
        parents = (self.node, *(other.node for other in others))
        node = Merge(name=self.flow.step_name(name, None, "merge"), parents=parents)
        first = self.flow.shape
        rest = [other.flow.shape for other in others]
        same_values = all(shape.has_values_of(first) for shape in rest)
        changed = any(shape.key_changed for shape in [first, *rest])
        flows = [self.flow, *(other.flow for other in others)]
        shape = Shape(
            key_type=first.key_type if all(shape.key_type == first.key_type for shape in rest) else None,
            value_type=first.value_type if same_values else None,
            value_serde=first.value_serde if same_values else value_serde_for(None),
            key_changed=changed,
            keys_unlike=same_values and not changed and not all_meet(flows) and are_split(flows),
        )
        return self._stream(self.flow.then(node, shape))


class Branches(Generic[K, V]):
    """The arms of a split, as attributes; ``rest`` has the values that no arm took."""

    def __init__(self, streams: dict[str, Stream[K, V]]) -> None:
        self._streams = streams

    def __repr__(self) -> str:
        return f"<Branches {', '.join(self._streams)}>"

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._streams]

    def __getattr__(self, arm: str) -> Stream[K, V]:
        streams: dict[str, Stream[K, V]] = self.__dict__.get("_streams", {})
        try:
            return streams[arm]
        except KeyError:
            raise AttributeError(f"no such arm: {fact_text(arm=arm, arms=','.join(streams))}") from None
