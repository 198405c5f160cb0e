"""Write events to the topics ``person``, ``auction`` and ``bid``: all of them, or none.

One transaction holds all events, so that after a crash in the middle no event is visible. A load may take 15
minutes: the log aborts a transaction that is open for longer. A line becomes
the value of a record as it is. Persons and auctions are keyed by their id, bids by their auction, and the
time of the record is that of the event.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final

import msgspec

import streamcore as sc
from apps.nexmark.events import AUCTION, BID, PERSON
from streamcore.model import TopicPartition

TOPICS: Final = {PERSON: "person", AUCTION: "auction", BID: "bid"}
SIDE_TOPIC: Final = "nexmark-side"
SIDE_ROWS: Final = 10_000
"""The side table of q13 has a row for each number below this."""

SIDE_TIME_MS: Final = 1
"""The time of these rows; clients of Kafka take 0 for the present time."""

_CHUNK: Final = 10_000


class _Head(msgspec.Struct, gc=False):
    """The fields that decide about topic, key and time."""

    event_type: int
    dateTime: int
    id: int = -1
    auction: int = -1


def create_topics(log: sc.Log, app: sc.App, partitions: int | None) -> None:
    """Give the input topics this number of partitions; ``None`` leaves them as they are.

    Raises:
        UsageError: they have another number of partitions, and hold events.
    """
    counts = {name: topic.partition_count for name, topic in log.topics().items()}
    if partitions is None or all(counts.get(name) == partitions for name in TOPICS.values()):
        return
    if any(_holds_records(log, name) for name in TOPICS.values() if name in counts):
        raise sc.UsageError(
            "the topics hold events and keep their partitions; use another folder: "
            f"partitions={counts['bid']} wanted={partitions}"
        )
    for topic in app.plan().topics:
        # A repartition topic has as many partitions as the topic that it is made from.
        if topic.name in counts and (topic.internal or topic.name in TOPICS.values()):
            log.delete_topic(topic.name)
    for name in TOPICS.values():
        log.create_topic(name, partitions=partitions, config={"retention.ms": "-1"})


def load_lines(log: sc.Log, lines: Iterable[bytes]) -> int:
    """Write events and, if it is missing, the side table; return the number of events, once all are durable.

    Raises:
        UsageError: a line is not an event; the message has its number, and nothing is written.
    """
    count = 0
    loading = log.producer(transactional_id="nexmark-load", transaction_timeout="15m")
    with loading as producer, producer.transaction():
        if SIDE_TOPIC not in log.topics() or not _holds_records(log, SIDE_TOPIC):
            producer.send_many(SIDE_TOPIC, side_rows())
        rest = (line for line in lines if not line.isspace())
        while chunk := list(islice(rest, _CHUNK)):
            for topic, records in _records(chunk, count).items():
                producer.send_many(topic, records)
            count += len(chunk)
    return count


def side_rows() -> Iterator[sc.Record[bytes, bytes]]:
    """Yield the rows of the side table: a number, and the number as a text."""
    for number in range(SIDE_ROWS):
        text = b"%d" % number
        yield sc.Record(text, text, SIDE_TIME_MS)


def _records(lines: list[bytes], lines_before: int) -> dict[str, list[sc.Record[bytes, bytes]]]:
    found: dict[str, list[sc.Record[bytes, bytes]]] = {}
    decode = _DECODER.decode
    for number, line in enumerate(lines, lines_before + 1):
        try:
            head = decode(line)
            topic = TOPICS[head.event_type]
            key = head.auction if head.event_type == BID else head.id
            if key < 0:
                raise ValueError("an event has an id, a bid has an auction")
        except (msgspec.MsgspecError, KeyError, ValueError) as error:
            raise sc.UsageError(f"the line is not an event: line={number} reason={error!r}") from error
        record = sc.Record(b"%d" % key, line.rstrip(), head.dateTime)
        found.setdefault(topic, []).append(record)
    return found


_DECODER: Final = msgspec.json.Decoder(_Head)


def _holds_records(log: sc.Log, topic: str) -> bool:
    """Whether a topic has visible records; those of an aborted load are not."""
    partitions = [TopicPartition(topic, number) for number in range(log.topics()[topic].partition_count)]
    if all(offsets.last_stable == offsets.log_start for offsets in log.offsets(partitions).values()):
        return False
    with log.consumer(topic, start="earliest") as consumer:
        return bool(consumer.poll(timeout="0ms" if log.is_embedded else "1s"))
