"""``docs/clients.md``: what was seen of each client, as a page.

Pure: observations in, text out. Each observation is the end of one test.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from tests.interop.peers import COLUMNS, PEERS, Peer

YES: Final = "yes"
NOT_OFFERED: Final = "–"
FAILS: Final = "fails"
NOT_RUN: Final = "not run"
CELLS: Final = (YES, NOT_OFFERED, FAILS, NOT_RUN)
"""What a cell of the tables says."""

@dataclass(frozen=True, slots=True)
class Observation:
    """How a test ended that shows something of a client."""

    who: str
    what: str
    outcome: str
    reason: str


@dataclass(slots=True)
class Observations:
    """Everything that was noted in a run."""

    seen: dict[tuple[str, str], Observation] = field(default_factory=dict)
    versions: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Of a client, and of what it runs on."""
    calls: dict[str, dict[str, str | None]] = field(default_factory=dict)
    """Of each client: its calls of the administration, and how they failed."""

    def add(self, observation: Observation) -> None:
        """Note one; of several tests for one thing the worst counts."""
        place = (observation.who, observation.what)
        known = self.seen.get(place)
        if known is None or known.outcome == "passed":
            self.seen[place] = observation


def render(seen: Observations, runtime: str) -> str:
    return ""
