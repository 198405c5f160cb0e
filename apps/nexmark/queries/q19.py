"""q19: the ten highest bids of each auction, with their rank: a row for each auction and rank."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import streamcore as sc
from apps.nexmark.events import Bid
from apps.nexmark.site import EVERY, Site

site = Site("q19")
app = site.app

Key = tuple[int, int]
"""auction, rank"""

Row = tuple[int, int, int, str, str, int, str, int]
"""auction, bidder, price, channel, url, dateTime, extra, rank"""


@dataclass(frozen=True, slots=True)
class Highest:
    """The highest bids of an auction, the highest first; of equal ones the one that arrived first."""

    bids: list[Bid]


highest = site.bids.aggregate("highest-bids", into=Highest, bids=sc.top(10, lambda bid: bid.price))


@highest.updates(every=EVERY).flat_map_record(key=Key, value=Row)
def rows(update: sc.Record[int, Highest]) -> Iterator[sc.Record[Key, Row]]:
    """Return a row for each rank."""
    for rank, bid in enumerate(update.value.bids, 1):
        row = (bid.auction, bid.bidder, bid.price, bid.channel, bid.url, bid.dateTime, bid.extra, rank)
        yield sc.Record((bid.auction, rank), row, update.timestamp_ms)


rows.to("nexmark-q19")
