"""q14: bids of a certain size in the other currency, the time of day, and a count of letters."""

from __future__ import annotations

from apps.nexmark.events import Bid
from apps.nexmark.reading import DAY_MS, HOUR_MS
from apps.nexmark.site import Site

site = Site("q14")
app = site.app

Row = tuple[int, int, int, str, int, str, int]
"""auction, bidder, price in the other currency, time of day, dateTime, extra, number of 'c' in extra"""

RATE = 908


@site.bids.filter
def of_size(bid: Bid) -> bool:
    """Keep bids between one and fifty billion, both excluded, in the other currency."""
    return 1_000_000_000 < bid.price * RATE < 50_000_000_000


@of_size.map
def row(bid: Bid) -> Row:
    """Return the columns of the result."""
    return (
        bid.auction,
        bid.bidder,
        bid.price * RATE,
        time_of_day(bid.dateTime),
        bid.dateTime,
        bid.extra,
        bid.extra.count("c"),
    )


def time_of_day(time_ms: int) -> str:
    """Return the part of the day, in UTC."""
    hour = time_ms % DAY_MS // HOUR_MS
    if 8 <= hour <= 18:
        return "dayTime"
    return "nightTime" if hour <= 6 or hour >= 20 else "otherTime"


row.to("nexmark-q14")
