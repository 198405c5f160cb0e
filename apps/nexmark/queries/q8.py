"""q8: the persons who registered and opened an auction in the same ten seconds."""

from __future__ import annotations

import streamcore as sc
from apps.nexmark.events import Auction, Person
from apps.nexmark.site import GRACE, Site

site = Site("q8")
app = site.app

Row = tuple[int, str, int]
"""person id, name, window start"""


@site.persons.group_by
def person_id(person: Person) -> int:
    """Group persons by id, as the auctions by seller."""
    return person.id


@person_id.map
def name(person: Person) -> str:
    """Keep the name: the rest does not go through the repartition topic."""
    return person.name


@site.auctions.group_by
def seller(auction: Auction) -> int:
    """Group auctions by seller."""
    return auction.seller


registered = name.tumbling("10s", grace=GRACE).reduce("registered", lambda name, _: name)
opened = seller.tumbling("10s", grace=GRACE).count("opened")


@registered.join(opened)
def name_of_seller(registered: str, opened: int) -> str:
    """Keep the persons of both tables."""
    return registered


@name_of_seller.final().map_record(key=sc.Windowed[int], value=Row)
def row(result: sc.Record[sc.Windowed[int], str]) -> sc.Record[sc.Windowed[int], Row]:
    """Return the columns of the result."""
    window = result.key
    return sc.Record(window, (window.key, result.value, window.start_ms), result.timestamp_ms)


row.to("nexmark-q8")
