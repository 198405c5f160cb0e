"""The winning bids of auctions, for the queries that ask about them (q4, q6, q9).

The winning bid of an auction is the highest of those made while the auction was open, from ``dateTime`` to
``expires``, both included; of equal prices the earliest, of equal times the one that arrived first. Auctions
and bids may arrive in either order. Events are in one partition with all others of their auction.
"""

from __future__ import annotations

import msgspec

import streamcore as sc
from apps.nexmark.events import Auction, Bid
from apps.nexmark.site import EVERY, Site


class Lot(msgspec.Struct, frozen=True, gc=False):
    """An auction once it has arrived, and its winning bid once there is one."""

    auction: Auction | None = None
    winner: Bid | None = None
    early: tuple[Bid, ...] = ()
    """The bids that arrived before the auction."""


class Sold(msgspec.Struct, frozen=True, gc=False):
    """An auction with its winning bid."""

    auction: Auction
    bid: Bid


def winners_of(site: Site) -> sc.Stream[int, Sold]:
    """Return the auctions with their winning bids, by auction, as far as they have changed in a second."""
    lots = sc.cogroup(site.auctions.by(with_auction), site.bids.by(with_bid)).aggregate("lots", initial=Lot())
    return lots.updates(every=EVERY).flat_map(sold)


def with_auction(lot: Lot, auction: Auction) -> Lot:
    """Add the auction; the bids that arrived before it count now."""
    return Lot(auction, best(auction, None, *lot.early))


def with_bid(lot: Lot, bid: Bid) -> Lot:
    """Add a bid."""
    if lot.auction is None:
        return Lot(early=(*lot.early, bid))
    winner = best(lot.auction, lot.winner, bid)
    return lot if winner is lot.winner else Lot(lot.auction, winner)


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


def sold(lot: Lot) -> list[Sold]:
    """Return the auction with its winning bid; nothing while one of them is missing."""
    return [] if lot.auction is None or lot.winner is None else [Sold(lot.auction, lot.winner)]
