"""The winning bids of auctions, for the queries that ask about them (q4, q6, q9).

The winning bid of an auction is the highest of those made while the auction was open, from ``dateTime`` to
``expires``, both included; of equal prices the earliest, of equal times the one that arrived first. Auctions
and bids may arrive in either order. Events are in one partition with all others of their auction.

The fold keeps both sides of a join without bounds in time: the auction, and its bids while it is missing.
"""

from __future__ import annotations

from typing import TypeAlias, cast

import msgspec

import streamcore as sc
from apps.nexmark.events import Auction, Bid
from apps.nexmark.site import Site

Event: TypeAlias = Auction | Bid


class Lot(msgspec.Struct, frozen=True, gc=False):
    """An auction once it has arrived, its winning bid once there is one, and what the last event changed."""

    auction: Auction | None = None
    winner: Bid | None = None
    replaced: Bid | None = None
    """The winning bid before the last change."""
    is_new: bool = False
    """Whether the last event changed the winning bid."""
    early: tuple[Bid, ...] = ()
    """The bids that arrived before the auction."""


class Win(msgspec.Struct, frozen=True, gc=False):
    """A new winning bid of an auction, and the one that it replaces."""

    auction: Auction
    bid: Bid
    replaced: Bid | None


def wins_of(site: Site) -> sc.Stream[int, Win]:
    """Return the changes of winning bids, keyed by auction."""
    auctions, bids = cast("list[sc.Stream[int, Event]]", [site.auctions, site.bids])
    lots = auctions.merge(bids).fold("lots", Lot(), with_event, value=Lot)

    @lots.updates().filter
    def new_winner(lot: Lot) -> bool:
        """Keep the changes of the winning bid."""
        return lot.is_new

    @new_winner.map
    def win(lot: Lot) -> Win:
        """Return the change."""
        assert lot.auction is not None
        assert lot.winner is not None
        return Win(lot.auction, lot.winner, lot.replaced)

    return win


def with_event(lot: Lot, event: Event) -> Lot:
    """Add an auction or a bid to what is known of the auction."""
    if isinstance(event, Auction):
        winner = best(event, None, *lot.early)
        return Lot(event, winner, None, winner is not None)
    if lot.auction is None:
        return Lot(early=(*lot.early, event))
    winner = best(lot.auction, lot.winner, event)
    if winner is not lot.winner:
        return Lot(lot.auction, winner, lot.winner, True)
    return Lot(lot.auction, winner) if lot.is_new else lot


def best(auction: Auction, winner: Bid | None, *bids: Bid) -> Bid | None:
    """Return the winning bid among the one so far and others."""
    for bid in bids:
        if auction.dateTime <= bid.dateTime <= auction.expires and (
            winner is None or standing(bid) > standing(winner)
        ):
            winner = bid
    return winner


def standing(bid: Bid) -> tuple[int, int, int]:
    """Return what decides between two bids: the greater one wins."""
    return bid.price, -bid.dateTime, -bid.seq
