"""q16: for each channel and day the numbers of q15, and the minute of the last bid."""

from __future__ import annotations

from typing import Any

import msgspec

import streamcore as sc
from apps.nexmark.events import Bid
from apps.nexmark.numbers import NUMBERS, BidNumbers, Made
from apps.nexmark.reading import day, minute, rank
from apps.nexmark.site import EVERY, Site

site = Site("q16")
app = site.app

Key = tuple[str, str]
"""channel, day"""

Row = tuple[Any, ...]
"""channel, day, minute, then bids, bidders and auctions, each in all and of rank 1, 2, 3"""


class MadeInMinute(Made, frozen=True, gc=False, array_like=True):
    """What the numbers need of a bid, and the minute."""

    minute: str


class ChannelNumbers(BidNumbers, frozen=True, gc=False):
    """The numbers, and the minute of the last bid."""

    minute: str


@site.bids.group_by
def channel_and_day(bid: Bid) -> Key:
    """Group bids by channel and day."""
    return bid.channel, day(bid.dateTime)


@channel_and_day.map
def made(bid: Bid) -> MadeInMinute:
    """Keep the rank of the price, bidder, auction and minute."""
    return MadeInMinute(rank(bid.price), bid.bidder, bid.auction, minute(bid.dateTime))


numbers = made.aggregate(
    "numbers-of-channel", into=ChannelNumbers, **NUMBERS, minute=sc.max(lambda made: made.minute)
)


@numbers.updates(every=EVERY).map_record(key=Key, value=Row)
def row(update: sc.Record[Key, ChannelNumbers]) -> sc.Record[Key, Row]:
    """Return the columns of the result."""
    *counts, last_minute = msgspec.structs.astuple(update.value)
    return sc.Record(update.key, (*update.key, last_minute, *counts), update.timestamp_ms)


row.to("nexmark-q16")
