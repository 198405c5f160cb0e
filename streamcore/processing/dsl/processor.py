"""Processors: the low level. A class with stores and timers of its own, called for each record.

::

    class Visits(sc.Processor[str, Click, str, int]):
        seen = sc.Store(key=str, value=int, default=0)

        def on_record(self, record: sc.Record[str, Click]) -> None:
            self.seen[record.key] += 1
            self.schedule(after="30m", name="gone")

        def on_timer(self, timer: sc.DueTimer[str]) -> None:
            self.forward(sc.Record(timer.key, self.seen.pop(timer.key, 0)))

    clicks.process("visits", Visits).to("visits")

Each task has an object of its own, with its part of the stores: that of the keys of its partition. What a
call writes, sets and forwards counts whole or, where a policy leaves the record out, not at all. Attributes
of the object other than stores are lost at a restart, and are not undone.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, get_args, get_origin, overload

from streamcore.errors import TopologyError, UsageError, with_facts
from streamcore.model import Headers, Record
from streamcore.processing.dsl.app_table import AppTable, declare_table
from streamcore.processing.dsl.checks import (
    Duration,
    check_function,
    check_parameters,
    check_policy,
    declared_ms,
    legal_name,
)
from streamcore.processing.dsl.declaration import check_key_type, without_none
from streamcore.processing.dsl.steps import Policy, Steps
from streamcore.processing.topology.code_locations import declares, shown
from streamcore.processing.topology.nodes import Process, StoreSpec
from streamcore.processing.topology.processors import DueTimer, ProcessorContext, timer_time_ms
from streamcore.processing.topology.windows import TimeWindows
from streamcore.serde import UNTYPED, Serde

if TYPE_CHECKING:
    from streamcore.processing.dsl.stream import Stream

K = TypeVar("K")
V = TypeVar("V")
K2 = TypeVar("K2")
W = TypeVar("W")

_SAME: Final[Any] = object()


class Store(Generic[K, V]):
    """Declares a store of a processor, as an attribute of its class; its objects see it as an ``AppTable``.

    The table is named ``<processor>.<attribute>``. It has a changelog and can be queried like other tables.
    """

    @declares
    def __init__(
        self,
        *,
        key: type[K] | Serde[K] | None = None,
        value: type[V] | Serde[V] | None = None,
        default: Any = None,
        codec: str = "json",
    ) -> None:
        """See ``App.table`` for the arguments."""
        self.key = key
        self.value = value
        self.default = default
        self.codec = codec

    @overload
    def __get__(self, instance: None, owner: type) -> Store[K, V]: ...
    @overload
    def __get__(self, instance: Processor[Any, Any, Any, Any], owner: type) -> AppTable[K, V]: ...
    def __get__(self, instance: Any, owner: type) -> Any:
        if instance is None:
            return self
        raise UsageError(
            with_facts(
                "a store is used in on_record and on_timer, of an object that the application has made",
                processor=owner.__name__,
            )
        )


class Processor(ABC, Generic[K, V, K2, W]):
    """The base of processors: takes keys ``K`` and values ``V``, forwards keys ``K2`` and values ``W``."""

    _context: ProcessorContext

    @abstractmethod
    def on_record(self, record: Record[K, V]) -> None:
        """Process a record."""

    def on_timer(self, timer: DueTimer[K]) -> None:
        """Process a timer that is due."""
        raise UsageError(
            with_facts(
                "the processor sets timers: define on_timer(self, timer)", processor=type(self).__name__
            )
        )

    @property
    def now_ms(self) -> int:
        """The clock of the worker, in milliseconds since 1970."""
        return self._context.now_ms

    @overload
    def forward(self, record: Record[K2, W]) -> None: ...
    @overload
    def forward(
        self, *, value: W, key: K2 = ..., timestamp_ms: int = ..., headers: Headers = ...
    ) -> None: ...
    def forward(
        self,
        record: Record[K2, W] | None = None,
        *,
        value: Any = _SAME,
        key: Any = _SAME,
        timestamp_ms: int = -1,
        headers: Headers = (),
    ) -> None:
        """Emit a record: a whole one, or one with this value and, unless another is given, the current key.

        A record without a time has that of the current record or timer.

        Raises:
            UsageError: neither a record nor a value is given, or both.
            InvalidTimestampError: a time that no record can have.
            InvalidRecordError: headers that are not pairs of text and bytes.
        """
        if (record is None) == (value is _SAME):
            raise UsageError("give forward a record, forward(sc.Record(key, value)), or value=")
        if record is None:
            record = Record(self._context.key if key is _SAME else key, value, timestamp_ms, headers)
        self._context.forward(record)

    def schedule(
        self,
        at: datetime | str | int | None = None,
        *,
        after: Duration | None = None,
        name: str = "",
        key: Any = _SAME,
        by_clock: bool = False,
    ) -> int:
        """Set a timer; return its time in milliseconds since 1970. A key, a name and a time are one timer.

        A timer of event time is due when the watermark of the task has reached its time: when no record
        before it can come that is in time. A timer of the clock is due when the worker's clock has.

        Args:
            at: the time.
            after: instead, a span from the time of the current record or timer, or from now by the clock.
            name: tells timers of one key and time apart.
            key: the key of the timer; that of the current record or timer by default.
            by_clock: whether the timer goes by the clock.

        Raises:
            UsageError: not one of ``at`` and ``after`` is given, the record has no time, or the time is that
                of the timer that sets it, or earlier.
        """
        context = self._context
        if (at is None) == (after is None):
            raise UsageError("give schedule a time, at=, or a span, after='10s'")
        if after is not None:
            start_ms = context.now_ms if by_clock else context.time_ms
            if start_ms < 0:
                raise UsageError(with_facts("the record has no time; schedule(at=...)", after=after))
            at = start_ms + declared_ms(after, "after=", least_ms=0)
        time_ms = timer_time_ms(at, context.timer, by_clock=by_clock)
        context.set_timer(context.key if key is _SAME else key, name, time_ms, by_clock=by_clock)
        return time_ms

    def cancel(
        self, at: datetime | str | int, *, name: str = "", key: Any = _SAME, by_clock: bool = False
    ) -> None:
        """Remove the timer of a time, name and key; a missing one is ignored."""
        context = self._context
        time_ms = timer_time_ms(at, None, by_clock=by_clock)
        context.cancel_timer(context.key if key is _SAME else key, name, time_ms, by_clock=by_clock)


class Processing(Steps[K, V], Generic[K, V]):
    """The low-level step of a stream."""

    @declares
    def process(
        self,
        name: str,
        processor: type[Processor[K, V, K2, W]],
        *,
        key: Any = None,
        value: Any = None,
        on_error: Policy = None,
    ) -> Stream[K2, W]:
        """Run a processor on the stream; return the stream of what it forwards.

        Args:
            name: of the step, and of its state: stores are ``<name>.<attribute>``, timers
                ``<name>.timers`` and ``<name>.clock-timers``.
            processor: a subclass of ``sc.Processor`` that can be made without arguments.
            key: the type of the keys that it forwards, where its class does not say it.
            value: the type of the values that it forwards, where its class does not say it.
            on_error: the policy of a record or timer whose call fails.
        """
        legal_name(name, "processor")
        check_policy(on_error, step=name)
        _check_class(processor, name)
        check_key_type(key, step=name)
        keyed = self.flow.keyed(name)
        tables = {
            attribute: declare_table(
                self.declaration,
                f"{name}.{attribute}",
                key=store.key,
                value=store.value,
                default=store.default,
                codec=store.codec,
            )
            for attribute, store in _stores_of(processor).items()
        }
        event_timers = self._timers(f"{name}.timers", keyed.shape.key_type)
        clock_timers = self._timers(f"{name}.clock-timers", keyed.shape.key_type)
        node = Process(
            name=self.declaration.node_name(name, None, name),
            parents=(keyed.node,),
            on_error=on_error,
            function=processor.on_record,
            make=_maker(processor, tables),
            tables=(*(table.store for table in tables.values()), event_timers, clock_timers),
            event_timers=event_timers,
            clock_timers=clock_timers,
        )
        declared_key, declared_value = _forwarded_types(processor)
        shape = keyed.shape.with_values(
            declared_value if value is None else value, is_annotation=value is None
        ).with_keys(declared_key if key is None else key)
        return self._stream(keyed.then(node, shape))

    def _timers(self, name: str, key_type: Any) -> StoreSpec:
        found: Any = None if key_type is None else tuple[key_type, str]
        return StoreSpec(
            name=self.declaration.store_name(name),
            key_type=found,
            value_serde=UNTYPED,
            windows=TimeWindows(1, 1),
            is_step_state=True,
        )


def _check_class(processor: Any, name: str) -> None:
    """Refuse an object that is not a class of processors.

    Raises:
        TopologyError: it is something else.
    """
    if not (isinstance(processor, type) and issubclass(processor, Processor)):
        raise TopologyError(
            with_facts(
                "give a subclass of sc.Processor, not an object or a function",
                step=name,
                given=shown(processor),
            )
        )
    missing = sorted(getattr(processor, "__abstractmethods__", ()))
    if missing:
        raise TopologyError(
            with_facts("define on_record(self, record)", step=name, missing=",".join(missing))
        )
    check_parameters(processor, step=name, takes=())
    check_function(processor.on_record, step=f"{name}.on_record", takes=("self", "record"))
    check_function(processor.on_timer, step=f"{name}.on_timer", takes=("self", "timer"))


def _stores_of(processor: type) -> Mapping[str, Store[Any, Any]]:
    """Return the stores that a class and its bases declare, by attribute; the nearest class counts."""
    found: dict[str, Store[Any, Any]] = {}
    for owner in reversed(processor.__mro__):
        for attribute, value in vars(owner).items():
            if isinstance(value, Store):
                found[attribute] = value
            else:
                found.pop(attribute, None)
    return found


def _forwarded_types(processor: type) -> tuple[Any, Any]:
    """Return the types of keys and values that a class says it forwards; ``None`` where it says nothing."""
    for base in getattr(processor, "__orig_bases__", ()):
        if get_origin(base) is Processor:
            key, value = (
                None if isinstance(found, TypeVar) else without_none(found) for found in get_args(base)[2:]
            )
            return key, value
    return None, None


def _maker(processor: Any, tables: Mapping[str, AppTable[Any, Any]]) -> Any:
    def make(context: ProcessorContext) -> Any:
        made = processor.__new__(processor)
        vars(made).update(tables)
        made._context = context
        made.__init__()
        return made

    return make
