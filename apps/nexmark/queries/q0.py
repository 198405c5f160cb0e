"""q0: each bid as it is. It measures what reading, decoding, encoding and writing cost."""

from __future__ import annotations

from apps.nexmark.events import Bid
from apps.nexmark.site import Site

site = Site("q0")
app = site.app

Row = tuple[int, int, int, int, str]
"""auction, bidder, price, dateTime, extra"""


@site.bids.map
def row(bid: Bid) -> Row:
    """Return the columns of the result."""
    return bid.auction, bid.bidder, bid.price, bid.dateTime, bid.extra


row.to("nexmark-q0")
