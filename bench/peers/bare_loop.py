"""A plain Python loop: decode the JSON, count by key in a dict. No log, no durability, no recovery."""

from __future__ import annotations

import json

from bench.events import event_bytes
from bench.usage import Cost, measured


def count_by_key(event_count: int, key_count: int) -> Cost:
    """Count the events by key with the standard library's decoder."""
    events = event_bytes(event_count, key_count)
    counts: dict[str, int] = {}
    loads = json.loads
    with measured() as cost:
        for data in events:
            key = loads(data)["k"]
            counts[key] = counts.get(key, 0) + 1
    assert sum(counts.values()) == event_count
    return cost
