"""q17: for each auction and day the bids of each rank, and the lowest, highest and mean price."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import streamcore as sc
from apps.nexmark.events import Bid
from apps.nexmark.reading import day, rank
from apps.nexmark.site import Site

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


class Made(NamedTuple):
    """What the numbers need of a bid: the rest does not go through the repartition topic."""

    auction: int
    day: str
    price: int


@site.bids.map
def made(bid: Bid) -> Made:
    """Keep auction, day and price."""
    return Made(bid.auction, day(bid.dateTime), bid.price)


@made.group_by
def auction_and_day(made: Made) -> Key:
    """Group by auction and day."""
    return made.auction, made.day


prices = auction_and_day.aggregate(
    "prices-of-day",
    into=Prices,
    bids=sc.count(),
    rank_1=sc.count(lambda made: rank(made.price) == 1 or None),
    rank_2=sc.count(lambda made: rank(made.price) == 2 or None),
    rank_3=sc.count(lambda made: rank(made.price) == 3 or None),
    lowest=sc.min(lambda made: made.price),
    highest=sc.max(lambda made: made.price),
    total=sc.sum(lambda made: made.price),
)


@prices.updates().map_record(key=Key, value=Row)
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
