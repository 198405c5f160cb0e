"""A worker's loop rests until something wakes it, and never misses what happened before it rested."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable

from streamcore.processing.runtime.turns import TURN_S, Turn
from streamcore.processing.runtime.waking import Waking

NEVER_S = 3_600.0


def run(work: Callable[[Waking], Awaitable[None]]) -> None:
    async def limited() -> None:
        waking = Waking()
        waking.attach()
        async with asyncio.timeout(30):
            await work(waking)

    asyncio.run(limited())


def test_a_wait_ends_at_once_if_it_was_set_before() -> None:
    async def work(waking: Waking) -> None:
        waking.set()
        await waking.wait(NEVER_S)

    run(work)


def test_one_set_ends_one_wait() -> None:
    async def work(waking: Waking) -> None:
        waking.set()
        waking.set()
        await waking.wait(NEVER_S)
        second = asyncio.ensure_future(waking.wait(NEVER_S))
        await asyncio.sleep(0)
        is_waiting = not second.done()
        waking.set()
        await second

        assert is_waiting

    run(work)


def test_another_thread_ends_a_wait() -> None:
    async def work(waking: Waking) -> None:
        thread = threading.Thread(target=waking.set_from_any_thread)
        thread.start()
        await waking.wait(NEVER_S)
        thread.join()

    run(work)


def test_a_wait_ends_at_its_timeout() -> None:
    run(lambda waking: waking.wait(0))


def test_setting_from_a_thread_without_a_loop_has_no_effect() -> None:
    waking = Waking()
    waking.set_from_any_thread()

    async def attach() -> None:
        waking.attach()

    asyncio.run(attach())
    waking.set_from_any_thread()


# --- turns --------------------------------------------------------------------------------------


def test_agents_give_way_after_a_turn_and_at_a_cut() -> None:
    now_s = 5.0
    turn = Turn(lambda: now_s)

    turn.begin()
    begun = (turn.is_cut, turn.yield_at_s)
    turn.cut()
    cut = (turn.is_cut, turn.yield_at_s < now_s)
    now_s = 7.0
    turn.was_given()
    given = (turn.is_cut, turn.yield_at_s)

    assert begun == (False, 5.0 + TURN_S)
    assert cut == (True, True)
    assert given == (True, 7.0 + TURN_S), "the round stays cut until the next one begins"


def test_a_round_that_begins_while_the_worker_stops_is_cut() -> None:
    turn = Turn(lambda: 0.0)
    turn.is_stopping = True

    turn.begin()

    assert turn.is_cut
