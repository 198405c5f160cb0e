"""q23: the bids of persons who also sell, with each of their auctions: an unbounded inner join of all three.

Whichever of the three comes last completes the rows. The three streams become one, by person, and the agent
keeps all sides in tables. A person may have thousands of bids, so each has an entry of its own.
"""

from __future__ import annotations

import msgspec

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


results = app.topic("nexmark-q23", key=int, value=Row)
is_registered = app.table("is-registered", key=int, value=bool, default=False)
auctions = app.table("auctions-of-person", key=int, value=list[int], default=list)
bid_counts = app.table("number-of-bids", key=int, value=int, default=0)
bids = app.table("bids-of-person", key=tuple[int, int], value=int)


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
        if step.bid is not None:
            number = bid_counts[person]
            bids[person, number] = step.bid
            bid_counts[person] = number + 1
            new_bids, new_auctions = [step.bid], auctions[person]
        elif step.auction is not None:
            auctions[person] = [*auctions[person], step.auction]
            new_bids, new_auctions = bids_of(person), [step.auction]
        else:
            is_registered[person] = True
            new_bids, new_auctions = bids_of(person), auctions[person]
        if new_bids and new_auctions and is_registered[person]:
            for bid in new_bids:
                for auction in new_auctions:
                    await results.send(key=person, value=(bid, person, auction))


def bids_of(person: int) -> list[int]:
    """Return the bids of a person in the order of arrival."""
    return [bids[person, number] for number in range(bid_counts[person])]
