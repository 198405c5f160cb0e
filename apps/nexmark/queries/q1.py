"""q1: each bid with its price in another currency."""

from __future__ import annotations

from apps.nexmark.events import Bid
from apps.nexmark.site import Site

site = Site("q1")
app = site.app

Row = tuple[int, int, int, int, str]
"""auction, bidder, price in the other currency, dateTime, extra"""

RATE = 908


@site.bids.map
def in_other_currency(bid: Bid) -> Row:
    """Convert the price."""
    return bid.auction, bid.bidder, bid.price * RATE, bid.dateTime, bid.extra


in_other_currency.to("nexmark-q1")
