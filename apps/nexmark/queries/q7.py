"""q7: the bids at the highest price of each ten seconds.

Each auction keeps its highest bids; when the window closes, they come together by window, and the agent keeps
the highest of all. The aggregation ``top`` with ties, in a second window, will replace fold and agent.
"""

from __future__ import annotations

import streamcore as sc
from apps.nexmark.events import Bid
from apps.nexmark.site import GRACE, Site

site = Site("q7")
app = site.app

Key = tuple[int, int]
"""window start, seq of the bid"""

Row = tuple[int, int, int, int, str]
"""auction, price, bidder, dateTime, extra"""

WINDOW_MS = 10_000

results = app.topic("nexmark-q7", key=Key, value=Row)
highest = app.table("highest-bids", key=int, value=list[Bid])


def add_highest(known: list[Bid], bid: Bid) -> list[Bid]:
    """Return the bids at the highest price after one more."""
    if known and bid.price < known[0].price:
        return known
    return [*known, bid] if known and bid.price == known[0].price else [bid]


of_auctions = site.bids.tumbling(f"{WINDOW_MS}ms", grace=GRACE).fold(
    "highest-bids-of-auction", list, add_highest, value=list[Bid]
)


@of_auctions.final().flat_map
def candidates(bids: list[Bid]) -> list[Bid]:
    """Pass on the highest bids of each auction."""
    return bids


@candidates.group_by
def window(bid: Bid) -> int:
    """Group bids by the start of their window."""
    return bid.dateTime // WINDOW_MS * WINDOW_MS


@app.agent(window)
async def keep_highest(bids: sc.Events[Bid]) -> None:
    """Write the bids at the highest price; delete those that a higher price has beaten."""
    async for bid in bids:
        start_ms = bid.dateTime // WINDOW_MS * WINDOW_MS
        known = highest.get(start_ms, [])
        now = add_highest(known, bid)
        if now is known:
            continue
        if len(now) == 1:
            for beaten in known:
                await results.send(key=(start_ms, beaten.seq), value=None)
        highest[start_ms] = now
        row = (bid.auction, bid.price, bid.bidder, bid.dateTime, bid.extra)
        await results.send(key=(start_ms, bid.seq), value=row)
