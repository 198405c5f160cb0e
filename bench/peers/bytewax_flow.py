"""Bytewax does the same work, from a list in memory: no durable input, no recovery store, no changelog.

Run by the interpreter of Bytewax's own environment, in the root of the repository::

    python -m bench.peers.bytewax_flow WORK EVENTS KEYS

It prints one line of JSON. ``count`` is a running count, like a table that changes with each event.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import bytewax.operators as op
import bytewax.operators.windowing as win
from bytewax.dataflow import Dataflow, Stream
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.testing import TestingSource, run_main

from bench.events import EVENT_STEP_MS, PASSED_V_MIN, START_MS, WINDOW_MS, event_bytes, passed_count
from bench.usage import measured, peak_bytes

_BATCH_EVENTS = 1_000
_START = datetime.fromtimestamp(START_MS / 1000, tz=UTC)
_STEP = timedelta(milliseconds=EVENT_STEP_MS)
_GRACE = timedelta(seconds=1)
"""Bytewax moves the watermark with the wall clock; without this, some events would be late."""


class Total(DynamicSink[Any]):
    """Adds up the results: ``of`` returns the number of an item."""

    def __init__(self, of: Any) -> None:
        self.of = of
        self.value = 0

    def build(self, step_id: str, worker_index: int, worker_count: int) -> _TotalPart:
        return _TotalPart(self)


class _TotalPart(StatelessSinkPartition[Any]):
    def __init__(self, total: Total) -> None:
        self._total = total

    def write_batch(self, items: list[Any]) -> None:
        self._total.value += sum(map(self._total.of, items))


def run_work(work: str, count: int, key_count: int) -> dict[str, float]:
    """Do one kind of work; assert that its answers are right."""
    flow = Dataflow("bench")
    source: TestingSource[Any]
    if work == "tumbling":
        stamped = [(_START + index * _STEP, data) for index, data in enumerate(event_bytes(count, key_count))]
        source = TestingSource(stamped, batch_size=_BATCH_EVENTS)
    else:
        source = TestingSource(event_bytes(count, key_count), batch_size=_BATCH_EVENTS)
    incoming = op.input("in", flow, source)
    total, expected = _FLOWS[work](incoming, count)
    with measured() as cost:
        run_main(flow)
    assert total.value == expected, f"{total.value}, not {expected}"
    return {"cpu_s": cost.cpu_s, "wall_s": cost.wall_s, "count": count, "peak_bytes": peak_bytes()}


def _filter_map(incoming: Stream[bytes], count: int) -> tuple[Total, int]:
    total = Total(lambda value: 1)
    decoded = op.map("decode", incoming, json.loads)
    large = op.filter("large", decoded, lambda event: event["v"] >= PASSED_V_MIN)
    op.output("out", op.map("doubled", large, lambda event: event["v"] * 2), total)
    return total, passed_count(count)


def _count(incoming: Stream[bytes], count: int) -> tuple[Total, int]:
    def counted(state: int | None, event: Any) -> tuple[int, int]:
        new = (state or 0) + 1
        return new, new

    total = Total(lambda item: 1)
    decoded = op.map("decode", incoming, json.loads)
    keyed = op.key_on("key", decoded, lambda event: event["k"])
    op.output("out", op.stateful_map("count", keyed, counted), total)
    return total, count


def _tumbling(incoming: Stream[tuple[datetime, bytes]], count: int) -> tuple[Total, int]:
    total = Total(lambda item: item[1][1])
    decoded = op.map("decode", incoming, lambda item: (item[0], json.loads(item[1])))
    clock: win.EventClock[Any, Any] = win.EventClock(
        ts_getter=lambda item: item[0], wait_for_system_duration=_GRACE
    )
    windows = win.TumblingWindower(length=timedelta(milliseconds=WINDOW_MS), align_to=_START)
    found = win.count_window("count", decoded, clock, windows, key=lambda item: item[1]["k"])
    op.output("out", found.down, total)
    return total, count


_FLOWS: dict[str, Any] = {"filter-map": _filter_map, "count": _count, "tumbling": _tumbling}


if __name__ == "__main__":
    print(json.dumps(run_work(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))))
