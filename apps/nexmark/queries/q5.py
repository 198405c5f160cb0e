"""q5: the auctions with the most bids in the last ten seconds, every two seconds.

The counts of a window are final when it closes; then they come together by window, in a second window of two
seconds, which holds the last time of one hopping window only.
"""

from __future__ import annotations

from collections.abc import Iterator

import streamcore as sc
from apps.nexmark.site import GRACE, Site

site = Site("q5")
app = site.app

Key = tuple[int, int]
"""window start, auction"""

Row = tuple[int, int, int]
"""window start, auction, count"""

counts = site.bids.hopping("10s", "2s", grace=GRACE).count("bids-of-auction")


@counts.final().map_record(key=sc.Windowed[int], value=Row)
def count(result: sc.Record[sc.Windowed[int], int]) -> sc.Record[sc.Windowed[int], Row]:
    """Return the columns of the result."""
    window = result.key
    return sc.Record(window, (window.start_ms, window.key, result.value), result.timestamp_ms)


@count.group_by
def window(row: Row) -> int:
    """Group counts by window."""
    return row[0]


def with_highest(known: list[Row], row: Row) -> list[Row]:
    """Return the rows with the highest count after one more."""
    if not known or row[2] > known[0][2]:
        return [row]
    return [*known, row] if row[2] == known[0][2] else known


hottest = window.tumbling("2s").fold("hottest-auctions", list, with_highest, value=list[Row])


@hottest.final().flat_map_record(key=Key, value=Row)
def rows(result: sc.Record[sc.Windowed[int], list[Row]]) -> Iterator[sc.Record[Key, Row]]:
    """Return a row for each of the auctions."""
    for row in result.value:
        yield sc.Record(row[:2], row, result.timestamp_ms)


rows.to("nexmark-q5")
