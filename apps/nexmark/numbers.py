"""The numbers of q15 and q16: how many bids, bidders and auctions there are, in all and of each rank.

Different bidders and auctions are counted exactly. All of a day's are kept in one stored value, up to
``DISTINCT_MAX``; the bid that exceeds the limit stops the query.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

import streamcore as sc
from apps.nexmark.events import Bid
from apps.nexmark.reading import rank

DISTINCT_MAX: Final = 1_000_000


class BidNumbers(msgspec.Struct, frozen=True):
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


def of_rank(wanted: int, of: Callable[[Bid], int]) -> Callable[[Bid], int | None]:
    """Return a function that leaves out the bids of other ranks."""
    return lambda bid: of(bid) if rank(bid.price) == wanted else None


def seq(bid: Bid) -> int:
    """Return the bid's number."""
    return bid.seq


def bidder(bid: Bid) -> int:
    """Return who bids."""
    return bid.bidder


def auction(bid: Bid) -> int:
    """Return what the bid is for."""
    return bid.auction


NUMBERS: Final[dict[str, Any]] = {
    "bids": sc.count(),
    **{f"bids_{number}": sc.count(of_rank(number, seq)) for number in (1, 2, 3)},
    "bidders": sc.distinct(bidder, limit=DISTINCT_MAX),
    **{f"bidders_{number}": sc.distinct(of_rank(number, bidder), limit=DISTINCT_MAX) for number in (1, 2, 3)},
    "auctions": sc.distinct(auction, limit=DISTINCT_MAX),
    **{
        f"auctions_{number}": sc.distinct(of_rank(number, auction), limit=DISTINCT_MAX)
        for number in (1, 2, 3)
    },
}
"""The aggregations, by the names of the fields."""
