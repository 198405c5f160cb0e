"""The broker under test, the clients, and what is noted of them for ``docs/clients.md``.

What is needed comes once by the registries' own clients (``fetching.py``); where it is missing the tests are
skipped with a message that says what.
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Callable, Generator, Iterator, Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import pytest

from tests.interop.brokers import OTHER_BROKER, ServedBroker
from tests.interop.client_table import Observation, Observations, render
from tests.interop.fetching import MissingError, kafka_jars
from tests.interop.kafka_processes import kafka_running
from tests.interop.peers import PEERS_BY_NAME, Peer
from tests.interop.programs import Fact, Program

_TABLE: Final = os.environ.get("INTEROP_TABLE")
_QUOTED_CHARACTERS: Final = 2000
_BROKER_LOG: Final = pytest.StashKey[Path]()
_OBSERVATIONS: Final = pytest.StashKey[Observations]()


@pytest.fixture(scope="session")
def jars() -> Path:
    """The folder with Kafka's jars; fetched where it is missing."""
    try:
        return kafka_jars()
    except MissingError as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def kafka_node(jars: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a node of Apache Kafka that the tests of a session share.

    Each cleans up what it makes, or uses names that no other test has.
    """
    with kafka_running(jars, tmp_path_factory.mktemp("kafka-node")) as address:
        yield address


@pytest.fixture(scope="session")
def broker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a broker that all tests share."""
    if OTHER_BROKER is not None:
        yield OTHER_BROKER
        return
    served = ServedBroker(tmp_path_factory.mktemp("broker"))
    request.config.stash[_BROKER_LOG] = served.log
    served.start()
    yield served.address
    served.stop()


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[ServedBroker]:
    """A broker that a test may kill."""
    if OTHER_BROKER is not None:
        pytest.skip("the broker of INTEROP_BROKER is not killed")
    served = ServedBroker(tmp_path / "broker")
    served.start()
    yield served
    served.stop()


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """What topics, groups and transactional ids of a test begin with: nobody else's do."""
    return f"interop-{re.sub('[^a-z0-9]+', '-', request.node.name.lower())}-{uuid4().hex[:8]}"


class Client:
    """A client, ready to be started. What is still running at the end of a test is ended."""

    def __init__(self, peer: Peer, command: Sequence[str], folder: Path) -> None:
        self.peer = peer
        self._command = command
        self._folder = folder
        self._started: list[Program] = []

    def start(self, address: str, step: str, **arguments: object) -> Program:
        """Start a step."""
        output = self._folder / f"{self.peer.name}-{step}-{len(self._started)}.log"
        program = Program(self._command, address, step, arguments, output)
        self._started.append(program)
        return program

    def do(self, address: str, step: str, **arguments: object) -> list[Fact]:
        """Do a step to its end."""
        return self.start(address, step, **arguments).finish()

    def end(self) -> None:
        """Kill what is still running."""
        for program in self._started:
            program.kill()


@pytest.fixture
def client_of(tmp_path: Path, observations: Observations) -> Iterator[Callable[[str], Client]]:
    """Makes a client ready by its name, and notes its version."""
    clients: list[Client] = []

    def ready(peer_name: str) -> Client:
        peer = PEERS_BY_NAME[peer_name]
        try:
            client = Client(peer, peer.command(), tmp_path)
        except MissingError as missing:
            pytest.skip(str(missing))
        clients.append(client)
        if peer_name not in observations.versions:
            (fact,) = client.do("-", "versions")
            observations.versions[peer_name] = (fact["client"], fact["runtime"])
        return client

    yield ready
    for client in clients:
        client.end()


@pytest.fixture
def client(request: pytest.FixtureRequest, client_of: Callable[[str], Client]) -> Client:
    """The client that the test is about."""
    return client_of(request.param)


@pytest.fixture
def partner(client: Client, client_of: Callable[[str], Client]) -> Client:
    """The client at the other end."""
    return client_of(client.peer.partner)


@pytest.fixture(scope="session")
def observations(request: pytest.FixtureRequest) -> Observations:
    """What is noted for the table."""
    return request.config.stash[_OBSERVATIONS]


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_OBSERVATIONS] = Observations()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note how a test ended that shows something of a client, and what the broker said if it failed."""
    report = yield
    log = item.config.stash.get(_BROKER_LOG, None)
    if report.failed and log is not None:
        text = log.read_text("utf-8", "replace")
        report.sections.append((f"the shared broker's log, {log}", text[-_QUOTED_CHARACTERS:]))
    shows = item.get_closest_marker("shows")
    if shows is not None and (report.when == "call" or not report.passed):
        parameters: dict[str, Any] = item.callspec.params if hasattr(item, "callspec") else {}
        who, what = (part.format(**parameters) for part in shows.args)
        item.config.stash[_OBSERVATIONS].add(Observation(who, what, report.outcome, _reason(report)))
    return report


def _reason(report: pytest.TestReport) -> str:
    if report.passed:
        return ""
    if isinstance(report.longrepr, tuple):
        return report.longrepr[2].removeprefix("Skipped: ")
    crash = getattr(report.longrepr, "reprcrash", None)
    return str(crash.message if crash is not None else report.longrepr).strip().splitlines()[0]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the table, where it is asked for."""
    if _TABLE and OTHER_BROKER is None:
        runtime = f"Python {platform.python_version()}, {platform.system()} {platform.machine()}"
        page = render(
            session.config.stash[_OBSERVATIONS],
            day=date.today().isoformat(),
            broker=f"`streamcore serve` {version('streamcore')} on {runtime}",
            previous=Path(_TABLE).read_text("utf-8") if Path(_TABLE).exists() else "",
        )
        Path(_TABLE).write_text(page, "utf-8")
