"""The application: the object on which topics, tables, agents and timers are declared. Nothing runs here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from datetime import datetime
from types import UnionType
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar, overload

from streamcore.errors import TopologyError, fact_text
from streamcore.model import Record
from streamcore.processing.dsl.app_table import AppTable, declare_table
from streamcore.processing.dsl.called import CalledFunctions
from streamcore.processing.dsl.checks import (
    CONCURRENCY_MAX,
    PARTITION_COUNT_MAX,
    Duration,
    app_policy,
    check_agent_function,
    check_config,
    check_count,
    check_flag,
    check_function,
    check_policy,
    declared_ms,
    legal_name,
)
from streamcore.processing.dsl.copartitioning import brought_together
from streamcore.processing.dsl.declaration import (
    Declaration,
    allows_none,
    ensure_hashable_keys,
)
from streamcore.processing.dsl.discovery import tables_used_by
from streamcore.processing.dsl.stream import Stream
from streamcore.processing.dsl.table import GlobalTable, Table, WindowedTable
from streamcore.processing.dsl.topic import Topic
from streamcore.processing.dsl.topic_keys import key_serde_for, store_key_type
from streamcore.processing.topology.application import Application, OnRecreatedTopic, dead_letter_topics
from streamcore.processing.topology.code_locations import declares, shown
from streamcore.processing.topology.error_policy import ErrorPolicy, stop
from streamcore.processing.topology.nodes import AgentNode, Node, StoreSpec, TopicSpec
from streamcore.processing.topology.plan import Plan, make_plan
from streamcore.serde import Serde, serde_for

if TYPE_CHECKING:
    from typing import _SpecialForm

K = TypeVar("K")
V = TypeVar("V")
V_co = TypeVar("V_co", covariant=True)
W = TypeVar("W")
X = TypeVar("X")
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


class Events(Protocol[V_co]):
    """The stream that an agent iterates over. A request for the next event acknowledges the one before."""

    def __aiter__(self) -> AsyncIterator[V_co]:
        """Iterate over the values."""

    def items(self) -> AsyncIterator[tuple[Any, V_co]]:
        """Iterate over pairs of key and value."""

    def records(self) -> AsyncIterator[Record[Any, Any]]:
        """Iterate over the records: key, value, time, headers, topic, partition, offset."""


Form: TypeAlias = "UnionType | _SpecialForm | None"
"""A type that type checkers cannot follow as a value (``Order | None``, ``Any``), or no declared type."""

AgentFunction = Callable[[Any], Awaitable[Any]]
AnyTable = AppTable[Any, Any] | Table[Any, Any] | WindowedTable[Any, Any] | GlobalTable[Any, Any]


class App(CalledFunctions):
    """A stream processing application.

    The ``app_id`` is the prefix of its group, internal topics and state: it must stay the same from one
    release to the next. ``on_error`` is the error policy of steps that declare none.
    """

    @declares
    def __init__(
        self,
        app_id: str,
        *,
        on_error: ErrorPolicy = stop,
        on_recreated_topic: OnRecreatedTopic = "stop",
    ) -> None:
        """Create an application without steps.

        Args:
            app_id: the identity of the application; it stays the same from one release to the next.
            on_error: the error policy of steps that declare none.
            on_recreated_topic: what a start does when a topic that the application reads was deleted and
                created again: ``"stop"`` with an error, ``"start-over"`` with empty tables and the records of
                the new topic, or ``"go-on"`` with the tables as they are.

        Raises:
            TopologyError: ``on_recreated_topic`` is none of these.
        """
        if on_recreated_topic not in ("stop", "start-over", "go-on"):
            raise TopologyError(
                "on_recreated_topic is 'stop', 'start-over' or 'go-on': "
                + fact_text(given=repr(on_recreated_topic))
            )
        self.app_id = legal_name(app_id, "application")
        self.on_recreated_topic: OnRecreatedTopic = on_recreated_topic
        policy = app_policy(on_error, app=app_id)
        super().__init__(Declaration(app_id=app_id, on_error=policy))
        self.declaration.check_dead_letter(policy, app=app_id)

    def __repr__(self) -> str:
        declaration = self.declaration
        topics = sum(not topic.internal for topic in declaration.topics.values())
        tables = sum(kind == "table" for kind, _ in declaration.locations)
        agents = sum(isinstance(node, AgentNode) for node in declaration.nodes)
        return (
            f"<App {self.app_id!r} topics={topics} tables={tables} agents={agents} timers={len(self.timers)}>"
        )

    @overload
    def topic(
        self,
        name: str,
        *,
        key: type[K] | Serde[K],
        value: type[V] | Serde[V],
        codec: str = ...,
        partitions: int | None = ...,
        timestamp: Callable[[V], int | datetime] | None = ...,
        idle_after: Duration | None = ...,
        max_ahead: Duration | None = ...,
        on_null: str | None = ...,
        on_error: ErrorPolicy | None = ...,
        config: Mapping[str, str] | None = ...,
    ) -> Topic[K, V]: ...
    @overload
    def topic(
        self,
        name: str,
        *,
        key: Form = ...,
        value: type[V] | Serde[V],
        codec: str = ...,
        partitions: int | None = ...,
        timestamp: Callable[[V], int | datetime] | None = ...,
        idle_after: Duration | None = ...,
        max_ahead: Duration | None = ...,
        on_null: str | None = ...,
        on_error: ErrorPolicy | None = ...,
        config: Mapping[str, str] | None = ...,
    ) -> Topic[Any, V]: ...
    @overload
    def topic(
        self,
        name: str,
        *,
        key: type[K] | Serde[K],
        value: Form = ...,
        codec: str = ...,
        partitions: int | None = ...,
        timestamp: Callable[[Any], int | datetime] | None = ...,
        idle_after: Duration | None = ...,
        max_ahead: Duration | None = ...,
        on_null: str | None = ...,
        on_error: ErrorPolicy | None = ...,
        config: Mapping[str, str] | None = ...,
    ) -> Topic[K, Any]: ...
    @overload
    def topic(
        self,
        name: str,
        *,
        key: Form = ...,
        value: Form = ...,
        codec: str = ...,
        partitions: int | None = ...,
        timestamp: Callable[[Any], int | datetime] | None = ...,
        idle_after: Duration | None = ...,
        max_ahead: Duration | None = ...,
        on_null: str | None = ...,
        on_error: ErrorPolicy | None = ...,
        config: Mapping[str, str] | None = ...,
    ) -> Topic[Any, Any]: ...
    @declares
    def topic(
        self,
        name: str,
        *,
        key: Any = None,
        value: Any = None,
        codec: str = "json",
        partitions: int | None = None,
        timestamp: Callable[[Any], Any] | None = None,
        idle_after: Duration | None = None,
        max_ahead: Any = ...,
        on_null: str | None = None,
        on_error: ErrorPolicy | None = None,
        config: Mapping[str, str] | None = None,
    ) -> Topic[Any, Any]:
        """Declare a topic; the start of the application creates it if it does not exist.

        Args:
            key: type of the keys, or a ``Serde``; without one, plain data as MessagePack.
            value: type of the values, likewise.
            codec: how types other than ``bytes`` and ``str`` are written: ``"json"`` or ``"msgpack"``.
            partitions: the number of partitions of a new topic (default 1); an existing topic must have the
            same.
            timestamp: returns the event time of a value: milliseconds since 1970, or a datetime with a zone.
            idle_after: after this time without input, event time advances with the clock.
            max_ahead: how far ahead of the clock an event time may be; a later time is an error of its
                record. Without it, a record whose time is more than a day ahead is processed, but closes no
                windows; with ``None`` any time until the year 9999 closes the windows before it.
            on_null: what streams and agents do with records without a value: ``"skip"`` or ``"pass"``. By
                default they are skipped if the type of the values is declared and does not allow ``None``.
                Tables treat them as deletions in any case.
            on_error: what happens to records that do not decode, or whose time cannot be used.
            config: settings of a new topic, by Kafka's names.

        Raises:
            TopologyError: the topic is declared already, or an argument is invalid.
            UsageError: keys or values of this type cannot be written.
        """
        check_policy(on_error, topic=shown(name))
        if partitions is not None:
            check_count(partitions, "partitions=", PARTITION_COUNT_MAX, topic=shown(name))
        if timestamp is not None:
            check_function(timestamp, step=f"{name}:timestamp")
        ensure_hashable_keys(key, topic=name)
        if on_null not in (None, "skip", "pass"):
            raise TopologyError(
                f"on_null is 'skip' or 'pass': {fact_text(topic=name, on_null=repr(on_null))}"
            )
        spec = TopicSpec(
            name=name,
            key_serde=key_serde_for(key, codec),
            value_serde=serde_for(value, codec=codec),
            key_type=store_key_type(key),
            value_type=value if isinstance(value, type) else None,
            partition_count=partitions,
            timestamp=timestamp,
            idle_after_ms=None if idle_after is None else declared_ms(idle_after, "idle_after=", topic=name),
            max_ahead_ms=None
            if max_ahead is None or max_ahead is ...
            else declared_ms(max_ahead, "max_ahead=", topic=name),
            takes_any_time=max_ahead is None,
            skips_nulls=not allows_none(value) if on_null is None else on_null == "skip",
            on_error=on_error,
            config=check_config(config, topic=name),
        )
        return Topic(self.declaration, self.declaration.topic(spec))

    @overload
    def table(
        self,
        name: str,
        *,
        key: type[K] | Serde[K],
        value: type[V] | Serde[V],
        default: V | Callable[[], V] | None = ...,
        codec: str = ...,
    ) -> AppTable[K, V]: ...
    @overload
    def table(
        self,
        name: str,
        *,
        key: Form = ...,
        value: type[V] | Serde[V],
        default: V | Callable[[], V] | None = ...,
        codec: str = ...,
    ) -> AppTable[Any, V]: ...
    @overload
    def table(
        self, name: str, *, key: type[K] | Serde[K], value: Form = ..., default: Any = ..., codec: str = ...
    ) -> AppTable[K, Any]: ...
    @overload
    def table(
        self, name: str, *, key: Form = ..., value: Form = ..., default: Any = ..., codec: str = ...
    ) -> AppTable[Any, Any]: ...
    @declares
    def table(
        self, name: str, *, key: Any = None, value: Any = None, default: Any = None, codec: str = "json"
    ) -> AppTable[Any, Any]:
        """Declare a table that agents write.

        ``default`` is the value of ``table[key]`` for a missing key; a function is called for a new default.

        Raises:
            TopologyError: the name is taken, or the default is not a value of the table.
            UsageError: keys or values of this type cannot be stored.
        """
        return declare_table(self.declaration, name, key=key, value=value, default=default, codec=codec)

    @overload
    def agent(
        self,
        source: Stream[Any, V],
        *,
        name: str | None = ...,
        concurrency: int = ...,
        on_error: ErrorPolicy | None = ...,
        tables: Sequence[AnyTable] = ...,
    ) -> Callable[
        [Callable[[Events[V]], Coroutine[Any, Any, T]]], Callable[[Events[V]], Coroutine[Any, Any, T]]
    ]: ...
    @overload
    def agent(
        self,
        source: Stream[Any, V],
        second: Stream[Any, W],
        third: Stream[Any, X],
        /,
        *,
        name: str | None = ...,
        concurrency: int = ...,
        on_error: ErrorPolicy | None = ...,
        tables: Sequence[AnyTable] = ...,
    ) -> Callable[
        [Callable[[Events[V | W | X]], Coroutine[Any, Any, T]]],
        Callable[[Events[V | W | X]], Coroutine[Any, Any, T]],
    ]: ...
    @overload
    def agent(
        self,
        source: Stream[Any, V],
        *more: Stream[Any, W],
        name: str | None = ...,
        concurrency: int = ...,
        on_error: ErrorPolicy | None = ...,
        tables: Sequence[AnyTable] = ...,
    ) -> Callable[
        [Callable[[Events[V | W]], Coroutine[Any, Any, T]]], Callable[[Events[V | W]], Coroutine[Any, Any, T]]
    ]: ...
    @declares
    def agent(
        self,
        source: Any = None,
        *more: Any,
        name: str | None = None,
        concurrency: int = 1,
        on_error: ErrorPolicy | None = None,
        tables: Sequence[AnyTable] = (),
    ) -> Any:
        """Declare an agent: a coroutine function that iterates over the events of one stream, or of several.

        Args:
            concurrency: the number of events that may be under way at once; events of one key keep their
            order.
            tables: tables that the function uses in a way that its code does not show, and aggregations
                that it reads beside another stream than the one they are computed from.

        Raises:
            TopologyError: the function is not ``async def``, or an argument is invalid.
        """
        sources = (source, *more)
        for given in sources:
            if not isinstance(given, Stream):
                raise TopologyError(
                    "an agent follows a topic or stream, @app.agent(topic) or @app.agent(table.updates()): "
                    + fact_text(given=shown(given))
                )
        label = source.flow.label(name, None, "agent")
        for given in sources:
            if given.declaration is not self.declaration:
                source.flow.ensure_same_app(self.declaration, agent=label, stream=given.name)
                given.flow.ensure_same_app(self.declaration, agent=label, stream=given.name)
        check_policy(on_error, agent=label)
        check_count(concurrency, "concurrency=", CONCURRENCY_MAX, agent=label)
        stores = self._stores_of(tables, label)

        @declares
        def declare(function: F) -> F:
            label = source.flow.label(name, function, "agent")
            check_agent_function(function, label)
            step = self.declaration.node_name(name, function, "agent")
            united = self._united(sources, step, has_tables=bool(stores or tables_used_by(function)))
            self.declaration.add(
                AgentNode(
                    name=step,
                    parents=(united.node,),
                    on_error=on_error,
                    function=function,
                    concurrency=concurrency,
                    tables=stores,
                    keyed_only=source.flow.shape.key_changed,
                )
            )
            return function

        return declare

    def _united(
        self, sources: Sequence[Stream[Any, Any]], agent: str, *, has_tables: bool
    ) -> Stream[Any, Any]:
        """Return the stream that an agent reads.

        Where a step changed the keys, or an agent with tables reads topics that write equal keys in different
        ways, repartition topics are inserted.
        """
        if len(sources) == 1:
            flow = sources[0].flow
            return Stream(flow.keyed(agent) if flow.shape.key_changed or has_tables else flow)
        flows = [source.flow for source in sources]
        if has_tables or any(flow.shape.key_changed for flow in flows):
            together = brought_together(flows, agent)
            if any(flow is not found for flow, found in zip(flows, together, strict=True)):
                self.declaration.ensure_durable(agent)
            sources = [Stream(flow) for flow in together]
        return sources[0].merge(*sources[1:])

    def _stores_of(self, tables: Any, agent: str) -> tuple[StoreSpec, ...]:
        """Return the stores of the tables that an agent names; global tables need none in a task."""
        kinds = (AppTable, Table, WindowedTable, GlobalTable)
        if isinstance(tables, kinds) or not isinstance(tables, Sequence):
            raise TopologyError(
                f"tables= is a list, tables=[table]: {fact_text(agent=agent, given=shown(tables))}"
            )
        for table in tables:
            if not isinstance(table, kinds):
                raise TopologyError(
                    f"tables= names tables of the application: {fact_text(agent=agent, given=shown(table))}"
                )
            if table.declaration is not self.declaration:
                raise TopologyError(
                    "the table belongs to another application: "
                    + fact_text(agent=agent, table=table.name, app=self.app_id)
                )
        return tuple(table.store for table in tables if not isinstance(table, GlobalTable))

    def declared(self) -> Application:
        """Return what is declared so far as one frozen value; a worker runs it.

        Raises:
            TopologyError: two tables have one name.
        """
        declaration = self.declaration
        declaring: tuple[TopicSpec | Node, ...] = (*declaration.topics.values(), *declaration.nodes)
        return Application(
            app_id=self.app_id,
            plan=self.plan(),
            on_error=declaration.on_error,
            on_recreated_topic=self.on_recreated_topic,
            dead_letter_topics=dead_letter_topics(
                [declaration.on_error, *(each.on_error for each in declaring)]
            ),
            timers=tuple(self.timers),
            start_hooks=tuple(self.start_hooks),
            stop_hooks=tuple(self.stop_hooks),
        )

    def plan(self) -> Plan:
        """Return the topology, split into sub-topologies.

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

    @declares
    def describe(self, *, mermaid: bool = False) -> str:
        """Return the topology as text, or as a Mermaid flowchart.

        Raises:
            TopologyError: the declarations contradict each other.
        """
        check_flag(mermaid, "mermaid=")
        from streamcore.processing.topology.describe import mermaid_text, plain_text

        plan = self.plan()
        return mermaid_text(plan) if mermaid else plain_text(plan)
