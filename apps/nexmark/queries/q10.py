"""q10: the bids with the day and the minute by which an archive would file them."""

from __future__ import annotations

from apps.nexmark.events import Bid
from apps.nexmark.reading import day, minute
from apps.nexmark.site import Site

site = Site("q10")
app = site.app

Row = tuple[str, str, int, int, int, int, str]
"""day, minute, auction, bidder, price, dateTime, extra"""


@site.bids.map
def filed(bid: Bid) -> Row:
    """Add day and minute."""
    return (
        day(bid.dateTime),
        minute(bid.dateTime),
        bid.auction,
        bid.bidder,
        bid.price,
        bid.dateTime,
        bid.extra,
    )


filed.to("nexmark-q10")
