"""The topics and the stores of a topology, as they are declared.

Both are compared by identity. Types are erased here (``Any``): the DSL keeps them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from msgspec import Struct, field

from streamcore.processing.topology.aggregator import Aggregator
from streamcore.processing.topology.error_policy import ErrorPolicy
from streamcore.processing.topology.versions import HistorySpan
from streamcore.processing.topology.windows import AnyWindows, SessionWindows
from streamcore.serde import Serde

Function: TypeAlias = Callable[..., Any]


class TopicSpec(Struct, frozen=True, eq=False, kw_only=True):
    """A topic that the application reads or writes.

    ``partition_count`` is ``None`` where the application declares none: the topic as it exists,
    or one partition when it has to be created.
    """

    name: str
    key_serde: Serde[Any]
    value_serde: Serde[Any]
    key_type: Any = None
    value_type: Any = None
    partition_count: int | None = None
    timestamp: Function | None = None
    idle_after_ms: int | None = None
    max_ahead_ms: int | None = None
    """How far ahead of the clock an event time may be; a later one is an error of its record."""
    takes_any_time: bool = False
    """Whether an event time moves stream time, however far ahead of the clock it is."""
    skips_nulls: bool = False
    """Whether records without a value are left out of the topic's stream; tables read them in any case."""
    on_error: ErrorPolicy | None = None
    config: dict[str, str] = field(default_factory=dict)
    internal: bool = False

    @property
    def limits_no_time(self) -> bool:
        """Whether every event time that is no error moves stream time."""
        return self.takes_any_time or self.max_ahead_ms is not None


class StoreSpec(Struct, frozen=True, eq=False, kw_only=True):
    """A named store of each task: its name is the identity of its changelog and files.

    ``source_topic`` is set when a topic is the store's changelog. ``aggregators`` tell tools how to
    show the stored values; the one of a table of plain values has an empty name. ``value_serde`` encodes
    one stored value.
    """

    name: str
    key_type: Any
    value_serde: Serde[Any]
    windows: AnyWindows | None = None
    aggregators: tuple[tuple[str, Aggregator[Any, Any]], ...] = ()
    result: Function | None = None
    source_topic: TopicSpec | None = None
    default: Any = None
    copies_on_read: bool = False
    is_step_state: bool = False
    """Whether a step keeps in it what no window is: what ``rate_limit``, ``dedupe`` or ``take`` has passed,
    the rows of a join of streams, the versions of a table, the parts of sets, or timers.
    """
    is_of_join: bool = False
    """Whether the step is a join of streams, and keeps the rows of one side in it."""
    marks_matches: bool = False
    """Whether the rows of a join say which of them have met a record, so that the others can be emitted."""
    history: HistorySpan | None = None
    """How long versions are kept, where the store is a part of the history of a table."""
    is_derived: bool = False
    """Whether it holds the rows of a table that is made of other tables, or what a join of tables needs."""
    is_index: bool = False
    """Whether its keys are pairs of bytes that are also read by their first part."""
    sets: StoreSpec | None = None
    """The store of the parts of an aggregation's sets (``identity_sets``); ``None``: they have no parts."""
    every_ms: int | None = None
    """The interval of event time after which a step empties the store, where it holds changes back."""

    @property
    def holds_changes(self) -> bool:
        """Whether a step keeps in it the changes that it has not emitted yet."""
        return self.every_ms is not None

    @property
    def is_kept_by_step(self) -> bool:
        """Whether a step of the topology writes the store: then user code can only read it."""
        return (
            self.source_topic is not None
            or bool(self.aggregators)
            or self.is_step_state
            or self.holds_changes
            or self.is_derived
        )

    @property
    def expires_by_retention(self) -> bool:
        """Whether old windows go without tombstones, by the retention of store and changelog."""
        if self.windows is None:
            return False
        return not self.is_step_state or self.windows.retention_ms is not None

    @property
    def deletes_keys(self) -> bool:
        """Whether tombstones of the changelog count: of keys, or of windows that no retention deletes."""
        if self.windows is None or isinstance(self.windows, SessionWindows) or self.is_derived:
            return True
        return not self.aggregators and self.windows.retention_ms is None
