"""q23: the bids of persons who also sell, with each of their auctions: an unbounded join of all three."""

from __future__ import annotations

from apps.nexmark.events import Auction, Bid, Person
from apps.nexmark.site import EVER, Site

site = Site("q23")
app = site.app

Row = tuple[int, int, int]
"""seq of the bid, person id, auction id"""

Sale = tuple[int, int]
"""person id, auction id"""


@site.auctions.group_by
def seller(auction: Auction) -> int:
    """Group auctions by seller."""
    return auction.seller


@site.bids.group_by
def bidder(bid: Bid) -> int:
    """Group bids by bidder."""
    return bid.bidder


@bidder.map
def seq(bid: Bid) -> int:
    """Keep the number of the bid: the rest does not go through the repartition topic."""
    return bid.seq


@site.persons.join(seller, before=EVER, after=EVER)
def sale(person: Person, auction: Auction) -> Sale:
    """Join each auction with the person who sells."""
    return person.id, auction.id


@seq.join(sale, before=EVER, after=EVER)
def row(seq: int, sale: Sale) -> Row:
    """Join each bid with the sales of the person who bids."""
    return seq, *sale


row.to("nexmark-q23")
