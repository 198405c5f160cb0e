"""q12: how many bids each bidder makes in each ten seconds of event time."""

from __future__ import annotations

import streamcore as sc
from apps.nexmark.events import Bid
from apps.nexmark.site import GRACE, Site

site = Site("q12")
app = site.app

Row = tuple[int, int, int]
"""bidder, count, window start"""


@site.bids.map
def bidder(bid: Bid) -> int:
    """Keep the bidder only: what follows goes through a repartition topic."""
    return bid.bidder


@bidder.group_by
def by_bidder(bidder: int) -> int:
    """Group by bidder."""
    return bidder


counts = by_bidder.tumbling("10s", grace=GRACE).count("bids-of-bidder")


@counts.final().map_record(key=sc.Windowed[int], value=Row)
def row(result: sc.Record[sc.Windowed[int], int]) -> sc.Record[sc.Windowed[int], Row]:
    """Return the columns of the result."""
    window = result.key
    return sc.Record(window, (window.key, result.value, window.start_ms), result.timestamp_ms)


row.to("nexmark-q12")
