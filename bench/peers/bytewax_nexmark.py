"""Bytewax processes a Nexmark query: JSON files in and out, one worker, snapshots of the state in SQLite.

Run by the interpreter of Bytewax's own environment, in the root of the repository::

    python -m bench.peers.bytewax_nexmark q0 --count N --events FOLDER --work FOLDER

``--events`` is a folder with a file of JSON lines for each kind of event. The result is in ``rows`` below
``--work``. A line is a row, an array, or an object with ``key`` and ``row`` that replaces the earlier row of
the key. The program prints one line of JSON. CPU time is that of the process while it processes.

The queries are those that Bytewax's operators express. Windows of a key close by the times of this key only:
a result over the windows of all keys, as in q5, is never known to be complete.
"""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import bytewax.operators as op
import bytewax.operators.windowing as win
from bytewax.connectors.files import FileSink, FileSource
from bytewax.dataflow import Dataflow, Stream
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.run import cli_main

from bench.peers.nexmark_rows import FOLDS, ROWS, Event, Row, key_within_auction
from bench.usage import measured, peak_bytes

_BATCH_EVENTS = 1_000
_SNAPSHOT_EVERY = timedelta(seconds=10)
_GRACE = timedelta(seconds=5)
_SIZE_MS = 10_000
_SIZE = timedelta(milliseconds=_SIZE_MS)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

WINDOWS = ("q7", "q11", "q12")
QUERIES = (*ROWS, *FOLDS, *WINDOWS)


def _rows(query: str, bids: Stream[Event]) -> Stream[Any]:
    if query in ROWS:
        return op.filter_map("row", bids, ROWS[query])
    if query in FOLDS:
        return _folded(query, bids)
    return {"q7": _highest, "q11": _sessions, "q12": _counts}[query](bids)


def _folded(query: str, bids: Stream[Event]) -> Stream[Any]:
    """Write the row of a key after each of its bids."""
    keyed = op.key_on("key", bids, lambda bid: f"{bid['auction']}/{key_within_auction(query, bid)}")
    rows = op.stateful_map("fold", keyed, FOLDS[query])
    return op.map("row", rows, lambda item: {"key": item[0], "row": item[1]})


def _highest(bids: Stream[Event]) -> Stream[Row]:
    """Return the bids at the highest price of each window; one key has all bids."""

    def with_bid(known: list[Event], bid: Event) -> list[Event]:
        if not known or bid["price"] > known[0]["price"]:
            return [bid]
        return [*known, bid] if bid["price"] == known[0]["price"] else known

    def merged(one: list[Event], other: list[Event]) -> list[Event]:
        raise AssertionError("tumbling windows do not merge")

    keyed = op.key_on("key", bids, lambda _bid: "all")
    found = win.fold_window("highest", keyed, _clock(), _tumbling(), list, with_bid, merged)
    highest = op.flat_map("bids", found.down, lambda item: item[1][1])
    return op.map(
        "row", highest, lambda b: [b["auction"], b["price"], b["bidder"], b["dateTime"], b["extra"]]
    )


def _sessions(bids: Stream[Event]) -> Stream[Row]:
    """Return the number of bids, the first and the last time of each bidder's sessions."""

    def with_bid(known: Row, bid: Event) -> Row:
        return merged(known, [1, bid["dateTime"], bid["dateTime"]])

    def merged(one: Row, other: Row) -> Row:
        if not one or not other:
            return one or other
        return [one[0] + other[0], min(one[1], other[1]), max(one[2], other[2])]

    keyed = op.key_on("bidder", bids, lambda bid: str(bid["bidder"]))
    windower = win.SessionWindower(gap=_SIZE)
    found = win.fold_window("sessions", keyed, _clock(), windower, list, with_bid, merged)
    return op.map("row", found.down, lambda item: [int(item[0]), *item[1][1]])


def _counts(bids: Stream[Event]) -> Stream[Row]:
    """Return the number of bids of each bidder in each window."""
    found = win.count_window("count", bids, _clock(), _tumbling(), key=lambda bid: str(bid["bidder"]))
    return op.map("row", found.down, lambda item: [int(item[0]), item[1][1], item[1][0] * _SIZE_MS])


def _clock() -> win.EventClock[Any, Any]:
    return win.EventClock(
        ts_getter=lambda bid: _EPOCH + timedelta(milliseconds=bid["dateTime"]),
        wait_for_system_duration=_GRACE,
    )


def _tumbling() -> win.TumblingWindower:
    return win.TumblingWindower(length=_SIZE, align_to=_EPOCH)


def flow_of(query: str, events: Path, result: Path) -> Dataflow:
    """Return the dataflow of a query, from the file of the bids to the file of the result."""
    flow = Dataflow(query)
    lines = op.input("in", flow, FileSource(events / "bid.jsonl", batch_size=_BATCH_EVENTS))
    rows = _rows(query, op.map("decode", lines, json.loads))
    texts = op.map("encode", rows, lambda row: ("", json.dumps(row)))
    op.output("out", texts, FileSink(result))
    return flow


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("query", choices=QUERIES)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--events", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    options = parser.parse_args()
    rows, snapshots = options.work / "rows", options.work / "snapshots"
    for folder in (rows, snapshots):
        folder.mkdir()
    init_db_dir(snapshots, 1)
    flow = flow_of(options.query, options.events, rows / "rows.jsonl")
    with measured() as cost:
        cli_main(flow, epoch_interval=_SNAPSHOT_EVERY, recovery_config=RecoveryConfig(str(snapshots)))
    print(
        json.dumps(
            {"count": options.count, "cpu_s": cost.cpu_s, "wall_s": cost.wall_s, "peak_bytes": peak_bytes()}
        )
    )


if __name__ == "__main__":
    main()
