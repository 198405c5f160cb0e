"""Long work for one client keeps no other waiting, and is carried to its end when that client goes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from streamcore.clock import SystemClock
from streamcore.log.api.error_codes import ErrorCode
from streamcore.log.client.embedded.log import EmbeddedLog
from streamcore.log.protocol.messages.create_topics import CreatableTopic, CreateTopicsRequest
from streamcore.log.server.listeners import parse_listeners
from streamcore.log.server.security import Security
from streamcore.log.server.server import Server
from streamcore.log.server.settings import ServerSettings
from streamcore.log.storage.files import PosixFileSystem
from tests.support.serving import batch, produce
from tests.support.wire_client import WireClient

LIMIT_S = 20


class HeldFileSystem(PosixFileSystem):
    """Real files; making a folder of one name waits until it is let go."""

    def __init__(self) -> None:
        self.held_name = ""
        self.entered = threading.Event()
        self.let_go = threading.Event()

    def make_directory(self, path: Path) -> None:
        if path.name == self.held_name:
            self.entered.set()
            assert self.let_go.wait(LIMIT_S)
        super().make_directory(path)


@pytest.fixture
def files() -> HeldFileSystem:
    return HeldFileSystem()


@pytest.fixture
def log(files: HeldFileSystem, tmp_path: Path) -> Iterator[EmbeddedLog]:
    with EmbeddedLog.open(tmp_path, file_system=files, maintenance=False) as log:
        yield log


@pytest.fixture
def connect(log: EmbeddedLog) -> Iterator[Callable[[], WireClient]]:
    server = Server(log.node, parse_listeners(["127.0.0.1:0"]), SystemClock(), ServerSettings(), Security())
    server.start()
    (address,) = server.addresses
    yield lambda: WireClient(address.host, address.port)
    server.stop()


def creation(name: str, partitions: int = 1) -> CreateTopicsRequest:
    topic = CreatableTopic(
        name=name, num_partitions=partitions, replication_factor=1, assignments=[], configs=[]
    )
    return CreateTopicsRequest(topics=[topic])


def test_others_are_served_while_a_topic_is_made(
    files: HeldFileSystem, connect: Callable[[], WireClient]
) -> None:
    files.held_name = "slow-1"
    with connect() as one, connect() as other:
        api = one.send(creation("slow", partitions=2), 7)
        assert files.entered.wait(LIMIT_S)

        made = other.ask(creation("quick"), 7).topics[0].error_code
        produced = produce(other, "quick", batch(b"a")).error_code
        files.let_go.set()
        answer = one.receive(api, 7)

    assert (made, produced) == (ErrorCode.NONE, ErrorCode.NONE)
    assert answer.topics[0].num_partitions == 2


def test_a_topic_is_created_completely_although_its_client_disconnected(
    files: HeldFileSystem, log: EmbeddedLog, connect: Callable[[], WireClient]
) -> None:
    files.held_name = "slow-1"
    with connect() as one:
        one.send(creation("slow", partitions=2), 7)
        assert files.entered.wait(LIMIT_S)
    with connect() as other:
        files.let_go.set()
        answer = other.ask(creation("slow", partitions=5), 7)

    assert answer.topics[0].error_code == ErrorCode.TOPIC_ALREADY_EXISTS
    assert log.topics()["slow"].partition_count == 2
