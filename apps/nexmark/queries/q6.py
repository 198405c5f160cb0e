"""q6: the mean of the last ten winning prices of each seller, in the order of the winning bids' times.

A winning bid may be replaced, and a price that had left the last ten may come back, so the fold keeps all
prices of a seller.
"""

from __future__ import annotations

import streamcore as sc
from apps.nexmark.site import Site
from apps.nexmark.winning import Win, wins_of

site = Site("q6")
app = site.app

Row = tuple[int, int]
"""seller, average"""

Sold = list[tuple[int, int, int]]
"""Time of the winning bid, price, auction: sorted, the order of a seller's winning prices."""

LAST = 10


@wins_of(site).group_by
def seller(win: Win) -> int:
    """Group the changes of winning bids by seller."""
    return win.auction.seller


def with_win(sold: Sold, win: Win) -> Sold:
    """Replace the price of an auction among those of its seller."""
    others = [price for price in sold if price[2] != win.auction.id]
    return sorted([*others, (win.bid.dateTime, win.bid.price, win.auction.id)])


@seller.fold("sold-by-seller", list, with_win, value=Sold).updates().map_record(key=int, value=Row)
def average(update: sc.Record[int, Sold]) -> sc.Record[int, Row]:
    """Return the seller and the mean of the last ten prices."""
    prices = [price for _, price, _ in update.value[-LAST:]]
    return sc.Record(update.key, (update.key, sum(prices) // len(prices)), update.timestamp_ms)


average.to("nexmark-q6")
