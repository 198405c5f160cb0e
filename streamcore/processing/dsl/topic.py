"""Declared topics: streams to read, destinations to write to, and the tables made of topics."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Generic, TypeVar

from streamcore.errors import TopologyError, UsageError, fact_text
from streamcore.model import Headers, Record
from streamcore.processing.context import Sender, current_sender
from streamcore.processing.dsl.checks import Duration, declared_ms
from streamcore.processing.dsl.declaration import Declaration
from streamcore.processing.dsl.flow import Destination, Flow, Shape
from streamcore.processing.dsl.stream import Stream
from streamcore.processing.dsl.table import GlobalTable, Table
from streamcore.processing.topology import nodes
from streamcore.processing.topology.code_locations import declares
from streamcore.processing.topology.nodes import (
    Node,
    Source,
    StoreSpec,
    TableHistory,
    TableSource,
    TopicSpec,
)
from streamcore.processing.topology.times import NO_TIMESTAMP, given_time_ms
from streamcore.processing.topology.versions import KEY_HISTORIES, VERSIONS, HistorySpan

K = TypeVar("K")
V = TypeVar("V")


class _TopicFlow(Flow):
    """The flow of a topic. The source node is declared with its first reader: a topic need not be read."""

    def __init__(self, declaration: Declaration, spec: TopicSpec) -> None:
        shape = Shape(key_type=spec.key_type, value_type=spec.value_type, value_serde=spec.value_serde)
        super().__init__(declaration, None, shape)
        self._spec = spec

    @property
    def node(self) -> Node:
        """The source node; the first access declares it."""
        if self._node is None:
            self._node = self.declaration.add(Source(name=self._spec.name, topic=self._spec))
        return self._node

    @property
    def name(self) -> str:
        """The topic's name; an access declares nothing."""
        return self._spec.name


class Topic(Stream[K, V], Destination[K | None, V | None], Generic[K, V]):
    """A declared topic: a stream to read, a destination to write to, the source of a table."""

    def __init__(self, declaration: Declaration, spec: TopicSpec) -> None:
        Stream.__init__(self, _TopicFlow(declaration, spec))
        self.spec = spec

    def __repr__(self) -> str:
        partitions = "" if self.spec.partition_count is None else f" partitions={self.spec.partition_count}"
        return f"<Topic {self.name!r} {self.flow.shape}{partitions}>"

    @declares
    def table(self, name: str, *, history: Duration | None = None) -> Table[K, V]:
        """Return the topic as a table: the newest value of each key. The topic is the table's changelog.

        With ``history``, such as ``"1d"``, the table also keeps the values that its keys had, with the event
        times from which they hold, for joins with ``as_of=True``. They are kept as long as the watermark is
        not further than that beyond the time at which another value followed; the store that holds them has
        a changelog.

        Raises:
            TopologyError: the name is taken or invalid, or the history is no duration.
        """
        store = self._store(name)
        kept = None
        if history is not None:
            span = HistorySpan(declared_ms(history, "history=", table=name))
            kept = self._history(store, span)
        node_name = self.declaration.node_name(None, None, name)
        node = TableSource(name=node_name, parents=(self.node,), store=store, history=kept)
        return Table(self.flow.then(node), store)

    @declares
    def global_table(self, name: str) -> GlobalTable[K, V]:
        """Return the whole topic as a table on every worker, whatever the partitions of streams that join it.

        Raises:
            TopologyError: the name is taken or invalid.
        """
        store = self._store(name)
        node_name = self.declaration.node_name(None, None, name)
        node = self.declaration.add(nodes.GlobalTable(name=node_name, store=store, topic=self.spec))
        return GlobalTable(Flow(self.declaration, node, self.flow.shape), node, store)

    async def send(
        self,
        *,
        value: V | None,
        key: K | None = None,
        timestamp_ms: int | None = None,
        at: datetime | str | int | None = None,
        partition: int | None = None,
        headers: Headers = (),
    ) -> None:
        """Write one record.

        In an agent the record is part of the agent's commit, and has the event's time unless one is
        given. In a timer or command it is durable when the call returns.

        Args:
            value: of the topic's type; ``None`` is a tombstone.
            key: of the topic's type; it decides the partition if none is given.
            timestamp_ms: the time of the record, in milliseconds since 1970.
            at: the same, as a datetime or text.
            partition: the partition, instead of the key's.
            headers: names and bytes, in order.

        Raises:
            UsageError: the topic has no such partition.
            InvalidTimestampError: the time is before 1970 or after the year 9999.
            InvalidRecordError: the headers are not pairs of text and bytes.
        """
        record = Record(
            key,
            value,
            _given_time_ms(timestamp_ms if at is None else at),
            headers,
            partition=-1 if partition is None else partition,
        )
        current_sender(self.spec.name).send(self.spec, [record])

    def send_many(self, records: Iterable[Record[Any, Any] | tuple[Any, Any]]) -> int:
        """Write records, or pairs of key and value; return their number, once all are durable."""
        return _sender(self.spec).send(self.spec, map(_record, records))

    def send_and_wait(
        self, *, value: V | None, key: K | None = None, timestamp_ms: int | None = None, headers: Headers = ()
    ) -> None:
        """Write one record and wait until it is durable. Raises as ``send`` does."""
        record = Record(key, value, _given_time_ms(timestamp_ms), headers)
        _sender(self.spec).send(self.spec, [record])

    def _store(self, name: str) -> StoreSpec:
        if self.spec.max_ahead_ms is not None:
            raise TopologyError(
                "a table follows its topic, and a restore could not repeat what the clock decided about a "
                "record; declare max_ahead= on topics that are read as streams only: "
                + fact_text(topic=self.spec.name, table=name)
            )
        return StoreSpec(
            name=self.declaration.store_name(name),
            key_type=self.spec.key_type,
            value_serde=self.spec.value_serde,
            source_topic=self.spec,
        )

    def _history(self, table: StoreSpec, span: HistorySpan) -> TableHistory:
        """Return the stores of the versions of a table."""
        keys = StoreSpec(
            name=self.declaration.store_name(f"{table.name}.history"),
            key_type=table.key_type,
            value_serde=KEY_HISTORIES,
            is_step_state=True,
            history=span,
        )
        versions = StoreSpec(
            name=self.declaration.store_name(f"{table.name}.versions"),
            key_type=table.key_type,
            value_serde=VERSIONS,
            windows=span.buckets(),
            is_step_state=True,
            history=span,
        )
        return TableHistory(span=span, keys=keys, versions=versions)


def _sender(spec: TopicSpec) -> Sender:
    return current_sender(spec.name)


def _given_time_ms(given: datetime | str | int | None) -> int:
    return NO_TIMESTAMP if given is None else given_time_ms(given)


def _record(item: Record[Any, Any] | tuple[Any, Any]) -> Record[Any, Any]:
    if isinstance(item, Record):
        return item
    if isinstance(item, tuple) and len(item) == 2:
        return Record(item[0], item[1])
    raise UsageError(f"give sc.Record or (key, value): {fact_text(given=type(item).__name__)}")
