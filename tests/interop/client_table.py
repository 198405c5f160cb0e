"""``docs/clients.md``: what was seen of each client, as a page.

Pure: observations in, text out. Each observation is the end of one test. What was not tried in a run keeps
what an earlier run saw of it, with that run's date.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from tests.interop.peers import COLUMNS, FRAMEWORKS, PEERS

COMMAND: Final = "make interop"
YES: Final = "yes"
NOT_OFFERED: Final = "not offered"
FAILS: Final = "fails"
NOT_RUN: Final = "not run"
CELLS: Final = (YES, NOT_OFFERED, FAILS, NOT_RUN)
"""What a cell of the tables says."""

_FRAMEWORK_COLUMNS: Final = ("framework", "version", "runs on", "what", "")
_UNKNOWN: Final = ("?", "?")
_SEVERITY: Final = ("passed", "skipped", "failed")


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
        if known is None or _SEVERITY.index(known.outcome) <= _SEVERITY.index(observation.outcome):
            self.seen[place] = observation

    def cell(self, who: str, what: str) -> str:
        """What the table says of one thing."""
        observation = self.seen.get((who, what))
        if observation is None or observation.outcome == "skipped":
            return NOT_RUN
        return YES if observation.outcome == "passed" else FAILS


def render(seen: Observations, *, day: str, broker: str, previous: str = "") -> str:
    """The page. ``day`` and ``broker`` say when it was written, and against what.

    A client or framework that was not tried in this run keeps its row of the ``previous`` page and its date.
    """
    last = _Previous(previous)
    parts = [
        _introduction(day, broker),
        "## Clients\n\n"
        + _table(("client", "version", "runs on", *COLUMNS.values()), last.kept(_clients(seen))),
        _not_offered(),
        "## Calls of administrators\n\n"
        + _table(("call", *(peer.name for peer in PEERS)), last.kept_calls(seen, _calls(seen))),
        "## Frameworks\n\n" + _table(_FRAMEWORK_COLUMNS, last.kept(_frameworks(seen))),
    ]
    remarks = list(_remarks(seen))
    if remarks:
        parts.append("## What did not work, or was not run\n\n" + "\n".join(remarks))
    return "\n\n".join(parts) + "\n"


class _Previous:
    """The rows of a page that an earlier run wrote."""

    def __init__(self, page: str) -> None:
        found = re.search(r" on (\d{4}-\d\d-\d\d): ", page)
        self._day = found[1] if found else ""
        lines = [line for line in page.splitlines() if line.startswith("| ")]
        self._rows = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines]

    def kept(self, rows: Iterable[Sequence[str]]) -> Iterator[Sequence[str]]:
        """The rows, and for a client that was not tried the earlier one."""
        for row in rows:
            was_tried = any(cell in (YES, FAILS) for cell in row)
            yield row if was_tried else self._earlier(row) or row

    def kept_calls(self, seen: Observations, rows: Iterable[Sequence[str]]) -> Iterator[Sequence[str]]:
        """The rows of calls, and in them the earlier cells of clients that were not tried."""
        heads = ("call", "---")
        earlier = {row[0]: row for row in self._rows if len(row) == len(PEERS) + 1 and row[0] not in heads}
        now = {row[0]: row for row in rows}
        for name in dict.fromkeys([*now, *earlier]):
            new = now.get(name, [name, *[NOT_RUN] * len(PEERS)])
            old = earlier.get(name, new)
            cells = zip(PEERS, new[1:], old[1:], strict=True)
            yield name, *(mine if peer.name in seen.calls else before for peer, mine, before in cells)

    def _earlier(self, row: Sequence[str]) -> Sequence[str] | None:
        for found in self._rows:
            same_thing = len(found) == len(row) and found[0] == row[0]
            if same_thing and (len(row) != len(_FRAMEWORK_COLUMNS) or found[3] == row[3]):
                version = found[1] if "seen on" in found[1] else f"{found[1]}, seen on {self._day}"
                return [found[0], version, *found[2:]]
        return None


def _introduction(day: str, broker: str) -> str:
    return f"""# Clients that were seen using it

Written by `{COMMAND}` on {day}: {broker}, and each client as its
project publishes it. Every cell is the end of a test in `tests/interop`, which started the client as a
process of its own. `make interop BROKER=HOST:PORT` lets the same programs run against another broker; against
Apache Kafka 4.3.0 all of them pass.

* *uncompressed*, *gzip* and the others: it writes records with and without keys, with several headers of one
  name, tombstones, empty values and a value of 120 KB, which another client reads; and it reads what that one
  writes.
* *group*: two members share four partitions; one is killed, and the other goes on where it had committed.
  *KIP-848*: the same with the new protocol, where one member leaves.
* *transactions*: a commit, an abort, positions in a transaction, a fenced producer; readers see what was
  committed, and nothing else.
* *admin*: every call of the second table that it offers.
* *broker killed*: an idempotent producer and a consumer run on while the broker is killed with -9 and started
  again: each record is there once, in order."""


def _clients(seen: Observations) -> Iterator[Sequence[str]]:
    for peer in PEERS:
        cells = [
            NOT_OFFERED if column in peer.without else seen.cell(peer.name, column) for column in COLUMNS
        ]
        yield peer.name, *seen.versions.get(peer.name, _UNKNOWN), *cells


def _not_offered() -> str:
    lines = [
        f"* {peer.name}, {COLUMNS[column]}: {peer.without[column]}."
        for peer in PEERS
        for column in peer.without
    ]
    return f"{NOT_OFFERED.capitalize()}:\n\n" + "\n".join(lines)


def _calls(seen: Observations) -> Iterator[Sequence[str]]:
    names = list(dict.fromkeys(call for calls in seen.calls.values() for call in calls))
    for name in names:
        yield name, *(_call_cell(seen, peer.name, name) for peer in PEERS)


def _call_cell(seen: Observations, who: str, name: str) -> str:
    calls = seen.calls.get(who)
    if calls is None:
        return NOT_RUN
    if name not in calls:
        return NOT_OFFERED
    return FAILS if calls[name] else YES


def _frameworks(seen: Observations) -> Iterator[Sequence[str]]:
    for (who, what), description in FRAMEWORKS.items():
        yield who, *seen.versions.get(who, _UNKNOWN), description, seen.cell(who, what)


def _remarks(seen: Observations) -> Iterator[str]:
    for observation in seen.seen.values():
        if observation.outcome != "passed":
            what = COLUMNS.get(observation.what, observation.what)
            yield f"* {observation.who}, {what}: {observation.reason}"
    for who, calls in seen.calls.items():
        yield from (f"* {who}, {name}: {failed}" for name, failed in calls.items() if failed)


def _table(names: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [names, ["---"] * len(names), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "/") for cell in line) + " |" for line in lines)
