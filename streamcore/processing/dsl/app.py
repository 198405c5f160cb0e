"""The application: what a user declares things on. Declaring runs nothing."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol, TypeVar

from croniter import croniter

from streamcore.durations import duration_ms
from streamcore.errors import TopologyError, UsageError, fact_text
from streamcore.model import Record
from streamcore.processing.dsl.declaration import (
    Declaration,
    ensure_hashable_keys,
    legal_name,
    value_serde_for,
)
from streamcore.processing.dsl.discovery import tables_used_by
from streamcore.processing.dsl.stream import Stream
from streamcore.processing.dsl.table import AppTable
from streamcore.processing.dsl.topic import Topic
from streamcore.processing.topology.error_policy import ErrorPolicy, stop
from streamcore.processing.topology.nodes import AgentNode, StoreSpec, TopicSpec
from streamcore.processing.topology.plan import Plan, make_plan
from streamcore.serde import serde_for

K = TypeVar("K")
V = TypeVar("V")
V_co = TypeVar("V_co", covariant=True)
F = TypeVar("F", bound=Callable[..., Any])

_IMMUTABLE = (int, float, str, bytes, bool)


class Events(Protocol[V_co]):
    """The stream that an agent iterates over. Asking for the next event acknowledges the one before."""

    def __aiter__(self) -> AsyncIterator[V_co]:
        """The values."""

    def items(self) -> AsyncIterator[tuple[Any, V_co]]:
        """The keys and values."""

    def records(self) -> AsyncIterator[Record[Any, Any]]:
        """The records: key, value, time, headers, topic, partition, offset."""


AgentFunction = Callable[[Any], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Timer:
    """A function to call every ``interval_ms``, or at the times of a cron expression."""

    name: str
    function: Callable[[], Any]
    interval_ms: int | None = None
    crontab: str | None = None


class App:
    """A stream processing application.

    The ``app_id`` is the prefix of its group, internal topics and state: it must stay the same from one
    release to the next. ``on_error`` is the policy where a step declares none.
    """

    def __init__(self, app_id: str, *, on_error: ErrorPolicy = stop) -> None:
        self.app_id = legal_name(app_id, "application")
        self.declaration = Declaration(app_id=app_id, on_error=on_error)
        self.timers: list[Timer] = []
        self.commands: dict[str, Callable[..., Any]] = {}

    def topic(
        self,
        name: str,
        *,
        key: Any = None,
        value: Any = None,
        codec: str = "json",
        partitions: int | None = None,
        timestamp: Callable[[Any], int] | None = None,
        idle_after: str | timedelta | int | None = None,
        on_error: ErrorPolicy | None = None,
        config: Mapping[str, str] | None = None,
    ) -> Topic[Any, Any]:
        """Declare a topic; it is created when the application starts, if the log has none of that name.

        Args:
            key: type of the keys, or a ``Serde``; without one, plain data as MessagePack.
            value: type of the values, likewise.
            codec: how types other than ``bytes`` and ``str`` are written: ``"json"`` or ``"msgpack"``.
            partitions: of a new topic (default 1); an existing one must have as many.
            timestamp: takes event time, in milliseconds since 1970, from the value.
            idle_after: let event time go on with the clock when no input has come for so long.
            on_error: what happens to records that do not decode.
            config: settings of a new topic, by Kafka's names.
        """
        if partitions is not None and partitions < 1:
            raise UsageError(
                f"a topic has at least one partition: {fact_text(topic=name, partitions=partitions)}"
            )
        ensure_hashable_keys(key, topic=name)
        spec = TopicSpec(
            name=name,
            key_serde=serde_for(key, codec=codec),
            value_serde=serde_for(value, codec=codec),
            key_type=None if not isinstance(key, type) else key,
            value_type=value if isinstance(value, type) else None,
            partition_count=partitions,
            timestamp=timestamp,
            idle_after_ms=None if idle_after is None else duration_ms(idle_after),
            on_error=on_error,
            config=dict(config or {}),
        )
        return Topic(self.declaration, self.declaration.topic(spec))

    def table(
        self, name: str, *, key: Any = None, value: Any = None, default: Any = None, codec: str = "json"
    ) -> AppTable[Any, Any]:
        """Declare a table that agents write.

        ``default`` is what ``table[key]`` gives for a key without a value; a function makes a new one.
        """
        ensure_hashable_keys(key, table=name)
        store = StoreSpec(
            name=legal_name(name, "table"),
            key_type=key,
            value_serde=value_serde_for(value, codec),
            default=default,
            copies_on_read=value not in _IMMUTABLE,
        )
        self.declaration.app_tables.append(store)
        return AppTable(self.declaration, store)

    def agent(
        self,
        source: Stream[Any, Any],
        *,
        name: str | None = None,
        concurrency: int = 1,
        on_error: ErrorPolicy | None = None,
        tables: Sequence[AppTable[Any, Any]] = (),
    ) -> Callable[[F], F]:
        """Declare an agent: a coroutine function that iterates over the events of a stream.

        Args:
            concurrency: how many events may be under way at once; events of one key keep their order.
            tables: tables that the function uses in a way that its code does not show.
        """
        if concurrency < 1:
            raise UsageError(f"concurrency is at least 1: {fact_text(concurrency=concurrency)}")

        def declare(function: F) -> F:
            if not inspect.iscoroutinefunction(function):
                raise TopologyError(
                    f"an agent is 'async def' with 'async for event in events': "
                    f"{fact_text(agent=getattr(function, '__name__', function))}"
                )
            step = self.declaration.node_name(name, function, "agent")
            self.declaration.add(
                AgentNode(
                    name=step,
                    parents=(source.flow.keyed(step).node,),
                    on_error=on_error,
                    function=function,
                    concurrency=concurrency,
                    tables=tuple(table.store for table in tables),
                )
            )
            return function

        return declare

    def timer(self, interval: str | timedelta | int, *, name: str | None = None) -> Callable[[F], F]:
        """Call a function every ``interval``, on each worker, one call at a time."""
        interval_ms = duration_ms(interval)
        if interval_ms < 1:
            raise UsageError(f"a timer's interval is at least 1 ms: {fact_text(interval=interval)}")

        def declare(function: F) -> F:
            self.timers.append(Timer(name or function.__name__, function, interval_ms=interval_ms))
            return function

        return declare

    def crontab(self, expression: str, *, name: str | None = None) -> Callable[[F], F]:
        """Call a function at the times of a cron expression, in UTC, on each worker."""
        if not croniter.is_valid(expression):
            raise UsageError(
                f"write a cron expression such as '*/5 * * * *': {fact_text(given=repr(expression))}"
            )

        def declare(function: F) -> F:
            self.timers.append(Timer(name or function.__name__, function, crontab=expression))
            return function

        return declare

    def command(self, name: str | None = None) -> Callable[[F], F]:
        """Make a function a command, ``streamcore app MODULE:APP NAME ...``; its parameters are arguments."""

        def declare(function: F) -> F:
            command = name or function.__name__.replace("_", "-")
            if command in self.commands:
                raise TopologyError(f"two commands have one name, rename one: {fact_text(command=command)}")
            self.commands[command] = function
            return function

        return declare

    def plan(self) -> Plan:
        """The topology, split into sub-topologies.

        Raises:
            TopologyError: two tables have one name.
        """
        declaration = self.declaration
        return make_plan(
            self.app_id,
            declaration.nodes,
            declaration.app_tables,
            list(declaration.topics.values()),
            tables_used_by,
        )

    def describe(self, *, mermaid: bool = False) -> str:
        """The topology as text, or as a Mermaid flowchart."""
        from streamcore.processing.topology.describe import mermaid_text, plain_text

        plan = self.plan()
        return mermaid_text(plan) if mermaid else plain_text(plan)
