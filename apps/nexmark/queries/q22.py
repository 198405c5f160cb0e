"""q22: the directories in the url of each bid."""

from __future__ import annotations

from apps.nexmark.events import Bid
from apps.nexmark.site import Site

site = Site("q22")
app = site.app

Row = tuple[int, int, int, str, str, str, str]
"""auction, bidder, price, channel, the fourth, fifth and sixth part of the url between slashes"""


@site.bids.map
def directories(bid: Bid) -> Row:
    """Split the url; a missing part is empty."""
    parts = bid.url.split("/")
    first, second, third = parts[3:6] if len(parts) >= 6 else [*parts[3:], "", "", ""][:3]
    return bid.auction, bid.bidder, bid.price, bid.channel, first, second, third


directories.to("nexmark-q22")
