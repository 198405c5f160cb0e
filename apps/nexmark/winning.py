"""The winning bids of auctions, for the queries that ask about them (q4, q6, q9).

The winning bid of an auction is the highest of those made while the auction was open, from ``dateTime`` to
``expires``, both included; of equal prices the earliest, of equal times the one that arrived first. Auctions
and bids may arrive in either order. Events are in one partition with all others of their auction.

An inner join of the two streams, an aggregation ``argmax`` of each auction's bids, and the changes of its
table with old and new values will replace the agent.
"""

from __future__ import annotations

import msgspec

import streamcore as sc
from apps.nexmark.events import Auction, Bid
from apps.nexmark.site import Site


class Lot(msgspec.Struct, frozen=True, gc=False):
    """What is known of an auction: the auction once it has arrived, and the winning bid once there is one."""

    auction: Auction | None = None
    winner: Bid | None = None
    early: tuple[Bid, ...] = ()
    """The bids that arrived before the auction."""


class Win(msgspec.Struct, frozen=True, gc=False):
    """A new winning bid of an auction, and the one that it replaces."""

    auction: Auction
    bid: Bid
    before: Bid | None


def wins_of(site: Site) -> sc.Topic[int, Win]:
    """Declare the agent that finds winning bids; return the topic of its changes, keyed by auction."""
    lots = site.app.table("lots", key=int, value=Lot)
    wins = site.app.topic(f"{site.app.app_id}-wins", key=int, value=Win)

    @site.app.agent(site.auctions, site.bids, tables=[lots])
    async def judge(events: sc.Events[Auction | Bid]) -> None:
        """Write each change of a winning bid."""
        async for event in events:
            if isinstance(event, Auction):
                lot = lots.get(event.id, NEW)
                winner = best(event, None, *lot.early)
                lots[event.id] = Lot(event, winner)
                if winner is not None:
                    await wins.send(key=event.id, value=Win(event, winner, None))
                continue
            lot = lots.get(event.auction, NEW)
            if lot.auction is None:
                lots[event.auction] = Lot(early=(*lot.early, event))
                continue
            winner = best(lot.auction, lot.winner, event)
            if winner is not lot.winner and winner is not None:
                lots[event.auction] = Lot(lot.auction, winner)
                await wins.send(key=event.auction, value=Win(lot.auction, winner, lot.winner))

    return wins


NEW = Lot()


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
