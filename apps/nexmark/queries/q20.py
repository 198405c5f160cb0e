"""q20: each bid with its auction, for auctions of category 10: an unbounded inner join.

Whichever side comes first, the agent keeps it in a table.
"""

from __future__ import annotations

import streamcore as sc
from apps.nexmark.events import Auction, Bid
from apps.nexmark.site import Site

site = Site("q20")
app = site.app

Row = tuple[int, int, int, str, str, int, str, str, str, int, int, int, int, int, int, str]
"""the bid's auction, bidder, price, channel, url, dateTime, extra; the auction's itemName, description,
initialBid, reserve, dateTime, expires, seller, category, extra"""

CATEGORY = 10

results = app.topic("nexmark-q20", key=int, value=Row)
is_wanted = app.table("is-of-category", key=int, value=bool)
auctions = app.table("auctions-of-category", key=int, value=Auction)
waiting = app.table("bids-without-auction", key=int, value=list[Bid])


@app.agent(site.auctions, site.bids)
async def join(events: sc.Events[Auction | Bid]) -> None:
    """Write a row when the second side of a pair arrives."""
    async for event in events:
        if isinstance(event, Auction):
            is_wanted[event.id] = event.category == CATEGORY
            bids = waiting.pop(event.id, [])
            if event.category == CATEGORY:
                auctions[event.id] = event
                for bid in bids:
                    await results.send(key=event.id, value=row(bid, event))
            continue
        wanted = is_wanted.get(event.auction)
        if wanted:
            await results.send(key=event.auction, value=row(event, auctions[event.auction]))
        elif wanted is None:
            waiting[event.auction] = [*waiting.get(event.auction, []), event]


def row(bid: Bid, auction: Auction) -> Row:
    """Return the columns of the result."""
    return (
        bid.auction,
        bid.bidder,
        bid.price,
        bid.channel,
        bid.url,
        bid.dateTime,
        bid.extra,
        auction.itemName,
        auction.description,
        auction.initialBid,
        auction.reserve,
        auction.dateTime,
        auction.expires,
        auction.seller,
        auction.category,
        auction.extra,
    )
