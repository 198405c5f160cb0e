"""q5: the auctions with the most bids in the last ten seconds, every two seconds.

The counts of a window are final when it closes; then they come together by window, and the agent keeps the
highest. The aggregation ``top`` with ties, in a second window, will replace the agent.
"""

from __future__ import annotations

import streamcore as sc
from apps.nexmark.site import GRACE, Site

site = Site("q5")
app = site.app

Key = tuple[int, int]
"""window start, auction"""

Row = tuple[int, int, int]
"""window start, auction, count"""

results = app.topic("nexmark-q5", key=Key, value=Row)
hottest = app.table("hottest-auctions", key=int, value=list[Row])

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


@app.agent(window)
async def keep_hottest(rows: sc.Events[Row]) -> None:
    """Write the auctions with the highest count; delete those that a higher count has beaten."""
    async for row in rows:
        start_ms, auction, count = row
        known = hottest.get(start_ms, [])
        highest = known[0][2] if known else 0
        if count < highest:
            continue
        if count > highest:
            for beaten in known:
                await results.send(key=beaten[:2], value=None)
            known = []
        hottest[start_ms] = [*known, row]
        await results.send(key=(start_ms, auction), value=row)
