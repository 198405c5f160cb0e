"""q7: the bids at the highest price of each ten seconds.

Each auction keeps its highest bids; when the window closes, they come together by window, and the highest of
all are kept.
"""

from __future__ import annotations

from collections.abc import Iterator

import streamcore as sc
from apps.nexmark.events import Bid
from apps.nexmark.site import GRACE, Site

site = Site("q7")
app = site.app

Key = tuple[int, int]
"""window start, seq of the bid"""

Row = tuple[int, int, int, int, str]
"""auction, price, bidder, dateTime, extra"""

SIZE_MS = 10_000


def with_highest(known: list[Bid], bid: Bid) -> list[Bid]:
    """Return the bids at the highest price after one more."""
    if not known or bid.price > known[0].price:
        return [bid]
    return [*known, bid] if bid.price == known[0].price else known


of_auctions = site.bids.tumbling(f"{SIZE_MS}ms", grace=GRACE).fold(
    "highest-bids-of-auction", list, with_highest, value=list[Bid]
)


@of_auctions.final().flat_map
def candidates(bids: list[Bid]) -> list[Bid]:
    """Pass on the highest bids of each auction."""
    return bids


@candidates.group_by
def window(bid: Bid) -> int:
    """Group bids by the start of their window."""
    return bid.dateTime // SIZE_MS * SIZE_MS


highest = window.tumbling(f"{SIZE_MS}ms").fold("highest-bids", list, with_highest, value=list[Bid])


@highest.final().flat_map_record(key=Key, value=Row)
def rows(result: sc.Record[sc.Windowed[int], list[Bid]]) -> Iterator[sc.Record[Key, Row]]:
    """Return a row for each of the bids."""
    for bid in result.value:
        row = (bid.auction, bid.price, bid.bidder, bid.dateTime, bid.extra)
        yield sc.Record((result.key.key, bid.seq), row, result.timestamp_ms)


rows.to("nexmark-q7")
