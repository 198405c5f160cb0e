"""The auction site as one query sees it: an application with the topics of the events.

Every query is an application, ``nexmark-q5`` for query q5. All of them read the topics ``person``,
``auction`` and ``bid``, keyed by person, auction, and the bid's auction, and each writes a topic with the
application's name. The input topics have one partition, or as many as they were created with.
"""

from __future__ import annotations

import streamcore as sc
from apps.nexmark.commands import add_commands
from apps.nexmark.events import Auction, Bid, Person

GRACE = "5s"
"""How long after its end a window still counts events that arrive out of order."""

EVERY = "1s"
"""The span of event time in which a result that changes is written once."""

EVER = "36500d"
"""A span longer than any two events are apart: a join by it has no bounds in time and keeps all records."""


class Site:
    """The application of one query, and its inputs."""

    def __init__(self, query: str) -> None:
        self.app = sc.App(f"nexmark-{query}")
        self.persons: sc.Topic[int, Person] = self.app.topic(
            "person", key=int, value=Person, timestamp=lambda person: person.dateTime
        )
        self.auctions: sc.Topic[int, Auction] = self.app.topic(
            "auction", key=int, value=Auction, timestamp=lambda auction: auction.dateTime
        )
        self.bids: sc.Topic[int, Bid] = self.app.topic(
            "bid", key=int, value=Bid, timestamp=lambda bid: bid.dateTime
        )
        self.side: sc.Topic[int, str] = self.app.topic(
            "nexmark-side", key=int, value=str, config={"cleanup.policy": "compact"}
        )
        add_commands(self.app)
