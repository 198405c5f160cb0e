"""q9: each auction with its winning bid."""

from __future__ import annotations

from apps.nexmark.site import Site
from apps.nexmark.winning import Sold, winners_of

site = Site("q9")
app = site.app

Row = tuple[int, str, str, int, int, int, int, int, int, str, int, int, int, int, str]
"""the auction's id, itemName, description, initialBid, reserve, dateTime, expires, seller, category, extra;
the bid's auction, bidder, price, dateTime, extra"""


@winners_of(site).map
def row(sold: Sold) -> Row:
    """Return the columns of the result."""
    auction, bid = sold.auction, sold.bid
    return (
        auction.id,
        auction.itemName,
        auction.description,
        auction.initialBid,
        auction.reserve,
        auction.dateTime,
        auction.expires,
        auction.seller,
        auction.category,
        auction.extra,
        bid.auction,
        bid.bidder,
        bid.price,
        bid.dateTime,
        bid.extra,
    )


row.to("nexmark-q9")
