"""Write the events to one topic, to two in turns, or as rows that refer to rows of a second topic.

Loaded folders are made once and copied for each measurement.
"""

from __future__ import annotations

from pathlib import Path

from bench.events import EVENT_STEP_MS, OTHER_TOPIC, START_MS, TOPIC, event_keys, event_values
from streamcore.log.connect import connect
from streamcore.model import RecordColumns, TopicPartition

_RUN_EVENTS = 10_000


def load_events(folder: Path, count: int, key_count: int) -> None:
    """Write the events to a topic of one partition in a new folder."""
    keys = event_keys(count, key_count)
    target = TopicPartition(TOPIC, 0)
    with connect(folder) as log:
        log.create_topic(TOPIC, partitions=1, config={"retention.ms": "-1"})
        producer = log.producer_port()
        for first in range(0, count, _RUN_EVENTS):
            run = [next(keys) for _ in range(min(_RUN_EVENTS, count - first))]
            times_ms = [START_MS + (first + index) * EVENT_STEP_MS for index in range(len(run))]
            producer.append_columns(target, RecordColumns(run, event_values(run, first), times_ms))
        producer.close()


def load_events_in_turns(folder: Path, count: int, key_count: int) -> None:
    """Write the events to two topics of one partition in turns, so that their times alternate."""
    keys = event_keys(count, key_count)
    with connect(folder) as log:
        for topic in (TOPIC, OTHER_TOPIC):
            log.create_topic(topic, partitions=1, config={"retention.ms": "-1"})
        producer = log.producer_port()
        for first in range(0, count, _RUN_EVENTS):
            run = [next(keys) for _ in range(min(_RUN_EVENTS, count - first))]
            values: list[bytes | None] = [*event_values(run, first)]
            times_ms = [START_MS + (first + index) * EVENT_STEP_MS for index in range(len(run))]
            for number, topic in enumerate((TOPIC, OTHER_TOPIC)):
                columns = RecordColumns([*run[number::2]], values[number::2], times_ms[number::2])
                producer.append_columns(TopicPartition(topic, 0), columns)
        producer.close()


def load_orders(folder: Path, count: int, key_count: int) -> None:
    """Write each event under a key of its own, and before them one row for each ``k`` to the other topic."""
    keys = event_keys(count, key_count)
    with connect(folder) as log:
        for topic in (TOPIC, OTHER_TOPIC):
            log.create_topic(topic, partitions=1, config={"retention.ms": "-1"})
        producer = log.producer_port()
        names = [b"k%d" % number for number in range(key_count)]
        rows = RecordColumns([*names], [*event_values(names, 0)], [START_MS] * key_count)
        producer.append_columns(TopicPartition(OTHER_TOPIC, 0), rows)
        for first in range(0, count, _RUN_EVENTS):
            run = [next(keys) for _ in range(min(_RUN_EVENTS, count - first))]
            orders: list[bytes | None] = [b"order-%d" % (first + index) for index in range(len(run))]
            times_ms = [START_MS + (first + index) * EVENT_STEP_MS for index in range(len(run))]
            columns = RecordColumns(orders, [*event_values(run, first)], times_ms)
            producer.append_columns(TopicPartition(TOPIC, 0), columns)
        producer.close()
