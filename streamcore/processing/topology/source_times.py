"""The source time of a record in a repartition topic: it decides there, too, whether the record is late.

The source time is the stream time of the partition of the user's topic that the record came from. Where it
differs from the record's own time, because the record was out of order at its source, the record carries it
in a header, the last one. All other records need none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from streamcore.model import Headers
from streamcore.processing.topology.marks import HEADER_OF_MARK
from streamcore.processing.topology.times import NO_TIME

HEADER_OF_SOURCE_TIME: Final = "streamcore.source-time"
"""Its value is the time in milliseconds since 1970, in decimal."""


def with_source_time(headers: Headers, timestamp_ms: int, source_time_ms: int) -> Headers:
    """Return the headers of a record in a repartition topic."""
    is_like_ours = bool(headers) and headers[-1][0] in (HEADER_OF_SOURCE_TIME, HEADER_OF_MARK)
    if source_time_ms == NO_TIME:
        return (*headers, (HEADER_OF_SOURCE_TIME, None)) if is_like_ours else headers
    if source_time_ms == timestamp_ms and not is_like_ours:
        return headers
    return (*headers, (HEADER_OF_SOURCE_TIME, b"%d" % source_time_ms))


def without_source_time(headers: Headers, known_ms: int) -> tuple[int, Headers]:
    """Return the source time of a record, ``known_ms`` if no header has one, and its other headers."""
    if not headers or headers[-1][0] != HEADER_OF_SOURCE_TIME:
        return known_ms, headers
    data = headers[-1][1]
    return (known_ms if data is None else int(data)), headers[:-1]


def headers_with_source_times(
    headers: Sequence[Headers] | None, timestamps_ms: Sequence[int], source_times_ms: Sequence[int]
) -> list[Headers] | None:
    """Return the headers of records in a repartition topic; ``None`` if no record has any."""
    if headers is None:
        if timestamps_ms == source_times_ms:
            return None
        headers = [()] * len(timestamps_ms)
    return list(map(with_source_time, headers, timestamps_ms, source_times_ms))
