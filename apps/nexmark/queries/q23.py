"""q23: the bids of persons who also sell, with each of their auctions: an unbounded inner join of all three.

Whichever of the three comes last completes the rows. The three streams become one, by person, and the agent
keeps all sides in tables. A person may have thousands of bids, so these are kept in pages.
"""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

import streamcore as sc
from apps.nexmark.events import Auction, Bid, Person
from apps.nexmark.site import Site

site = Site("q23")
app = site.app

Row = tuple[int, int, int]
"""seq of the bid, person id, auction id"""


class Step(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """What a person did: a bid, an opened auction, or, without both, the registration."""

    person: int
    bid: int | None = None
    auction: int | None = None


class Known(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """What is known of a person."""

    is_registered: bool = False
    auctions: tuple[int, ...] = ()
    full_pages: int = 0
    """How many pages of bids are full; they are in a table of their own."""
    bids: tuple[int, ...] = ()
    """The bids of the newest page."""


NOBODY = Known()
PAGE = 64

results = app.topic("nexmark-q23", key=int, value=Row)
known_of = app.table("known-of-person", key=int, value=Known)
pages = app.table("pages-of-bids", key=tuple[int, int], value=list[int])


@site.persons.map
def registered(person: Person) -> Step:
    """Keep the id."""
    return Step(person.id)


@site.auctions.map
def opened(auction: Auction) -> Step:
    """Keep the seller and the auction."""
    return Step(auction.seller, auction=auction.id)


@site.bids.map
def made(bid: Bid) -> Step:
    """Keep the bidder and the bid's number."""
    return Step(bid.bidder, bid=bid.seq)


@registered.merge(opened, made).group_by
def person_id(step: Step) -> int:
    """Group all steps by person."""
    return step.person


@app.agent(person_id)
async def join(steps: sc.Events[Step]) -> None:
    """Keep the step, and write the rows that it completes."""
    async for step in steps:
        person = step.person
        known = known_of.get(person, NOBODY)
        if step.bid is not None:
            new_bids, new_auctions = [step.bid], known.auctions
            known_of[person] = with_bid(person, known, step.bid)
        elif step.auction is not None:
            new_bids, new_auctions = bids_of(person, known), (step.auction,)
            known_of[person] = replace(known, auctions=(*known.auctions, step.auction))
        else:
            new_bids, new_auctions = bids_of(person, known), known.auctions
            known_of[person] = known = replace(known, is_registered=True)
        if known.is_registered:
            for bid in new_bids:
                for auction in new_auctions:
                    await results.send(key=person, value=(bid, person, auction))


def with_bid(person: int, known: Known, bid: int) -> Known:
    """Add a bid to the newest page; a full page goes to the table of pages."""
    if len(known.bids) < PAGE:
        return replace(known, bids=(*known.bids, bid))
    pages[person, known.full_pages] = list(known.bids)
    return replace(known, full_pages=known.full_pages + 1, bids=(bid,))


def bids_of(person: int, known: Known) -> list[int]:
    """Return the bids of a person in the order of arrival."""
    full = [bid for number in range(known.full_pages) for bid in pages[person, number]]
    return [*full, *known.bids]
