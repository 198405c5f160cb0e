"""Checks the records that user code makes: those that a step returns, and those given to ``send``.

A record is checked where it is made, so that the error policy of that step decides about the current event.
The commit, which comes later, does not know the event that a record was made from.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from streamcore.errors import InvalidRecordError, SerdeError, UsageError, UserCodeError, fact_text
from streamcore.model import Headers, Record
from streamcore.processing.topology.nodes import TopicSpec
from streamcore.processing.topology.times import NO_TIMESTAMP, given_time_ms


def made_record(made: object) -> Record[Any, Any]:
    """Return a record that a step's function returned, or that ``send_many`` was given, with checked fields.

    ``topic``, ``partition`` and ``offset`` are unchanged: they say where a record was read.

    Raises:
        UserCodeError: the object is not an ``sc.Record``.
        InvalidTimestampError: its time is before 1970 or after the year 9999; -1 means no time.
        InvalidRecordError: its headers are not pairs of text and bytes.
        UsageError: its time is not a number of milliseconds.
    """
    if not isinstance(made, Record):
        raise UserCodeError(f"return sc.Record from this step: {fact_text(given=type(made).__name__)}")
    timestamp_ms = made.timestamp_ms
    if type(timestamp_ms) is not int or timestamp_ms != NO_TIMESTAMP:
        timestamp_ms = given_time_ms(timestamp_ms)
    headers = made.headers
    if headers != ():
        headers = checked_headers(headers)
    if timestamp_ms is made.timestamp_ms and headers is made.headers:
        return made
    return replace(made, timestamp_ms=timestamp_ms, headers=headers)


def encoded(topic: TopicSpec, record: Record[Any, Any]) -> Record[bytes | None, bytes | None]:
    """Return a record with encoded key and value, as a topic holds it.

    Raises:
        SerdeError: its key or its value is not of the topic's type.
    """
    what, found = "key", record.key
    try:
        key = None if found is None else topic.key_serde.encode(found)
        what, found = "value", record.value
        value = None if found is None else topic.value_serde.encode(found)
    except Exception as error:  # of the user's serde, or of a class of the user's
        facts = fact_text(topic=topic.name, value=repr(found)[:100], error=error)
        raise SerdeError(f"this {what} is not of the topic's type: {facts}") from error
    return Record(
        key, value, record.timestamp_ms, record.headers, record.topic, record.partition, record.offset
    )


def checked_headers(headers: object) -> Headers:
    """Return headers as a tuple of pairs.

    Raises:
        InvalidRecordError: they are not pairs of text and bytes; the bytes may be ``None``.
    """
    if isinstance(headers, list | tuple):
        pairs = tuple(tuple(pair) if isinstance(pair, list | tuple) else () for pair in headers)
        if all(map(_is_header, pairs)):
            return headers if isinstance(headers, tuple) and headers == pairs else pairs
    raise InvalidRecordError(
        f"headers are pairs of text and bytes, (('name', b'value'),): {fact_text(given=repr(headers)[:100])}"
    )


def _is_header(pair: tuple[Any, ...]) -> bool:
    if len(pair) != 2:
        return False
    name, value = pair
    if not isinstance(name, str) or not (value is None or isinstance(value, bytes)):
        return False
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def wanted_partition(topic: str, record: Record[Any, Any], partition_count: int) -> int:
    """Return the partition that a sent record names; -1 if its key decides.

    A record that was read somewhere, which has an offset, names where it was read: its key decides.

    Raises:
        UsageError: the topic has no such partition.
    """
    partition = record.partition
    if partition == -1 or record.offset >= 0:
        return -1
    if isinstance(partition, bool) or not isinstance(partition, int) or not 0 <= partition < partition_count:
        raise UsageError(
            "the topic has no such partition; give one from 0, or leave partition= out: "
            + fact_text(topic=topic, partition=partition, partitions=partition_count)
        )
    return partition


def partition_without_key(source: Record[bytes | None, bytes | None], partition_count: int) -> int:
    """Return the partition of a record without a key in a repartition topic, by partition and offset of its
    origin.

    The task that reads the record, and its order among others, then depend on the records only.
    """
    return (source.partition + source.offset) % partition_count
