"""q2: the bids of every 123rd auction."""

from __future__ import annotations

from apps.nexmark.events import Bid
from apps.nexmark.site import Site

site = Site("q2")
app = site.app

Row = tuple[int, int]
"""auction, price"""


@site.bids.filter
def of_some_auctions(bid: Bid) -> bool:
    """Keep the bids whose auction is a multiple of 123."""
    return bid.auction % 123 == 0


@of_some_auctions.map
def row(bid: Bid) -> Row:
    """Return the columns of the result."""
    return bid.auction, bid.price


row.to("nexmark-q2")
