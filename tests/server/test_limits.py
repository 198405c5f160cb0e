"""What one peer does, or does not do, costs a bounded amount and hurts nobody else."""

from __future__ import annotations

import resource
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import streamcore as sc
from streamcore.clock import ManualClock
from streamcore.log.protocol.apis import PRODUCE as _PRODUCE
from streamcore.log.protocol.messages.metadata import MetadataRequest
from tests.support.serving import (
    FETCH_VERSION,
    NOW_MS,
    PRODUCE_VERSION,
    batch,
    client_of,
    fetch_request,
    produce,
    produce_request,
    records_of,
)
from tests.support.wire_client import WireClient

MEGABYTE = 1024 * 1024


@contextmanager
def serving(
    folder: Path, settings: sc.ServerSettings | None = None, clock: ManualClock | None = None
) -> Iterator[sc.ServedLog]:
    with sc.serve(folder, listen="127.0.0.1:0", settings=settings, clock=clock) as served:
        served.log.create_topic("t", partitions=2)
        yield served


class FailingClock(ManualClock):
    def __init__(self) -> None:
        super().__init__(NOW_MS)
        self.fails = False

    def monotonic_s(self) -> float:
        if self.fails and threading.current_thread().name == "streamcore-server":
            raise OSError("no clock")
        return super().monotonic_s()


def is_served(client: WireClient) -> bool:
    try:
        return bool(client.ask(MetadataRequest(topics=[]), 9).cluster_id)
    except ConnectionError:
        return False


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


@pytest.mark.slow
def test_waiting_for_a_server_that_failed_raises_its_error(tmp_path: Path) -> None:
    clock = FailingClock()
    with pytest.raises(sc.errors.ServerFailedError, match="report"):  # noqa: SIM117 - closing says it, too
        with serving(tmp_path, sc.ServerSettings(sweep_s=0.01), clock) as served:
            clock.fails = True
            with pytest.raises(sc.errors.ServerFailedError, match="no clock"):
                served.wait(threading.Event())


def test_connections_above_the_limit_are_closed_and_the_others_stay(tmp_path: Path) -> None:
    with serving(tmp_path, sc.ServerSettings(connections_max=2)) as served:
        with client_of(served) as one, client_of(served) as two:
            both = is_served(one) and is_served(two)
            with client_of(served) as third:
                third_served = is_served(third)
            still = is_served(one)
        with client_of(served) as after:
            after_served = is_served(after)

    assert both
    assert not third_served
    assert still
    assert after_served


def test_one_address_may_have_only_so_many_connections(tmp_path: Path) -> None:
    settings = sc.ServerSettings(connections_per_address_max=1)
    with serving(tmp_path, settings) as served, client_of(served) as one, client_of(served) as two:
        assert is_served(one)
        assert not is_served(two)


def test_a_silent_connection_is_closed(tmp_path: Path) -> None:
    clock = ManualClock(NOW_MS)
    settings = sc.ServerSettings(idle_s=60, sweep_s=0.01)
    with serving(tmp_path, settings, clock) as served, client_of(served) as client:
        assert is_served(client)

        clock.advance(61_000)

        assert client.is_closed_by_peer()


def test_an_unfinished_frame_closes_its_connection(tmp_path: Path) -> None:
    clock = ManualClock(NOW_MS)
    settings = sc.ServerSettings(idle_s=3_600, unfinished_frame_s=30, sweep_s=0.01)
    with serving(tmp_path, settings, clock) as served, client_of(served) as client:
        client.socket.sendall(struct.pack(">i", 1_000_000) + b"x" * 100)
        with client_of(served) as other:
            assert is_served(other)  # so the bytes before have arrived

        clock.advance(31_000)

        assert client.is_closed_by_peer()


def test_a_fetch_that_waits_is_not_taken_for_silence(tmp_path: Path) -> None:
    clock = ManualClock(NOW_MS)
    settings = sc.ServerSettings(idle_s=1, sweep_s=0.01)
    with serving(tmp_path, settings, clock) as served, client_of(served) as client:
        api = client.send(fetch_request("t", max_wait_ms=3_600_000), FETCH_VERSION)
        with client_of(served) as other:
            assert is_served(other)
        clock.advance(10_000)

        with client_of(served) as other:
            produce(other, "t", batch(b"a"))
        data = client.receive(api, FETCH_VERSION).responses[0].partitions[0]

        assert records_of(data)


def test_a_frame_above_the_limit_ends_its_connection(tmp_path: Path) -> None:
    with serving(tmp_path, sc.ServerSettings(frame_bytes_max=1_000)) as served, client_of(served) as client:
        client.socket.sendall(struct.pack(">i", 1_001) + b"x" * 10)

        assert client.is_closed_by_peer()


def test_requests_beyond_the_memory_wait_and_are_answered(tmp_path: Path) -> None:
    settings = sc.ServerSettings(request_bytes_max=300_000)
    with serving(tmp_path, settings) as served:
        clients = [client_of(served) for _ in range(8)]
        records = batch(b"x" * 200_000)
        for client in clients:
            client.socket.settimeout(20)

        # All begin a frame before any ends one, so the memory is used up by halves of frames.
        frames = [_frame(client, records) for client in clients]
        for client, frame in zip(clients, frames, strict=True):
            client.socket.sendall(frame[:100_000])
        for client, frame in zip(clients, frames, strict=True):
            client.socket.sendall(frame[100_000:])
        answers = [client.receive(_PRODUCE, PRODUCE_VERSION) for client in clients]
        for client in clients:
            client.close()

    offsets = {answer.responses[0].partition_responses[0].base_offset for answer in answers}
    assert offsets == set(range(8))


def test_a_client_that_does_not_read_costs_little_and_does_not_delay_others(tmp_path: Path) -> None:
    with serving(tmp_path) as served, client_of(served) as writer:
        written = [produce(writer, "t", batch(b"x" * 1_000_000)).error_code for _ in range(60)]
        before_bytes = resident_bytes()
        slow = [client_of(served) for _ in range(20)]

        for client in slow:
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.send(fetch_request("t", partition_max_bytes=100 * MEGABYTE), FETCH_VERSION)
        answers = [produce(writer, "t", batch(b"x"), partition=1).error_code for _ in range(50)]
        grown_bytes = resident_bytes() - before_bytes
        for client in slow:
            client.close()

    assert written == [0] * 60
    assert answers == [0] * 50
    # Twenty whole answers would be more than a gigabyte.
    assert grown_bytes < 64 * MEGABYTE


def test_a_slow_peer_gets_all_of_a_large_answer(tmp_path: Path) -> None:
    values = [bytes([number]) * 1_000_000 for number in range(12)]
    with serving(tmp_path) as served, client_of(served) as client:
        for value in values:
            produce(client, "t", batch(value))

        api = client.send(fetch_request("t", partition_max_bytes=100 * MEGABYTE), FETCH_VERSION)
        data = client.receive(api, FETCH_VERSION).responses[0].partitions[0]

    found = records_of(data)
    assert [found.count(bytes([number]) * 1_000) for number in range(12)] == [1_000] * 12


def _frame(client: WireClient, records: bytes) -> bytes:
    body = _PRODUCE.request_codec(PRODUCE_VERSION).encode(produce_request("t", records))
    frame = struct.pack(">hhih", 0, PRODUCE_VERSION, 1, -1) + b"\x00" + body
    return struct.pack(">i", len(frame)) + frame
