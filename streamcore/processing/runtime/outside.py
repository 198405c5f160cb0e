"""Access of a program to its running application outside of agents: typed sends, names of tables.

``OutsideSender`` encodes keys and values as the topics of the application declare them. Its records are not
part of any commit: each is durable when its future is done.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Protocol, TypeAlias

from streamcore.errors import ClosedError, SerdeError, UsageError, fact_text
from streamcore.log.client.producer.pending import SendFuture, SendManyFuture
from streamcore.log.client.producer.producer import Producer
from streamcore.log.connected_log import ConnectedLog
from streamcore.model import Headers, Record
from streamcore.processing.topology.made_records import checked_headers, made_record
from streamcore.processing.topology.nodes import StoreSpec, TopicSpec
from streamcore.processing.topology.times import given_time_ms


class DeclaredTopic(Protocol):
    """A topic as an application declares it."""

    spec: TopicSpec


class DeclaredTable(Protocol):
    """A table as an application declares it: of a topic, of an aggregation, or written by agents."""

    store: StoreSpec


AnyTopic: TypeAlias = "DeclaredTopic | str"
AnyTable: TypeAlias = "DeclaredTable | str"


class OutsideSender:
    """Sends to the topics of one application. Safe to share between threads."""

    def __init__(self, log: ConnectedLog, topics: Mapping[str, TopicSpec]) -> None:
        self._log = log
        self._topics = topics
        self._lock = threading.Lock()
        self._producer: Producer | None = None
        self._is_closed = False

    def send(
        self,
        topic: AnyTopic,
        *,
        key: Any,
        value: Any,
        at: datetime | str | int | None,
        partition: int | None,
        headers: Headers,
    ) -> SendFuture:
        """Start to send a record; the future is done when the record is durable.

        Raises:
            ClosedError: the application has stopped.
            SerdeError: the key or the value is not of the topic's type.
            UsageError: the application has no such topic, or the topic no such partition.
            InvalidRecordError: a time or headers that no record can have.
        """
        spec = self._spec(topic)
        return self._open_producer().send(
            spec.name,
            key=_encoded(spec, "key", key),
            value=_encoded(spec, "value", value),
            partition=partition,
            timestamp_ms=None if at is None else given_time_ms(at),
            headers=checked_headers(headers),
        )

    def send_many(
        self, topic: AnyTopic, records: Iterable[Record[Any, Any] | tuple[Any, Any]]
    ) -> SendManyFuture:
        """Start to send records, or pairs of key and value; raises like ``send``."""
        spec = self._spec(topic)
        return self._open_producer().send_many(spec.name, _encoded_records(spec, records))

    def close(self) -> None:
        """Send and wait for all records that were accepted, and accept no more."""
        with self._lock:
            self._is_closed = True
            producer, self._producer = self._producer, None
        if producer is not None:
            producer.close()

    def _open_producer(self) -> Producer:
        with self._lock:
            if self._is_closed:
                raise ClosedError("the application has stopped; run it again to send")
            if self._producer is None:
                self._producer = self._log.producer()
            return self._producer

    def _spec(self, topic: AnyTopic) -> TopicSpec:
        declared: TopicSpec | None = None if isinstance(topic, str) else getattr(topic, "spec", None)
        name = topic if isinstance(topic, str) else getattr(declared, "name", repr(topic))
        found = self._topics.get(name)
        if found is None or not (isinstance(topic, str) or declared is found):
            raise UsageError(
                "the application has no such topic; declare it with app.topic(...) on this application, "
                "or send bytes with log.producer(): "
                + fact_text(topic=name, topics=",".join(sorted(self._topics)) or "none")
            )
        return found


def table_name(table: AnyTable, stores: Mapping[str, StoreSpec]) -> str:
    """Return the name of a table of the application, given by its name or as declared.

    Raises:
        UsageError: the application has no such table.
    """
    declared: StoreSpec | None = None if isinstance(table, str) else getattr(table, "store", None)
    name = table if isinstance(table, str) else getattr(declared, "name", repr(table))
    store = stores.get(name)
    if store is None or not (isinstance(table, str) or declared is store):
        tables = ",".join(sorted(stores)) or "none"
        raise UsageError(f"the application has no such table: {fact_text(table=name, tables=tables)}")
    return name


def _encoded_records(
    spec: TopicSpec, records: Iterable[Record[Any, Any] | tuple[Any, Any]]
) -> Iterator[Record[bytes | None, bytes | None]]:
    for number, item in enumerate(records):
        match item:
            case Record():
                item = made_record(item)
                key, value, timestamp_ms, headers = item.key, item.value, item.timestamp_ms, item.headers
            case (key, value):
                timestamp_ms, headers = -1, ()
            case _:
                raise UsageError(
                    f"give sc.Record or (key, value): {fact_text(given=type(item).__name__, index=number)}"
                )
        yield Record(_encoded(spec, "key", key), _encoded(spec, "value", value), timestamp_ms, headers)


def _encoded(spec: TopicSpec, what: str, given: Any) -> bytes | None:
    if given is None:
        return None
    serde = spec.key_serde if what == "key" else spec.value_serde
    try:
        return serde.encode(given)
    except Exception as error:
        raise SerdeError(
            f"this {what} is not of the topic's type: "
            + fact_text(topic=spec.name, given=repr(given)[:100], error=error)
        ) from error
