"""q6: the mean of the last ten winning prices of each seller, in the order of the winning bids' times."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import streamcore as sc
from apps.nexmark.site import Site
from apps.nexmark.winning import Sold, winners_of

site = Site("q6")
app = site.app

Row = tuple[int, int]
"""seller, average"""

LAST = 10


class Price(NamedTuple):
    """A winning price of a seller; the order is that of its auctions."""

    time: int
    price: int
    auction: int
    seller: int


@dataclass(frozen=True, slots=True)
class Prices:
    """The last winning prices of a seller, the last one first."""

    last: list[Price]


@winners_of(site).map
def price(sold: Sold) -> Price:
    """Keep the price, the seller, and what orders the prices of a seller."""
    return Price(sold.bid.dateTime, sold.bid.price, sold.auction.id, sold.auction.seller)


winning_prices = price.reduce("winning-prices", lambda _, newest: newest)


@winning_prices.group_by
def seller(price: Price) -> int:
    """Group the winning prices of all auctions by seller."""
    return price.seller


prices = seller.aggregate("prices-of-seller", into=Prices, last=sc.top(LAST, by=lambda price: price[:3]))


@prices.updates().map_record(key=int, value=Row)
def average(update: sc.Record[int, Prices]) -> sc.Record[int, Row]:
    """Return the seller and the mean of the last ten prices."""
    last = [found.price for found in update.value.last]
    return sc.Record(update.key, (update.key, sum(last) // len(last)), update.timestamp_ms)


average.to("nexmark-q6")
