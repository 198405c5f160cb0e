"""Quix Streams processes a Nexmark query: JSON in and out of a broker, exactly-once, state in RocksDB.

Run by the interpreter of Quix's own environment, in the root of the repository::

    python -m bench.peers.quix_nexmark q0 --count N --broker 127.0.0.1:9092 --work FOLDER

The broker has the events in topics of one partition. Afterwards the result is copied from its topic to
``rows`` below ``--work``: a line is an object with ``key`` and ``row``, and replaces the earlier row of a key
that is not null. The program prints one line of JSON. CPU time is that of this process while it processes,
without the broker's.

The queries are those that the operators of Quix Streams express. Windows write each change: the last ones of
a topic would never be closed.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, TopicPartition
from quixstreams import Application, State
from quixstreams.dataframe import StreamingDataFrame
from quixstreams.dataframe.windows import Count, Max, Min

from bench.peers.nexmark_rows import FOLDS, ROWS, Event, key_within_auction
from bench.usage import measured, peak_bytes

_GRACE_MS = 5_000
_SIZE_MS = 10_000
_IDLE_S = 5.0
"""The application ends when so much time has passed without a record."""

WINDOWS = ("q11", "q12")
QUERIES = (*ROWS, *FOLDS, *WINDOWS)


def add_query(query: str, bids: StreamingDataFrame) -> StreamingDataFrame:
    """Add the steps of a query to the bids; the values of the result are objects with ``key`` and ``row``."""
    if query in ROWS:
        rows = bids.apply(ROWS[query]).filter(lambda row: row is not None)
        return rows.apply(lambda row: {"key": None, "row": row})
    if query in FOLDS:
        fold = FOLDS[query]

        def folded(bid: Event, state: State) -> Any:
            name = key_within_auction(query, bid)
            known, row = fold(state.get(name), bid)
            state.set(name, known)
            return {"key": [bid["auction"], name], "row": row}

        return bids.apply(folded, stateful=True)
    by_bidder = bids.group_by(lambda bid: str(bid["bidder"]), name="bidder")
    if query == "q12":
        counts = by_bidder.tumbling_window(_SIZE_MS, grace_ms=_GRACE_MS).count().current()
        return counts.apply(_count_row, metadata=True)
    sessions = by_bidder.session_window(_SIZE_MS, grace_ms=_GRACE_MS).agg(
        bids=Count(), first=Min("dateTime"), last=Max("dateTime")
    )
    return sessions.current().apply(_session_row, metadata=True)


def _count_row(window: dict[str, Any], key: Any, _timestamp: int, _headers: Any) -> dict[str, Any]:
    bidder, start = _number(key), window["start"]
    return {"key": [bidder, start], "row": [bidder, window["value"], start]}


def _session_row(window: dict[str, Any], key: Any, _timestamp: int, _headers: Any) -> dict[str, Any]:
    bidder, first = _number(key), window["first"]
    return {"key": [bidder, first], "row": [bidder, window["bids"], first, window["last"]]}


def _number(key: Any) -> int:
    return int(key.decode() if isinstance(key, bytes) else key)


def run(query: str, broker: str, work: Path, count: int) -> dict[str, float]:
    """Process all bids; return the cost."""
    app = Application(
        broker_address=broker,
        consumer_group=f"quix-{query}",
        auto_offset_reset="earliest",
        processing_guarantee="exactly-once",
        state_dir=work / "state",
        loglevel="WARNING",
    )
    bids = app.dataframe(app.topic("bid", key_deserializer="str", value_deserializer="json"))
    add_query(query, bids).to_topic(app.topic(f"quix-{query}", key_serializer="str", value_serializer="json"))
    with measured() as cost:
        app.run(timeout=_IDLE_S)
    wall_s = max(cost.wall_s - _IDLE_S, 0.001)
    return {"count": count, "cpu_s": cost.cpu_s, "wall_s": wall_s, "peak_bytes": peak_bytes()}


def copy_result(broker: str, topic: str, file: Path) -> None:
    """Write the values of a topic to a file, a line each."""
    consumer = Consumer(
        {"bootstrap.servers": broker, "group.id": "reader", "isolation.level": "read_committed"}
    )
    try:
        partition = TopicPartition(topic, 0, 0)
        _, end = consumer.get_watermark_offsets(partition, timeout=30)
        consumer.assign([partition])
        deadline_s = time.monotonic() + 600
        with file.open("wb") as lines:
            while consumer.position([partition])[0].offset < end and time.monotonic() < deadline_s:
                for message in consumer.consume(10_000, timeout=1):
                    if message.error() is None:
                        lines.write(message.value() + b"\n")
    finally:
        consumer.close()


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("query", choices=QUERIES)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--broker", required=True)
    parser.add_argument("--work", type=Path, required=True)
    options = parser.parse_args()
    seen = run(options.query, options.broker, options.work, options.count)
    rows = options.work / "rows"
    rows.mkdir()
    copy_result(options.broker, f"quix-{options.query}", rows / "rows.jsonl")
    print(json.dumps(seen))


if __name__ == "__main__":
    main()
