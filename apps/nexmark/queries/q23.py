"""q23: the bids of persons who also sell, with each of their auctions: an unbounded inner join of all three.

Whichever of the three comes last completes the rows. The three streams become one, by person, and the fold
keeps all sides. A join of streams without bounds in time will replace it.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from apps.nexmark.events import Auction, Bid, Person
from apps.nexmark.site import Site

site = Site("q23")
app = site.app

Row = tuple[int, int, int]
"""seq of the bid, person id, auction id"""


class Step(msgspec.Struct, frozen=True, gc=False):
    """What a person did: a bid, an opened auction, or, without both, the registration."""

    person: int
    bid: int | None = None
    auction: int | None = None


class Known(msgspec.Struct, frozen=True, gc=False):
    """What is known of a person, and the rows that the last step completed."""

    is_registered: bool = False
    bids: tuple[int, ...] = ()
    auctions: tuple[int, ...] = ()
    rows: tuple[Row, ...] = ()


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


def with_step(known: Known, step: Step) -> Known:
    """Add a step, with the rows that it completes."""
    bids, auctions = known.bids, known.auctions
    new_bids: tuple[int, ...]
    new_auctions: tuple[int, ...]
    if step.bid is not None:
        new_bids, new_auctions = (step.bid,), auctions
        now = Known(known.is_registered, (*bids, step.bid), auctions)
    elif step.auction is not None:
        new_bids, new_auctions = bids, (step.auction,)
        now = Known(known.is_registered, bids, (*auctions, step.auction))
    else:
        new_bids, new_auctions = bids, auctions
        now = Known(True, bids, auctions)
    if not now.is_registered or not new_auctions:
        return now
    rows = tuple((bid, step.person, auction) for bid in new_bids for auction in new_auctions)
    return Known(now.is_registered, now.bids, now.auctions, rows)


@person_id.fold("known-of-person", Known(), with_step, value=Known).updates().flat_map
def completed(known: Known) -> Iterable[Row]:
    """Pass on the rows."""
    return known.rows


completed.to("nexmark-q23")
