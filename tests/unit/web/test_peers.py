"""Requests to other workers: connections are kept, and every failure is one error in bounded time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from streamcore.web.peers import REQUESTS_MAX, PeerError, Peers

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nX-Two: b\r\n\r\n{}"

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def with_server(serve: Serve, use: Callable[[Peers, str], Awaitable[None]]) -> int:
    """Use a server on this machine; return how many connections it got."""
    count = 0

    async def work() -> None:
        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> asyncio.Task[None]:
            nonlocal count
            count += 1
            return asyncio.ensure_future(_served(reader, writer))

        async def _served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await serve(reader, writer)
            finally:
                writer.close()

        peers = Peers()
        server = await asyncio.start_server(connected, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()
        try:
            await use(peers, f"{host}:{port}")
        finally:
            peers.close()
            server.close()

    asyncio.run(work())
    return count


async def answer_each(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while (await reader.readline()).startswith(b"GET"):
        while (await reader.readline()) != b"\r\n":
            pass
        writer.write(ANSWER)


async def answer_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(ANSWER)


async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def close_at_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readline()


async def speak_another_protocol(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")
    await reader.read()


async def break_off(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(ANSWER[:-1])


def test_a_connection_is_kept_for_the_next_request() -> None:
    async def use(peers: Peers, address: str) -> None:
        for _ in range(3):
            reply = await peers.get(address, "/tables", {"a": "b"}, 5)
            assert (reply.status, reply.headers["x-two"], reply.body) == (200, "b", b"{}")

    assert with_server(answer_each, use) == 1


def test_requests_at_the_same_time_have_connections_of_their_own() -> None:
    async def use(peers: Peers, address: str) -> None:
        replies = await asyncio.gather(*(peers.get(address, "/tables", {}, 5) for _ in range(4)))
        assert [reply.status for reply in replies] == [200] * 4

    assert with_server(answer_each, use) == 4


def test_a_kept_connection_that_the_other_side_has_closed_is_replaced() -> None:
    async def use(peers: Peers, address: str) -> None:
        for _ in range(3):
            assert (await peers.get(address, "/tables", {}, 5)).status == 200

    assert with_server(answer_one, use) == 3


@pytest.mark.parametrize("serve", [close_at_once, speak_another_protocol, break_off])
def test_what_is_no_answer_is_an_error(serve: Serve) -> None:
    async def use(peers: Peers, address: str) -> None:
        with pytest.raises(PeerError):
            await peers.get(address, "/tables", {}, 5)

    assert with_server(serve, use) == 1


def test_a_worker_that_does_not_answer_in_time_is_an_error() -> None:
    async def use(peers: Peers, address: str) -> None:
        with pytest.raises(PeerError, match=r"no answer within 0\.02 s"):
            await peers.get(address, "/tables", {}, 0.02)

    assert with_server(hang, use) == 1


def test_an_address_where_nothing_listens_is_an_error() -> None:
    async def use(peers: Peers, address: str) -> None:
        with pytest.raises(PeerError):
            await peers.get("127.0.0.1:1", "/tables", {}, 5)

    with_server(hang, use)


def test_requests_that_wait_for_one_worker_are_bounded() -> None:
    async def use(peers: Peers, address: str) -> None:
        waiting = [asyncio.ensure_future(peers.get(address, "/", {}, 60)) for _ in range(REQUESTS_MAX)]
        await asyncio.sleep(0)

        with pytest.raises(PeerError, match="too many queries"):
            await peers.get(address, "/", {}, 60)

        for each in waiting:
            each.cancel()
        assert all(
            isinstance(each, asyncio.CancelledError)
            for each in await asyncio.gather(*waiting, return_exceptions=True)
        )
        with pytest.raises(PeerError, match="no answer"):
            await peers.get(address, "/", {}, 0.02)

    with_server(hang, use)
