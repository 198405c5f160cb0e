"""q11: how many bids each bidder makes in a session, which ends when the bidder pauses for ten seconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

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


class Made(NamedTuple):
    """What a session has to know of a bid: the rest does not go through the repartition topic."""

    bidder: int
    time: int


@site.bids.map
def made(bid: Bid) -> Made:
    """Keep bidder and time."""
    return Made(bid.bidder, bid.dateTime)


@made.group_by
def by_bidder(made: Made) -> int:
    """Group by bidder."""
    return made.bidder


sessions = by_bidder.session("10s", grace=GRACE).aggregate(
    "sessions-of-bidder",
    into=Session,
    bids=sc.count(),
    first=sc.min(lambda made: made.time),
    last=sc.max(lambda made: made.time),
)


@sessions.final().map_record(key=sc.Windowed[int], value=Row)
def row(result: sc.Record[sc.Windowed[int], Session]) -> sc.Record[sc.Windowed[int], Row]:
    """Return the columns of the result."""
    found = result.value
    return sc.Record(result.key, (result.key.key, found.bids, found.first, found.last), result.timestamp_ms)


row.to("nexmark-q11")
