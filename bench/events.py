"""The events: ``{"k": "k123", "v": 5}``, keyed by ``k``, one millisecond of event time apart.

Keys are drawn evenly with a fixed seed; ``v`` repeats the numbers from 0 to 9, so it is known how many events
a filter passes. The module imports nothing of StreamCore, because peers use it, too.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

TOPIC = "events"
OTHER_TOPIC = "others"
"""The second topic of rows with two inputs."""
START_MS = 1_704_067_200_000
"""The event time of the first event: 2024-01-01."""
EVENT_STEP_MS = 1
WINDOW_MS = 10_000
PASSED_V_MIN = 4
"""The filter passes ``v`` from this number to 9: six of ten events."""

_SEED = 2013


def event_keys(count: int, key_count: int) -> Iterator[bytes]:
    """Return the keys of the events, in order."""
    generator = random.Random(_SEED)
    names = [b"k%d" % number for number in range(key_count)]
    for _ in range(count):
        yield names[int(generator.random() * key_count)]


def event_values(keys: list[bytes], first: int) -> list[bytes]:
    """Return the JSON of the events with these keys; ``first`` is the number of the first one."""
    return [b'{"k": "%s", "v": %d}' % (key, (first + index) % 10) for index, key in enumerate(keys)]


def event_bytes(count: int, key_count: int) -> list[bytes]:
    """Return all events, for peers that read from memory."""
    return event_values(list(event_keys(count, key_count)), 0)


def passed_count(event_count: int) -> int:
    """Return how many of the events the filter passes."""
    return sum((event_count - v + 9) // 10 for v in range(PASSED_V_MIN, 10))
