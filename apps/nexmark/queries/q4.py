"""q4: the mean price of the winning bids of each category."""

from __future__ import annotations

from dataclasses import dataclass

import streamcore as sc
from apps.nexmark.site import Site
from apps.nexmark.winning import Win, wins_of

site = Site("q4")
app = site.app

Row = tuple[int, int]
"""category, average"""


@dataclass(frozen=True, slots=True)
class Prices:
    """The number of auctions with a winning bid, and the sum of these bids."""

    auctions: int
    total: int


@wins_of(site).group_by
def category(win: Win) -> int:
    """Group the changes of winning bids by category."""
    return win.auction.category


prices = category.aggregate(
    "prices-of-category",
    into=Prices,
    auctions=sc.sum(lambda win: int(win.replaced is None)),
    total=sc.sum(lambda win: win.bid.price - (win.replaced.price if win.replaced else 0)),
)


@prices.updates().map_record(key=int, value=Row)
def row(update: sc.Record[int, Prices]) -> sc.Record[int, Row]:
    """Return the columns of the result."""
    mean = update.value.total // update.value.auctions
    return sc.Record(update.key, (update.key, mean), update.timestamp_ms)


row.to("nexmark-q4")
