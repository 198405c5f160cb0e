"""Write the year to the log: the registry and all events, in one transaction.

One transaction, so that the topics hold the whole year once, or nothing: after a crash in the middle no
record is visible, and the next attempt begins again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TypeVar

import streamcore as sc
from apps.fleet.events import Flight, Plane
from apps.fleet.topics import flights, planes

REGISTERED_MS = 1356998400000
"""New Year of 2013, before all flights, so that joins find the registry."""

PROGRESS_EVERY = 5_000

Progress = Callable[[int], None]
Item = TypeVar("Item")


def is_loaded(log: sc.Log) -> bool:
    """Whether the year is in the log; records of an aborted attempt do not count."""
    if flights.name not in log.topics():
        return False
    with log.consumer(flights.name, start="earliest") as consumer:
        return bool(consumer.poll(timeout="0ms"))


def load(log: sc.Log, events: Iterable[Flight], registry: Iterable[Plane], progress: Progress) -> None:
    """Create the topics and write everything, durably.

    ``progress`` is called with the number of further records, every few thousand.
    """
    for topic in (planes, flights):
        if topic.name not in log.topics():
            log.create_topic(topic.name, partitions=topic.spec.partition_count or 1, config=topic.spec.config)
    encode_plane = planes.spec.value_serde.encode
    encode_flight = flights.spec.value_serde.encode
    loading = log.producer(transactional_id="fleet-load", transaction_timeout="15m")
    with loading as producer, producer.transaction():
        producer.send_many(
            planes.name,
            (
                sc.Record(plane.tailnum.encode(), encode_plane(plane), REGISTERED_MS)
                for plane in told(registry, progress)
            ),
        )
        producer.send_many(
            flights.name,
            (
                sc.Record(flight.tailnum and flight.tailnum.encode(), encode_flight(flight), flight.ts)
                for flight in told(events, progress)
            ),
        )


def told(items: Iterable[Item], progress: Progress) -> Iterator[Item]:
    """Yield the items; call ``progress`` with their number after every few thousand."""
    remaining = iter(items)
    while chunk := list(islice(remaining, PROGRESS_EVERY)):
        yield from chunk
        progress(len(chunk))
