"""q11: how many bids each bidder makes in a session, which ends when the bidder pauses for ten seconds."""

from __future__ import annotations

from dataclasses import dataclass

import streamcore as sc
from apps.nexmark.events import Bid
from apps.nexmark.site import GRACE, Site

site = Site("q11")
app = site.app

Row = tuple[int, int, int, int]
"""bidder, count, time of the first and of the last bid"""


@dataclass(frozen=True, slots=True)
class Session:
    """The number of bids, and the times of the first and the last one."""

    bids: int
    first: int
    last: int


@site.bids.group_by
def bidder(bid: Bid) -> int:
    """Group bids by bidder."""
    return bid.bidder


@bidder.map
def time(bid: Bid) -> int:
    """Keep the time: the rest does not go through the repartition topic."""
    return bid.dateTime


sessions = time.session("10s", grace=GRACE).aggregate(
    "sessions-of-bidder", into=Session, bids=sc.count(), first=sc.min(), last=sc.max()
)


@sessions.final().map_record(key=sc.Windowed[int], value=Row)
def row(result: sc.Record[sc.Windowed[int], Session]) -> sc.Record[sc.Windowed[int], Row]:
    """Return the columns of the result."""
    found = result.value
    return sc.Record(result.key, (result.key.key, found.bids, found.first, found.last), result.timestamp_ms)


row.to("nexmark-q11")
