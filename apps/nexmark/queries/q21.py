"""q21: the number of the channel of each bid, from its name or from the url."""

from __future__ import annotations

import re

from apps.nexmark.events import Bid
from apps.nexmark.site import Site

site = Site("q21")
app = site.app

Row = tuple[int, int, int, str, str]
"""auction, bidder, price, channel, channel id"""

LARGE_CHANNELS = {"apple": "0", "google": "1", "facebook": "2", "baidu": "3"}
find_channel_id = re.compile(r"[?&]channel_id=([^&#]*)").search


@site.bids.flat_map
def with_channel_id(bid: Bid) -> list[Row]:
    """Add the channel's id; a bid without one gives no row."""
    channel_id = LARGE_CHANNELS.get(bid.channel.lower())
    if channel_id is None:
        found = find_channel_id(bid.url)
        if found is None:
            return []
        channel_id = found[1]
    return [(bid.auction, bid.bidder, bid.price, bid.channel, channel_id)]


with_channel_id.to("nexmark-q21")
