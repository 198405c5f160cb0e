"""q15: for each day how many bids, bidders and auctions there are, in all and of each rank of the price."""

from __future__ import annotations

from typing import Any

import msgspec

import streamcore as sc
from apps.nexmark.events import Bid
from apps.nexmark.numbers import NUMBERS, BidNumbers, Made
from apps.nexmark.reading import day, rank
from apps.nexmark.site import EVERY, Site

site = Site("q15")
app = site.app

Row = tuple[Any, ...]
"""day, then bids, bidders and auctions, each in all and of rank 1, 2, 3"""


@site.bids.group_by
def day_of_bid(bid: Bid) -> str:
    """Group bids by day."""
    return day(bid.dateTime)


@day_of_bid.map
def made(bid: Bid) -> Made:
    """Keep the rank of the price, bidder and auction."""
    return Made(rank(bid.price), bid.bidder, bid.auction)


numbers = made.aggregate("numbers-of-day", into=BidNumbers, **NUMBERS)


@numbers.updates(every=EVERY).map_record(key=str, value=Row)
def row(update: sc.Record[str, BidNumbers]) -> sc.Record[str, Row]:
    """Return the columns of the result."""
    return sc.Record(update.key, (update.key, *msgspec.structs.astuple(update.value)), update.timestamp_ms)


row.to("nexmark-q15")
