"""Write the events to a topic. Loaded folders are made once and copied for each measurement."""

from __future__ import annotations

from pathlib import Path

from bench.events import EVENT_STEP_MS, START_MS, TOPIC, event_keys, event_values
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
