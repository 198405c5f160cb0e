"""The span of time in which two records of a stream-stream join meet, and the rows that a join keeps.

A left record at time t and a right record at time u of one key meet if ``t - before <= u <= t + after``. The
window of a left record ends behind ``t + after``, that of a right record behind ``u + before``; a record
counts while the end of its window plus the grace is after the stream time of its source partition, as in
aggregations. So a right record in time is later than ``watermark - before - grace``, and a left record meets
no further one once the watermark is beyond ``t + before + after + grace``. The same bound holds for right
records.

A join keeps the rows of each side in a windowed store of its own::

    (key, start of a bucket) -> the rows of the key whose times are in the bucket, by time, then as they came

(``state/row_store`` describes how they are written.)

Buckets are as long as the span, so that a record looks into two of them at most.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec

from streamcore.processing.topology.windows import TimeWindows
from streamcore.serde import Serde, packed_serde

BUCKET_MS_MIN: Final = 1_000
"""The shortest bucket: a join of equal times needs no bucket for each millisecond."""


class Row(msgspec.Struct, array_like=True, gc=False):
    """A record that waits for records of the other side."""

    time_ms: int
    data: bytes
    """The value, encoded."""
    is_matched: bool = False
    """Whether it has met a record; only kept for a side whose unmatched rows are emitted."""


ROWS: Final[Serde[list[Row]]] = packed_serde(list[Row], "rows of a join")
"""The serde of the values of a join's stores."""


@dataclass(frozen=True, slots=True)
class JoinSpan:
    """How far before and after a left record a right record may be, in milliseconds."""

    before_ms: int
    after_ms: int
    grace_ms: int = 0

    @property
    def held_ms(self) -> int:
        """How far behind the watermark unmatched rows are emitted."""
        return self.before_ms + self.after_ms + self.grace_ms

    @property
    def bucket_ms(self) -> int:
        """The length of a bucket of rows."""
        return max(BUCKET_MS_MIN, self.before_ms + self.after_ms + 1)

    def buckets(self) -> TimeWindows:
        """Return the windows of the stores; they expire with the last of their rows."""
        return TimeWindows(self.bucket_ms, self.bucket_ms, self.grace_ms, self.held_ms)

    def reach_back_ms(self, *, is_right: bool) -> int:
        """Return how far before a record of one side a record of the other side may be."""
        return self.after_ms if is_right else self.before_ms

    def reach_ahead_ms(self, *, is_right: bool) -> int:
        """Return how far after a record of one side a record of the other side may be."""
        return self.before_ms if is_right else self.after_ms

    def unmatched_before(self, watermark_ms: int) -> int:
        """Return the exclusive bound of the times of rows that cannot meet a further record."""
        return watermark_ms - self.held_ms

    def unmatched_at(self, time_ms: int) -> int:
        """Return the watermark at which a row of a time cannot meet a further record."""
        return time_ms + self.held_ms + 1
