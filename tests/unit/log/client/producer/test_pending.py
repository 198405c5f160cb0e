"""What a send returns is a future as the standard library knows them."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Callable
from typing import Any

import pytest

from streamcore.errors import InvalidRecordError
from streamcore.log.client.producer.pending import SendFuture, SendManyFuture
from streamcore.log.client.producer.producer import Producer
from tests.unit.log.client.producer.test_producer import MemoryPort, producer_on

Send = Callable[[Producer], "SendFuture | SendManyFuture"]


@pytest.fixture
def port() -> MemoryPort:
    return MemoryPort()


def one(producer: Producer) -> SendFuture:
    return producer.send("one", value=b"v")


def many(producer: Producer) -> SendManyFuture:
    return producer.send_many("t", [(b"%d" % number, b"v") for number in range(100)])


def none(producer: Producer) -> SendManyFuture:
    return producer.send_many("t", [])


SENDS = pytest.mark.parametrize("send", [one, many, none])


@SENDS
def test_a_send_is_awaited_without_waiting_for_its_linger(port: MemoryPort, send: Send) -> None:
    async def work() -> object:
        future = send(producer)
        result = await future
        assert await future == result == future.result()
        return result

    with producer_on(port, linger="1h") as producer:
        asyncio.run(asyncio.wait_for(work(), 10))


@SENDS
def test_asyncio_wraps_and_gathers_sends(port: MemoryPort, send: Send) -> None:
    async def work() -> None:
        futures: list[Any] = [send(producer) for _ in range(3)]
        wrapped = [asyncio.wrap_future(future) for future in futures]
        producer.hurry()
        assert await asyncio.gather(*wrapped) == [future.result() for future in futures]
        assert await asyncio.gather(*futures) == [future.result() for future in futures]

    with producer_on(port, linger="1h") as producer:
        asyncio.run(work())


def test_a_refused_send_raises_where_it_is_awaited(port: MemoryPort) -> None:
    async def work() -> None:
        future = producer.send("one", value=b"bad")
        with pytest.raises(InvalidRecordError):
            await future
        with pytest.raises(InvalidRecordError):
            await asyncio.wrap_future(future)

    port.refuses = lambda row: InvalidRecordError("no") if row[1] == b"bad" else None
    with producer_on(port, linger="1h") as producer:
        asyncio.run(work())


def test_a_wait_that_is_cancelled_leaves_the_record_on_its_way(port: MemoryPort) -> None:
    async def work() -> None:
        future = producer.send("one", value=b"v")
        waiting = asyncio.ensure_future(future)
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        port.gate.set()
        assert (await future).offset == 0
        assert not future.cancel()
        assert not future.cancelled()

    port.gate.clear()
    with producer_on(port, linger="1h") as producer:
        asyncio.run(work())


@SENDS
@pytest.mark.parametrize(
    "when", [concurrent.futures.ALL_COMPLETED, concurrent.futures.FIRST_COMPLETED, "FIRST_EXCEPTION"]
)
def test_the_standard_library_waits_for_sends(port: MemoryPort, send: Send, when: str) -> None:
    with producer_on(port, linger="1ms") as producer:
        done_before = producer.send("one", value=b"v")
        done_before.result()
        futures: list[Any] = [done_before, *(send(producer) for _ in range(4))]
        done, left = concurrent.futures.wait(futures, timeout=10, return_when=when)
        assert done
        assert set(concurrent.futures.as_completed(futures, timeout=10)) == set(futures)
        done, left = concurrent.futures.wait(futures, timeout=10)

    assert (done, left) == (set(futures), set())
    assert [repr(future).endswith("done>") for future in futures] == [True] * 5


def test_a_send_on_its_way_is_running(port: MemoryPort) -> None:
    with producer_on(port, linger="1h") as producer:
        future = producer.send("one", value=b"v")
        assert (future.running(), future.done()) == (True, False)
        assert repr(future) == "<SendFuture on its way>"
        assert concurrent.futures.wait([future], timeout=0).not_done == {future}
