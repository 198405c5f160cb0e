"""The meaning of the steps that pass some of the records: ``rate_limit``, ``dedupe``, ``take``, ``sample``.

An event is late if its span has ended, with grace, by the stream time of its source. What passed beside it
may be forgotten then, so it is not judged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from streamcore.processing.topology.limits import (
    HEADER_OF_KEY,
    SampleOf,
    has_room,
    without_key_header,
)
from streamcore.processing.topology.meaning.outputs import Event, Stored
from streamcore.processing.topology.nodes import KeyInHeader, RateLimit, Sample, Take
from streamcore.processing.topology.plan import SubTopology
from streamcore.processing.topology.windows import TimeWindows


def passes(
    node: RateLimit | Take, kept: dict[Any, Any], key: bytes | None, timestamp_ms: int, source_time_ms: int
) -> bool | None:
    """Return whether an event passes; ``None`` if it is not judged: it has no key, or is late.

    What passes is added to ``kept``, by the bytes of the key and the start of the span.
    """
    spans = node.store.windows
    assert isinstance(spans, TimeWindows)
    size_ms = spans.size_ms
    start_ms = timestamp_ms - timestamp_ms % size_ms
    end_ms = (start_ms if isinstance(node, Take) else timestamp_ms) + size_ms
    if key is None or end_ms + spans.grace_ms <= source_time_ms:
        return None
    if isinstance(node, Take):
        passed = kept.get((key, start_ms), 0)
        if passed < node.count:
            kept[key, start_ms] = passed + 1
        return bool(passed < node.count)
    near_ms = (start_ms - size_ms, start_ms, start_ms + size_ms)
    times_ms = [time_ms for near in near_ms for time_ms in kept.get((key, near), ())]
    if not has_room(times_ms, timestamp_ms, node.count, size_ms):
        return False
    kept[key, start_ms] = sorted([*kept.get((key, start_ms), ()), timestamp_ms])
    return True


def with_key_in_header(node: KeyInHeader, event: Event) -> Event:
    """Return an event under the key that a function makes, with its own key in a header."""
    made = node.function(event.value)
    own = None if event.key is None else node.key_serde.encode(event.key)
    return replace(event, key=made, headers=(*event.headers, (HEADER_OF_KEY, own)))


def under_own_key(node: RateLimit | Take, event: Event) -> Event:
    """Return an event with the key in its header, if the step before the topic has put it there."""
    if isinstance(node, Take) or node.key_serde is None:
        return event
    own, headers = without_key_header(event.headers)
    return replace(event, key=None if own is None else node.key_serde.decode(own), headers=headers)


def sampled(sub_topology: SubTopology, node: Sample, arrived: Sequence[Event], stored: Stored) -> list[Event]:
    """Return the events of a sample, of those that were made of one record."""
    internal = {entry.topic.name for entry in sub_topology.inputs if entry.topic.internal}
    sample = SampleOf(node.name, node.fraction, internal)
    return [event for number, event in enumerate(arrived) if sample.keeps(stored, number)]
