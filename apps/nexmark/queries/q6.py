"""q6: the mean of the last ten winning prices of each seller, in the order of the winning bids' times.

A winning bid may be replaced, and a price that had left the last ten may come back, so all prices of a seller
are kept. The aggregation ``top`` with retraction will replace the agent.
"""

from __future__ import annotations

import streamcore as sc
from apps.nexmark.site import Site
from apps.nexmark.winning import Win, wins_of

site = Site("q6")
app = site.app

Row = tuple[int, int]
"""seller, average"""

LAST = 10

results = app.topic("nexmark-q6", key=int, value=Row)
sold = app.table("sold-by-seller", key=int, value=list[tuple[int, int, int]])
"""Time of the winning bid, price, auction: the order of a seller's winning prices."""


@wins_of(site).group_by
def seller(win: Win) -> int:
    """Group the changes of winning bids by seller."""
    return win.auction.seller


@app.agent(seller)
async def average(wins: sc.Events[Win]) -> None:
    """Replace the auction's price among those of its seller, and write the mean of the last ten."""
    async for win in wins:
        auction = win.auction
        prices = [price for price in sold.get(auction.seller, []) if price[2] != auction.id]
        prices.append((win.bid.dateTime, win.bid.price, auction.id))
        prices.sort()
        sold[auction.seller] = prices
        last = [price for _, price, _ in prices[-LAST:]]
        await results.send(key=auction.seller, value=(auction.seller, sum(last) // len(last)))
