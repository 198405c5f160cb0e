"""q3: who in three states sells in category 10? An unbounded join of persons and auctions."""

from __future__ import annotations

from apps.nexmark.events import Auction, Person
from apps.nexmark.site import EVER, Site

site = Site("q3")
app = site.app

Row = tuple[str, str, str, int]
"""name, city, state, auction id"""


@site.persons.filter
def in_three_states(person: Person) -> bool:
    """Keep the persons of Oregon, Idaho and California."""
    return person.state in ("OR", "ID", "CA")


@site.auctions.filter
def of_category_10(auction: Auction) -> bool:
    """Keep the auctions of category 10."""
    return auction.category == 10


@of_category_10.group_by
def seller(auction: Auction) -> int:
    """Group auctions by seller."""
    return auction.seller


@in_three_states.join(seller, before=EVER, after=EVER)
def row(person: Person, auction: Auction) -> Row:
    """Return the columns of the result."""
    return person.name, person.city, person.state, auction.id


row.to("nexmark-q3")
