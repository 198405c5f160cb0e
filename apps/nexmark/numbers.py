"""The numbers of q15 and q16: how many bids, bidders and auctions there are, in all and of each rank.

Different bidders and auctions are counted exactly. All of a day's are kept in one stored value, up to
``DISTINCT_MAX``; the bid that exceeds the limit stops the query.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

import streamcore as sc

DISTINCT_MAX: Final = 1_000_000


class Made(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """What the numbers need of a bid: the rest does not go through the repartition topic."""

    rank: int
    bidder: int
    auction: int


class BidNumbers(msgspec.Struct, frozen=True, gc=False):
    """The twelve numbers, in the order of the columns."""

    bids: int
    bids_1: int
    bids_2: int
    bids_3: int
    bidders: int
    bidders_1: int
    bidders_2: int
    bidders_3: int
    auctions: int
    auctions_1: int
    auctions_2: int
    auctions_3: int


def bidder(made: Made) -> int:
    """Return who bids."""
    return made.bidder


def auction(made: Made) -> int:
    """Return what the bid is for."""
    return made.auction


def bidder_of(rank: int) -> Callable[[Made], int | None]:
    """Return a function that returns who bids, of a bid of this rank."""
    return lambda made: made.bidder if made.rank == rank else None


def auction_of(rank: int) -> Callable[[Made], int | None]:
    """Return a function that returns what the bid is for, of a bid of this rank."""
    return lambda made: made.auction if made.rank == rank else None


_bidders = {rank: bidder_of(rank) for rank in (1, 2, 3)}
"""One function for the bids and the bidders of a rank: it is called once for each bid."""

NUMBERS: Final[dict[str, Any]] = {
    "bids": sc.count(),
    **{f"bids_{rank}": sc.count(of) for rank, of in _bidders.items()},
    "bidders": sc.distinct(bidder, limit=DISTINCT_MAX),
    **{f"bidders_{rank}": sc.distinct(of, limit=DISTINCT_MAX) for rank, of in _bidders.items()},
    "auctions": sc.distinct(auction, limit=DISTINCT_MAX),
    **{f"auctions_{rank}": sc.distinct(auction_of(rank), limit=DISTINCT_MAX) for rank in (1, 2, 3)},
}
"""The aggregations, by the names of the fields."""
