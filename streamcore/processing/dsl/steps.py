"""What every kind of step of a stream needs: the flow it continues, and the declaration of the next step.

``Stream`` unites the kinds: steps on values, on records, splits and unions, outputs, joins, aggregations.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from streamcore.errors import UsageError
from streamcore.processing.dsl.checks import check_function, check_policy
from streamcore.processing.dsl.declaration import Declaration, check_key_type
from streamcore.processing.dsl.flow import Flow
from streamcore.processing.topology.code_locations import add_fact, declares
from streamcore.processing.topology.error_policy import ErrorPolicy
from streamcore.processing.topology.nodes import Node

if TYPE_CHECKING:
    from streamcore.processing.dsl.stream import Stream

K = TypeVar("K")
V = TypeVar("V")

Policy = ErrorPolicy | None


class Steps(Generic[K, V]):
    """A point of the declared graph after which steps are declared."""

    def __init__(self, flow: Flow) -> None:
        self.flow = flow

    @property
    def declaration(self) -> Declaration:
        """The application that the stream belongs to."""
        return self.flow.declaration

    @property
    def node(self) -> Node:
        """The step that emits this stream."""
        return self.flow.node

    @property
    def name(self) -> str:
        """The name of the step that emits this stream."""
        return self.flow.name

    @staticmethod
    def _stream(flow: Flow) -> Stream[Any, Any]:
        """Return the stream that a flow emits."""
        from streamcore.processing.dsl.stream import Stream

        return Stream(flow)

    def _declared(
        self,
        verb: str,
        build: Callable[..., Any],
        function: Any,
        name: str | None,
        on_error: Policy,
        *,
        takes: tuple[str, ...] = ("value",),
        may_yield: bool = False,
    ) -> Any:
        """Check and declare a step; without a function, return the decorator that does so."""
        check_policy(on_error, step=self.flow.label(name, function, verb))

        @declares
        def declare(function: Any) -> Any:
            label = self.flow.label(name, function, verb)
            try:
                check_function(function, step=label, takes=takes, may_yield=may_yield)
                step = self.flow.step_name(name, function, verb)
                return build(function, name=step, parents=(self.node,), on_error=on_error)
            except UsageError as error:
                add_fact(error, "step", label)
                raise

        return declare if function is ... else declare(function)

    def _with_values(self, node: Node, value_type: Any, *, is_annotation: bool) -> Stream[K, Any]:
        shape = self.flow.shape.with_values(value_type, is_annotation=is_annotation)
        return self._stream(self.flow.then(node, shape))

    def _with_records(self, node: Node, key_type: Any, value_type: Any) -> Stream[Any, Any]:
        check_key_type(key_type, step=node.name)
        return self._stream(self.flow.then(node, self.flow.shape.with_values(value_type).with_keys(key_type)))
