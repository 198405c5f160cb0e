"""The records of the auction site's topics: persons, auctions, bids.

Fields have the benchmark's names. Times are milliseconds since 1970, amounts are cents, and ``seq`` is the
number of the event in the order of arrival, which breaks ties.
"""

from __future__ import annotations

import msgspec

PERSON, AUCTION, BID = 0, 1, 2
"""The values of ``event_type``."""


class Person(msgspec.Struct, frozen=True, gc=False):
    """A person who registered."""

    event_type: int
    seq: int
    id: int
    name: str
    emailAddress: str
    creditCard: str
    city: str
    state: str
    dateTime: int
    extra: str


class Auction(msgspec.Struct, frozen=True, gc=False):
    """An auction that was opened: an item, its seller, and the time at which the auction ends."""

    event_type: int
    seq: int
    id: int
    itemName: str
    description: str
    initialBid: int
    reserve: int
    dateTime: int
    expires: int
    seller: int
    category: int
    extra: str


class Bid(msgspec.Struct, frozen=True, gc=False):
    """A bid of a person in an auction."""

    event_type: int
    seq: int
    auction: int
    bidder: int
    price: int
    channel: str
    url: str
    dateTime: int
    extra: str
