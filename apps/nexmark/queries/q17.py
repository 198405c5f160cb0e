"""q17: for each auction and day the bids of each rank, and the lowest, highest and mean price."""

from __future__ import annotations

from dataclasses import dataclass

import streamcore as sc
from apps.nexmark.events import Bid
from apps.nexmark.reading import day, rank
from apps.nexmark.site import EVERY, Site

site = Site("q17")
app = site.app

Key = tuple[int, str]
"""auction, day"""

Row = tuple[int, str, int, int, int, int, int, int, int, int]
"""auction, day, bids, bids of rank 1, 2, 3, lowest, highest, average and sum of the prices"""


@dataclass(frozen=True, slots=True)
class Prices:
    """The numbers of an auction and day."""

    bids: int
    rank_1: int
    rank_2: int
    rank_3: int
    lowest: int
    highest: int
    total: int


@site.bids.group_by
def auction_and_day(bid: Bid) -> Key:
    """Group bids by auction and day."""
    return bid.auction, day(bid.dateTime)


@auction_and_day.map
def price(bid: Bid) -> int:
    """Keep the price: the rest does not go through the repartition topic."""
    return bid.price


prices = price.aggregate(
    "prices-of-day",
    into=Prices,
    bids=sc.count(),
    rank_1=sc.count(lambda price: rank(price) == 1 or None),
    rank_2=sc.count(lambda price: rank(price) == 2 or None),
    rank_3=sc.count(lambda price: rank(price) == 3 or None),
    lowest=sc.min(),
    highest=sc.max(),
    total=sc.sum(),
)


@prices.updates(every=EVERY).map_record(key=Key, value=Row)
def row(update: sc.Record[Key, Prices]) -> sc.Record[Key, Row]:
    """Return the columns of the result."""
    auction, date = update.key
    found = update.value
    columns = (
        auction,
        date,
        found.bids,
        found.rank_1,
        found.rank_2,
        found.rank_3,
        found.lowest,
        found.highest,
        found.total // found.bids,
        found.total,
    )
    return sc.Record(update.key, columns, update.timestamp_ms)


row.to("nexmark-q17")
