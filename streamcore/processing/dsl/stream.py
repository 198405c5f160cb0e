"""Streams: every record counts. Each operator is a method and a decorator; a declaration runs nothing.

``big = orders.filter(is_big)`` and ``@orders.filter`` over a function ``big`` declare the same step.
The operators are in modules by kind: ``value_steps``, ``record_steps``, ``branching``, ``limiting``,
``output_steps``, ``joining`` and ``aggregating``.

Every operator raises ``TopologyError``, with the step and the user's file and line, for invalid arguments:
``async def`` functions (steps call functions and do not await them), objects that are not error policies,
topics and tables of other applications, names that are taken.
"""

from __future__ import annotations

from typing import Generic, TypeVar

from streamcore.processing.dsl.aggregating import Aggregating
from streamcore.processing.dsl.branching import Branches as Branches
from streamcore.processing.dsl.branching import Branching
from streamcore.processing.dsl.joining import Joining
from streamcore.processing.dsl.limiting import Limiting
from streamcore.processing.dsl.output_steps import OutputSteps
from streamcore.processing.dsl.processor import Processing
from streamcore.processing.dsl.record_steps import RecordSteps
from streamcore.processing.dsl.value_steps import ValueSteps

K = TypeVar("K")
V = TypeVar("V")


class Stream(
    ValueSteps[K, V],
    RecordSteps[K, V],
    Branching[K, V],
    Limiting[K, V],
    OutputSteps[K, V],
    Joining[K, V],
    Aggregating[K, V],
    Processing[K, V],
    Generic[K, V],
):
    """A declared stream of records with keys ``K`` and values ``V``."""

    def __repr__(self) -> str:
        return f"<Stream {self.name!r} {self.flow.shape}>"
