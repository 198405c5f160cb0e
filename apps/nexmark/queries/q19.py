"""q19: the ten highest bids of each auction, with their rank.

A row is keyed by auction and rank, and written when the bid of this rank changes. The aggregation ``top``,
with the old value beside the new one, will replace the agent.
"""

from __future__ import annotations

from bisect import insort

import streamcore as sc
from apps.nexmark.events import Bid
from apps.nexmark.site import Site

site = Site("q19")
app = site.app

Key = tuple[int, int]
"""auction, rank"""

Row = tuple[int, int, int, str, str, int, str, int]
"""auction, bidder, price, channel, url, dateTime, extra, rank"""

RANKS = 10

results = app.topic("nexmark-q19", key=Key, value=Row)
highest = app.table("highest-bids", key=int, value=list[Bid])


def order(bid: Bid) -> tuple[int, int]:
    """Return what ranks bids: the highest price first, of equal prices the one that arrived first."""
    return -bid.price, bid.seq


@app.agent(site.bids)
async def rank(bids: sc.Events[Bid]) -> None:
    """Insert the bid among the highest of its auction, and write the ranks that changed."""
    async for bid in bids:
        known = highest.get(bid.auction, [])
        if len(known) == RANKS and order(bid) > order(known[-1]):
            continue
        insort(known, bid, key=order)
        highest[bid.auction] = known = known[:RANKS]
        for number in range(known.index(bid), len(known)):
            found = known[number]
            row = (
                found.auction,
                found.bidder,
                found.price,
                found.channel,
                found.url,
                found.dateTime,
                found.extra,
                number + 1,
            )
            await results.send(key=(bid.auction, number + 1), value=row)
