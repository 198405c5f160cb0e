"""q8: the persons who registered and opened an auction in the same ten seconds.

Both streams become one, by person, and an aggregation sees both sides of a person's window.
"""

from __future__ import annotations

from dataclasses import dataclass

import streamcore as sc
from apps.nexmark.events import Auction, Person
from apps.nexmark.site import GRACE, Site

site = Site("q8")
app = site.app

Row = tuple[int, str, int]
"""person id, name, window start"""


@dataclass(frozen=True, slots=True)
class Step:
    """What a person did: registered under a name, or opened an auction, without one."""

    person: int
    name: str | None


@dataclass(frozen=True, slots=True)
class Activity:
    """What a person did in ten seconds: the name if the person registered, and the number of auctions."""

    registered_as: str | None
    auctions: int


@site.persons.map
def registered(person: Person) -> Step:
    """Keep the name."""
    return Step(person.id, person.name)


@site.auctions.map
def opened(auction: Auction) -> Step:
    """Keep the seller."""
    return Step(auction.seller, None)


@registered.merge(opened).group_by
def person_id(step: Step) -> int:
    """Group both by person."""
    return step.person


activity = person_id.tumbling("10s", grace=GRACE).aggregate(
    "activity",
    into=Activity,
    registered_as=sc.first(lambda step: step.name),
    auctions=sc.sum(lambda step: int(step.name is None)),
)


@activity.final().filter
def did_both(found: Activity) -> bool:
    """Keep those who registered and opened an auction."""
    return found.registered_as is not None and found.auctions > 0


@did_both.map_record(key=sc.Windowed[int], value=Row)
def row(result: sc.Record[sc.Windowed[int], Activity]) -> sc.Record[sc.Windowed[int], Row]:
    """Return the columns of the result."""
    window = result.key
    return sc.Record(
        window, (window.key, result.value.registered_as or "", window.start_ms), result.timestamp_ms
    )


row.to("nexmark-q8")
