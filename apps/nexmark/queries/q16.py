"""q16: for each channel and day the numbers of q15, and the minute of the last bid."""

from __future__ import annotations

from typing import Any

import msgspec

import streamcore as sc
from apps.nexmark.events import Bid
from apps.nexmark.numbers import NUMBERS, BidNumbers
from apps.nexmark.reading import day, minute
from apps.nexmark.site import Site

site = Site("q16")
app = site.app

Key = tuple[str, str]
"""channel, day"""

Row = tuple[Any, ...]
"""channel, day, minute, then bids, bidders and auctions, each in all and of rank 1, 2, 3"""


class ChannelNumbers(BidNumbers, frozen=True):
    """The numbers, and the minute of the last bid."""

    minute: str


@site.bids.group_by
def channel_and_day(bid: Bid) -> Key:
    """Group bids by channel and day."""
    return bid.channel, day(bid.dateTime)


numbers = channel_and_day.aggregate(
    "numbers-of-channel", into=ChannelNumbers, **NUMBERS, minute=sc.max(lambda bid: minute(bid.dateTime))
)


@numbers.updates().map_record(key=Key, value=Row)
def row(update: sc.Record[Key, ChannelNumbers]) -> sc.Record[Key, Row]:
    """Return the columns of the result."""
    *counts, last_minute = msgspec.structs.astuple(update.value)
    return sc.Record(update.key, (*update.key, last_minute, *counts), update.timestamp_ms)


row.to("nexmark-q16")
