"""q23: the bids of persons who also sell, with each of their auctions: an unbounded inner join of all three.

Whichever of the three comes last completes the rows. A bidder may have thousands of bids, so the table keeps
them in pages of fixed size. A join of three streams without bounds in time will replace the agent.
"""

from __future__ import annotations

from typing import Any

import streamcore as sc
from apps.nexmark.events import Auction, Bid, Person
from apps.nexmark.site import Site

site = Site("q23")
app = site.app

Row = tuple[int, int, int]
"""seq of the bid, person id, auction id"""

PAGE = 64

results = app.topic("nexmark-q23", key=int, value=Row)
registered = app.table("registered", key=int, value=bool, default=False)
auctions = app.table("auctions-of-seller", key=int, value=list[int])
bid_count = app.table("number-of-bids", key=int, value=int, default=0)
bids = app.table("bids-of-bidder", key=tuple[int, int], value=list[int])
"""The seqs of a bidder's bids, by bidder and page."""


@site.persons.group_by
def person_id(person: Person) -> int:
    """Group persons by id."""
    return person.id


@site.auctions.group_by
def seller(auction: Auction) -> int:
    """Group auctions by seller."""
    return auction.seller


@site.bids.group_by
def bidder(bid: Bid) -> int:
    """Group bids by bidder."""
    return bid.bidder


sides: list[sc.Stream[int, Any]] = [seller.repartition(), bidder.repartition()]


@app.agent(person_id.repartition(), *sides)
async def join(events: sc.Events[Person | Auction | Bid]) -> None:
    """Keep the event, and write the rows that it completes."""
    async for event in events:
        if isinstance(event, Bid):
            key, new_bids, with_auctions = event.bidder, [event.seq], auctions.get(event.bidder, [])
            keep(event)
        elif isinstance(event, Auction):
            key, new_bids, with_auctions = event.seller, bids_of(event.seller), [event.id]
            auctions[key] = [*auctions.get(key, []), event.id]
        else:
            key, new_bids, with_auctions = event.id, bids_of(event.id), auctions.get(event.id, [])
            registered[key] = True
        if with_auctions and registered[key]:
            for seq in new_bids:
                for auction in with_auctions:
                    await results.send(key=key, value=(seq, key, auction))


def keep(bid: Bid) -> None:
    """Add a bid to those of its bidder."""
    number = bid_count[bid.bidder]
    bid_count[bid.bidder] = number + 1
    page = (bid.bidder, number // PAGE)
    bids[page] = [*bids.get(page, []), bid.seq]


def bids_of(person: int) -> list[int]:
    """Return the seqs of a person's bids."""
    pages = -(-bid_count[person] // PAGE)
    return [seq for number in range(pages) for seq in bids[person, number]]
