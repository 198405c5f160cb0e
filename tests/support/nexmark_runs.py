"""Runs of Nexmark's queries: events in, the rows of the result topic out.

``KINDS`` says what the result of a query is: every row of the topic, or the last row of each key.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

import apps.nexmark
import streamcore as sc
from apps.nexmark.events import AUCTION, BID, PERSON
from apps.nexmark.loading import SIDE_TOPIC, TOPICS, create_topics, load_lines
from streamcore.processing.runtime.running import new_event_loop

EVERY_ROW = frozenset({"q0", "q1", "q2", "q3", "q10", "q13", "q14", "q20", "q21", "q22", "q23"})
"""The other queries give a last row for each key."""

Rows = list[tuple[Any, ...]]


def app_of(query: str) -> sc.App:
    """Return the application of a query."""
    found = getattr(apps.nexmark, query)
    assert isinstance(found, sc.App)
    return found


def rows_of(query: str, records: Iterable[tuple[bytes | None, bytes | None]]) -> Rows:
    """Return the result of a query, sorted, from the keys and values of the result topic."""
    values: Iterable[bytes | None]
    if query in EVERY_ROW:
        values = [value for _, value in records]
    else:
        values = dict(records).values()  # a later record replaces an earlier one of its key
    return sorted(tuple(msgspec.json.decode(value)) for value in values if value is not None)


def rows_on_an_embedded_log(
    query: str, lines: Sequence[str], folder: Path, *, partitions: int = 1, parts: int = 1
) -> Rows:
    """Load and process the events in several parts, with a new worker for each; return the result."""
    app = app_of(query)
    with sc.connect(folder) as log:
        create_all_topics(log, [app], partitions)
    size = -(-len(lines) // parts)
    for first in range(0, len(lines), size):
        with sc.connect(folder) as log:
            load_lines(log, (line.encode() for line in lines[first : first + size]))
        run_until_end(app, folder, close_windows=first + size >= len(lines))
    with sc.connect(folder) as log:
        return rows_in(query, log)


def run_until_end(app: sc.App, folder: Path, *, close_windows: bool, broker: str | None = None) -> None:
    """Process what is in the log with a new worker; with a broker, the folder has the state only."""

    async def work() -> None:
        worker = sc.Worker(app, data=folder, broker=broker)
        await worker.open()
        try:
            await worker.run_until_end(close_windows=close_windows)
        finally:
            await worker.stop()

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(work())


def create_all_topics(log: sc.Log, apps: Sequence[sc.App], partitions: int) -> None:
    """Create the topics of the events with so many partitions, all others with one."""
    create_topics(log, apps[0], partitions)
    names = {topic.name for app in apps for topic in app.plan().topics if not topic.internal}
    for name in sorted({*names, SIDE_TOPIC} - set(log.topics())):
        log.create_topic(name, partitions=1, config={"retention.ms": "-1"})


def rows_on_a_broker(
    queries: Sequence[str], lines: Sequence[str], address: str, state: Path, *, partitions: int
) -> dict[str, Rows]:
    """Load the events into a broker that has none, process them with each query, return the results."""
    with sc.connect(address) as log:
        create_all_topics(log, [app_of(query) for query in queries], partitions)
        load_lines(log, (line.encode() for line in lines))
    for query in queries:
        run_until_end(app_of(query), state, close_windows=True, broker=address)
    with sc.connect(address) as log:
        return {query: rows_in(query, log) for query in queries}


def rows_in(query: str, log: sc.Log) -> Rows:
    """Return the result of a query from its topic."""
    found: list[tuple[bytes | None, bytes | None]] = []
    with log.consumer(f"nexmark-{query}", start="earliest") as consumer:
        while records := consumer.poll(timeout="0ms" if log.is_embedded else "2s"):
            found += [(record.key, record.value) for record in records]
    return rows_of(query, found)


def needed_of_side_table(lines: Iterable[str]) -> set[int]:
    """Return the keys of the side table that bids of these events read."""
    events = map(msgspec.json.decode, lines)
    return {event["auction"] % 10_000 for event in events if event["event_type"] == BID}


def rows_in_the_driver(
    query: str,
    lines: Sequence[str],
    *,
    crash_every: int | None = None,
    crash_within: int | None = None,
    seed: int = 0,
) -> Rows:
    """Process the events in the driver, with a crash after each so many events; return the result.

    With ``crash_within`` the events before a crash are also interrupted at this operation on files.
    """
    app = app_of(query)
    decoders = {PERSON: "id", AUCTION: "id", BID: "auction"}
    with sc.testing.TopologyDriver(app, seed=seed) as driver:
        for number in needed_of_side_table(lines) if query == "q13" else ():
            driver.send("nexmark-side", key=number, value=str(number), at=0)
        for number, line in enumerate(lines, 1):
            event = msgspec.json.decode(line)
            kind = event["event_type"]
            key = b"%d" % event[decoders[kind]]
            driver.send_bytes(TOPICS[kind], key=key, value=line.encode(), at=event["dateTime"])
            if crash_every is not None and number % crash_every == 0:
                if crash_within is not None:
                    driver.crash_at(crash_within)
                driver.process()
                driver.crash()
        driver.close_windows()
        records = driver.read(f"nexmark-{query}")
    encode = msgspec.json.encode
    return rows_of(query, [(encode(record.key), record.value and encode(record.value)) for record in records])
