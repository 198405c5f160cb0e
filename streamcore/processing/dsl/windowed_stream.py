"""A stream cut into windows: what follows is an aggregation by key and window."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from streamcore.processing.dsl.declaration import return_type
from streamcore.processing.dsl.declared_aggregation import declare_aggregation
from streamcore.processing.dsl.flow import Flow
from streamcore.processing.dsl.table import WindowedTable
from streamcore.processing.topology import aggregations
from streamcore.processing.topology.aggregations import Aggregator
from streamcore.processing.topology.windows import TimeWindows

if TYPE_CHECKING:
    from streamcore.processing.dsl.topic import Topic

K = TypeVar("K")
V = TypeVar("V")
T = TypeVar("T")


class WindowedStream(Generic[K, V]):
    """A stream whose next aggregation is by key and window."""

    def __init__(self, flow: Flow, windows: TimeWindows) -> None:
        self._flow = flow
        self._windows = windows

    def count(self, name: str, *, late: Topic[Any, Any] | str | None = None) -> WindowedTable[K, int]:
        """Count the records of each key and window."""
        return self._aggregate(name, {"count": aggregations.count()}, None, late, single=True)

    def sum(
        self, name: str, of: Callable[[V], Any], *, late: Topic[Any, Any] | str | None = None
    ) -> WindowedTable[K, Any]:
        """Sum ``of`` over the records of each key and window."""
        return self._aggregate(name, {"sum": aggregations.sum(of)}, None, late, single=True)

    def aggregate(
        self,
        name: str,
        *,
        into: Any = None,
        late: Topic[Any, Any] | str | None = None,
        **named: Aggregator,
    ) -> WindowedTable[K, Any]:
        """Fold the values of each key and window; see ``Stream.aggregate``.

        ``late=topic`` receives the records whose windows are closed; they are counted either way.
        """
        return self._aggregate(name, named, into, late, single=False)

    def reduce(
        self, name: str, function: Callable[[V, V], V], *, late: Topic[Any, Any] | str | None = None
    ) -> WindowedTable[K, V]:
        """Fold the values of each key and window with a function of two values."""
        return self._aggregate(name, {"reduce": aggregations.reducer(function)}, None, late, single=True)

    def fold(
        self,
        name: str,
        initial: T | Callable[[], T],
        function: Callable[[T, V], T],
        *,
        value: Any = None,
        late: Topic[Any, Any] | str | None = None,
    ) -> WindowedTable[K, T]:
        """Fold the values of each key and window into an accumulator."""
        stored = value or return_type(function)
        return self._aggregate(
            name, {"fold": aggregations.folder(initial, function)}, None, late, single=True, kept_type=stored
        )

    def _aggregate(
        self,
        name: str,
        named: dict[str, Aggregator],
        into: Any,
        late: Topic[Any, Any] | str | None,
        *,
        single: bool,
        kept_type: Any = None,
    ) -> WindowedTable[K, Any]:
        late_topic = late if late is None or isinstance(late, str) else late.spec
        return WindowedTable(
            *declare_aggregation(
                self._flow,
                name,
                named,
                into=into,
                single=single,
                kept_type=kept_type,
                windows=self._windows,
                late=late_topic,
            )
        )
