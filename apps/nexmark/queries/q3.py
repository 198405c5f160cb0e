"""q3: who in three states sells in category 10? An unbounded inner join of persons and auctions.

Whichever side comes first, the agent keeps it in a table.
"""

from __future__ import annotations

from typing import NamedTuple

import streamcore as sc
from apps.nexmark.events import Auction, Person
from apps.nexmark.site import Site

site = Site("q3")
app = site.app

Row = tuple[str, str, str, int]
"""name, city, state, auction id"""


class Seller(NamedTuple):
    """What a row has of the seller."""

    name: str
    city: str
    state: str


results = app.topic("nexmark-q3", key=int, value=Row)
sellers = app.table("sellers", key=int, value=Seller)
waiting = app.table("auctions-without-seller", key=int, value=list[int])


@site.persons.filter
def in_three_states(person: Person) -> bool:
    """Keep the persons of Oregon, Idaho and California."""
    return person.state in ("OR", "ID", "CA")


@in_three_states.group_by
def person_id(person: Person) -> int:
    """Group persons by id."""
    return person.id


@site.auctions.filter
def of_category_10(auction: Auction) -> bool:
    """Keep the auctions of category 10."""
    return auction.category == 10


@of_category_10.group_by
def seller(auction: Auction) -> int:
    """Group auctions by seller."""
    return auction.seller


@app.agent(person_id.repartition(), seller.repartition())
async def join(events: sc.Events[Person | Auction]) -> None:
    """Write a row when the second side of a pair arrives."""
    async for event in events:
        if isinstance(event, Person):
            sellers[event.id] = found = Seller(event.name, event.city, event.state)
            for auction in waiting.pop(event.id, []):
                await results.send(key=auction, value=(*found, auction))
        elif known := sellers.get(event.seller):
            await results.send(key=event.id, value=(*known, event.id))
        else:
            waiting[event.seller] = [*waiting.get(event.seller, []), event.id]
