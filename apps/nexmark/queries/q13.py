"""q13: each bid with the text that a side table has for its auction. Every worker holds the whole table."""

from __future__ import annotations

from apps.nexmark.events import Bid
from apps.nexmark.loading import SIDE_ROWS
from apps.nexmark.site import Site

site = Site("q13")
app = site.app

Row = tuple[int, int, int, int, str]
"""auction, bidder, price, dateTime, text"""

texts = site.side.global_table("texts")


@site.bids.join(texts, on=lambda bid: bid.auction % SIDE_ROWS)
def with_text(bid: Bid, text: str) -> Row:
    """Add the text."""
    return bid.auction, bid.bidder, bid.price, bid.dateTime, text


with_text.to("nexmark-q13")
