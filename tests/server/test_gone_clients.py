"""Of clients that are gone nothing is kept: no connection, no operation, no open file."""

from __future__ import annotations

import gc
import os
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

import streamcore as sc
from streamcore.log.protocol.frames import FrameReceiver
from streamcore.log.protocol.messages.metadata import MetadataRequest
from streamcore.log.server.connection import Connection
from streamcore.log.server.output import Output
from streamcore.log.server.runner import Running
from tests.support.group_requests import join_request
from tests.support.serving import (
    FETCH_VERSION,
    PRODUCE_VERSION,
    batch,
    client_of,
    fetch_request,
    produce,
    produce_request,
)
from tests.support.wire_client import WireClient

COUNT = 10
GONE_S_MAX = 10.0


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sc.ServedLog]:
    with sc.serve(tmp_path_factory.mktemp("served"), listen="127.0.0.1:0") as served:
        served.log.create_topic("t")
        with client_of(served) as client:
            produce(client, "t", batch(b"x" * 900_000))
        yield served


def waits_for_records(client: WireClient) -> None:
    client.send(fetch_request("t", 1, max_wait_ms=600_000), FETCH_VERSION)


def waits_for_the_disk(client: WireClient) -> None:
    client.send(produce_request("t", batch(b"a")), PRODUCE_VERSION)


def waits_for_other_members(client: WireClient) -> None:
    client.send(join_request("g", session_timeout_ms=200, rebalance_timeout_ms=200), 3)


def sends_a_part_of_a_frame(client: WireClient) -> None:
    client.socket.sendall(struct.pack(">ihh", 1_000, 3, 9) + b"x" * 100)


def sends_many_requests(client: WireClient) -> None:
    for _ in range(50):
        client.send(MetadataRequest(topics=None), 9)


def takes_no_answer(client: WireClient) -> None:
    for _ in range(50):
        client.send(fetch_request("t"), FETCH_VERSION)


@pytest.fixture(autouse=True)
def no_collection() -> Iterator[None]:
    """What is kept in cycles is kept: nobody can tell when the interpreter will look for them."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def client_descriptors() -> int:
    """Count sockets, and handles of the topic's data file beyond the two of the log: to write and to read."""
    opened = []
    for descriptor in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # the listing's own is closed by now
            opened.append(os.readlink(f"/proc/self/fd/{descriptor}"))
    sockets = sum(each.startswith("socket:") for each in opened)
    return sockets + max(0, sum("/t-0/" in each for each in opened) - 2)


def kept_objects() -> dict[str, int]:
    kinds = (Connection, FrameReceiver, Output, Running)
    objects = [type(each) for each in gc.get_objects()]
    return {kind.__name__: objects.count(kind) for kind in kinds} | {"descriptors": client_descriptors()}


def kept_once(is_so: Callable[[dict[str, int]], bool]) -> dict[str, int]:
    """What is kept as soon as it is as wanted, or when that takes too long."""
    deadline_s = time.monotonic() + GONE_S_MAX
    while True:
        found = kept_objects()
        if is_so(found) or time.monotonic() > deadline_s:
            return found
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts descriptors as Linux shows them")
@pytest.mark.parametrize(
    "act",
    [
        waits_for_records,
        waits_for_the_disk,
        waits_for_other_members,
        sends_a_part_of_a_frame,
        sends_many_requests,
        takes_no_answer,
    ],
)
def test_nothing_is_kept_of_clients_that_are_gone(
    served: sc.ServedLog, act: Callable[[WireClient], None]
) -> None:
    before = kept_objects()
    clients = [client_of(served) for _ in range(COUNT)]
    for client in clients:
        act(client)
    assert kept_once(lambda now: now["Connection"] >= COUNT)["Connection"] >= COUNT

    for number, client in enumerate(clients):
        if number % 2:  # the server gets an error instead of an end
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()

    after = kept_once(lambda now: all(now[name] <= before[name] for name in before))
    assert all(after[name] <= before[name] for name in before), f"{before} before, {after} after"
