"""q4: the mean price of the winning bids of each category."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import streamcore as sc
from apps.nexmark.site import Site
from apps.nexmark.winning import Sold, winners_of

site = Site("q4")
app = site.app

Row = tuple[int, int]
"""category, average"""


class Price(NamedTuple):
    """The category of an auction, and its winning price."""

    category: int
    price: int


@dataclass(frozen=True, slots=True)
class Prices:
    """The number of auctions with a winning bid, and the sum of these bids."""

    auctions: int
    total: int


@winners_of(site).map
def price(sold: Sold) -> Price:
    """Keep the category and the price."""
    return Price(sold.auction.category, sold.bid.price)


winning_prices = price.reduce("winning-prices", lambda _, newest: newest)


@winning_prices.group_by
def category(price: Price) -> int:
    """Group the winning prices of all auctions by category."""
    return price.category


prices = category.aggregate(
    "prices-of-category", into=Prices, auctions=sc.count(), total=sc.sum(lambda price: price.price)
)


@prices.updates().map_record(key=int, value=Row)
def row(update: sc.Record[int, Prices]) -> sc.Record[int, Row]:
    """Return the columns of the result."""
    mean = update.value.total // update.value.auctions
    return sc.Record(update.key, (update.key, mean), update.timestamp_ms)


row.to("nexmark-q4")
