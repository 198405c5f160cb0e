"""q18: the last bid of each bidder in each auction."""

from __future__ import annotations

from apps.nexmark.events import Bid
from apps.nexmark.site import Site

site = Site("q18")
app = site.app

Key = tuple[int, int]
"""bidder, auction"""

Row = tuple[int, int, int, str, str, int, str]
"""auction, bidder, price, channel, url, dateTime, extra"""


@site.bids.group_by
def bidder_and_auction(bid: Bid) -> Key:
    """Group bids by bidder and auction."""
    return bid.bidder, bid.auction


def later(first: Bid, second: Bid) -> Bid:
    """Return the later of two bids, of equal times the one that arrived later."""
    return first if (first.dateTime, first.seq) > (second.dateTime, second.seq) else second


@bidder_and_auction.reduce("last-bids", later).updates().map
def row(bid: Bid) -> Row:
    """Return the columns of the result."""
    return bid.auction, bid.bidder, bid.price, bid.channel, bid.url, bid.dateTime, bid.extra


row.to("nexmark-q18")
