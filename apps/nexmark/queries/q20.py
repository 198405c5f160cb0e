"""q20: each bid with its auction, for auctions of category 10, whichever of the two comes first."""

from __future__ import annotations

from apps.nexmark.events import Auction, Bid
from apps.nexmark.site import EVER, Site

site = Site("q20")
app = site.app

Row = tuple[int, int, int, str, str, int, str, str, str, int, int, int, int, int, int, str]
"""the bid's auction, bidder, price, channel, url, dateTime, extra; the auction's itemName, description,
initialBid, reserve, dateTime, expires, seller, category, extra"""


@site.auctions.filter
def of_category_10(auction: Auction) -> bool:
    """Keep the auctions of category 10."""
    return auction.category == 10


@site.bids.join(of_category_10, before=EVER, after=EVER)
def row(bid: Bid, auction: Auction) -> Row:
    """Return the columns of the result."""
    return (
        bid.auction,
        bid.bidder,
        bid.price,
        bid.channel,
        bid.url,
        bid.dateTime,
        bid.extra,
        auction.itemName,
        auction.description,
        auction.initialBid,
        auction.reserve,
        auction.dateTime,
        auction.expires,
        auction.seller,
        auction.category,
        auction.extra,
    )


row.to("nexmark-q20")
