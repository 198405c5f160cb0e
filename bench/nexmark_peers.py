"""Other frameworks at Nexmark's queries: which there are, what they read, how one is measured.

Each peer is a program of ``bench/peers`` with the queries that it can express, run by the interpreter of an
environment of its own. It reads the events from files of JSON lines, one for each kind of event (the values
of our topics, in the same order), or from a broker on a copy of our topics, writes the result as JSON lines,
and prints what that cost.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from apps.nexmark.loading import SIDE_ROWS, SIDE_TIME_MS, TOPICS
from bench.answers import Answer, answer_in_folder
from bench.broker import brokers
from bench.broker.children import Children
from bench.environments import BYTEWAX, FLINK, QUIX, bytewax_python, flink_python, quix_python
from bench.measure import Measured
from bench.peers import flink_sql
from bench.peers.nexmark_rows import FOLDS, ROWS

FEW_EVENTS: Final = 1_000
"""So many events cost little more than the start of a query."""

_START_LIMIT_S: Final = 400
_EVENT_LIMIT_S: Final = 0.002
"""A measurement is ended after the first time and the second one for each event."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A framework, and the program that runs queries with it."""

    name: str
    title_name: str
    package: str
    """The name and the version, as pip has them."""
    python: Callable[[], Path | str]
    """Makes the environment; a text says why it cannot be made."""
    queries: Sequence[str]
    reads_broker: bool = False

    @property
    def module(self) -> str:
        """Return the module of the program."""
        return f"bench.peers.{self.name}_nexmark"

    @property
    def title(self) -> str:
        """Return the name and the version."""
        return f"{self.title_name} {self.package.partition('==')[2]}"


_PYTHON_QUERIES: Final = (*ROWS, *FOLDS, "q11", "q12")

PEERS: Final = {
    peer.name: peer
    for peer in (
        Peer("flink", "Flink", FLINK, flink_python, tuple(flink_sql.QUERIES)),
        Peer("bytewax", "Bytewax", BYTEWAX, bytewax_python, (*_PYTHON_QUERIES, "q7")),
        Peer("quix", "Quix Streams", QUIX, quix_python, _PYTHON_QUERIES, reads_broker=True),
    )
}


@dataclass(frozen=True, slots=True)
class PeerSample:
    """What a peer's run of a query cost, and its result."""

    seen: Measured
    answer: Answer


class Peers:
    """The peers of one run, the files that they read, and what went wrong."""

    def __init__(
        self, names: Iterable[str], children: Children, folder: Path, loaded: Path, count: int
    ) -> None:
        """Make the environments; a peer that has none is skipped.

        Args:
            names: keys of ``PEERS``.
            children: the processes of this run.
            folder: a folder for files.
            loaded: a folder of a log with the events.
            count: how many events there are.
        """
        self._loaded = loaded
        self._children = children
        self._folder = folder
        self._count = count
        self._pythons: dict[str, Path] = {}
        self.used: list[Peer] = []
        self.notes: list[str] = []
        """What the reader of the results must know: skipped peers and failed measurements."""
        for peer in (PEERS[name] for name in names):
            python = peer.python()
            if isinstance(python, str):
                self.notes.append(f"{peer.title} was skipped: {python}")
            else:
                self._pythons[peer.name] = python
                self.used.append(peer)

    def write_events(self, lines: Callable[[int], Iterable[str]]) -> None:
        """Write the files that the peers read; ``lines`` returns the first so many events."""
        write_events(self._folder / "all", lines(self._count))
        write_events(self._folder / "few", lines(min(FEW_EVENTS, self._count)))

    def measure(self, peer: Peer, query: str, *, with_answer: bool) -> PeerSample | None:
        """Run a query; return ``None``, and note the reason, if that failed or took too long."""
        work = self._folder / "work"
        work.mkdir()
        try:
            seen = (
                self._measure_from_broker(peer, query, work)
                if peer.reads_broker
                else self._measure_from_files(peer, query, work)
            )
            return PeerSample(seen, answer_in_folder(work / "rows") if with_answer else Answer(0, ""))
        except SystemExit as failure:
            if isinstance(failure.code, int):
                raise  # a signal ends the run
            self.notes.append(f"{peer.title} failed at {query}: {_last_line(failure)}")
            return None
        finally:
            shutil.rmtree(work)

    def _measure_from_files(self, peer: Peer, query: str, work: Path) -> Measured:
        inputs = [f"--events={self._folder / 'all'}"]
        if peer.name == "flink":
            inputs.append(f"--few={self._folder / 'few'}")
        return self._run(peer, query, work, inputs)

    def _measure_from_broker(self, peer: Peer, query: str, work: Path) -> Measured:
        served = work / "served"
        shutil.copytree(self._loaded, served)
        broker = brokers.start(self._children, brokers.Kind.DURABLE, served, None)
        with broker.child:
            return self._run(peer, query, work, [f"--broker={broker.address}"])

    def _run(self, peer: Peer, query: str, work: Path, inputs: Sequence[str]) -> Measured:
        command = [str(self._pythons[peer.name]), "-m", peer.module, query, f"--count={self._count}"]
        limit_s = _START_LIMIT_S + _EVENT_LIMIT_S * self._count
        said = self._folder / "said.txt"
        with self._children.start([*command, f"--work={work}", *inputs], log=said, limit_s=limit_s) as child:
            return measured_from(child.numbers())


def measured_from(numbers: Mapping[str, float]) -> Measured:
    """Return the measurement that a peer printed."""
    return Measured(
        count=int(numbers["count"]),
        cpu_s=numbers["cpu_s"],
        wall_s=numbers["wall_s"],
        peak_bytes=int(numbers["peak_bytes"]),
    )


class _Kind(msgspec.Struct, gc=False):
    event_type: int


def write_events(folder: Path, lines: Iterable[str]) -> None:
    """Write a file of lines for each kind of event, and one of the side table's rows."""
    folder.mkdir(parents=True)
    kind_of = msgspec.json.Decoder(_Kind).decode
    files = {kind: (folder / f"{TOPICS[kind]}.jsonl").open("w", encoding="utf-8") for kind in TOPICS}
    try:
        for line in lines:
            files[kind_of(line).event_type].write(f"{line}\n")
    finally:
        for file in files.values():
            file.close()
    with (folder / f"{flink_sql.SIDE_FILE}.jsonl").open("w", encoding="utf-8") as side:
        for number in range(SIDE_ROWS):
            side.write(json.dumps({"id": number, "text": str(number), "dateTime": SIDE_TIME_MS}) + "\n")


def _last_line(failure: SystemExit) -> str:
    return (str(failure).strip().splitlines() or ["no message"])[-1]
