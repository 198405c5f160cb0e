"""q19: the ten highest bids of each auction, with their rank.

A row is keyed by auction and rank, and written when the bid of this rank changes. The aggregation ``top``,
with the old value beside the new one, will replace the fold.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterator

import msgspec

import streamcore as sc
from apps.nexmark.events import Bid
from apps.nexmark.site import Site

site = Site("q19")
app = site.app

Key = tuple[int, int]
"""auction, rank"""

Row = tuple[int, int, int, str, str, int, str, int]
"""auction, bidder, price, channel, url, dateTime, extra, rank"""

RANKS = 10


class Top(msgspec.Struct, frozen=True, gc=False):
    """The highest bids of an auction in the order of rank, and the place of the newest one."""

    bids: tuple[Bid, ...] = ()
    newest: int = 0


def order(bid: Bid) -> tuple[int, int]:
    """Return what ranks bids: the highest price first, of equal prices the one that arrived first."""
    return -bid.price, bid.seq


def with_bid(top: Top, bid: Bid) -> Top:
    """Insert a bid, if it is among the highest."""
    bids = top.bids
    if len(bids) == RANKS and bid.price < bids[-1].price:
        return top if top.newest == RANKS else Top(bids, RANKS)
    place = bisect(bids, order(bid), key=order)
    return Top((*bids[:place], bid, *bids[place:])[:RANKS], place)


highest = site.bids.fold("highest-bids", Top(), with_bid, value=Top)


@highest.updates().filter
def changed(top: Top) -> bool:
    """Keep the changes."""
    return top.newest < RANKS


@changed.flat_map_record(key=Key, value=Row)
def rows(update: sc.Record[int, Top]) -> Iterator[sc.Record[Key, Row]]:
    """Return the ranks from the newest bid on."""
    bids, newest = update.value.bids, update.value.newest
    for rank, bid in enumerate(bids[newest:], newest + 1):
        row = (bid.auction, bid.bidder, bid.price, bid.channel, bid.url, bid.dateTime, bid.extra, rank)
        yield sc.Record((bid.auction, rank), row, update.timestamp_ms)


rows.to("nexmark-q19")
