"""Ends a worker that stops: its rounds, in time or by cancelling the application's code, and its ports."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from streamcore.clock import Clock
from streamcore.errors import FencedError, StreamCoreError, fact_text
from streamcore.processing.runtime.parts import Part
from streamcore.processing.runtime.waking import Waking

_logger = logging.getLogger(__name__)

_CANCELLING_S: Final = 1.0
"""How long application code may take to end once it is cancelled."""


async def end_rounds(
    parts: Sequence[Part], waking: Waking, clock: Clock, timeout_ms: int
) -> StreamCoreError | None:
    """End the rounds under way; return the error of the first event that failed.

    Events under way may take ``timeout_ms``; then they are cancelled and left uncommitted. A part whose round
    failed is lost: nothing of it is committed.
    """
    for part in parts:
        part.stop(clock.now_ms())
    if not await _all_ended(parts, waking, clock, timeout_ms / 1000):
        _logger.warning(
            "the events under way take longer than the worker may take to stop; they are cancelled, and "
            "processed at the next start: %s",
            fact_text(stop_timeout_ms=timeout_ms),
        )
        for part in parts:
            if part.is_busy and not part.has_ended:
                part.cancel_events()
        await _all_ended(parts, waking, clock, _CANCELLING_S)
    failure: StreamCoreError | None = None
    for part in parts:
        if part.has_ended:
            try:
                part.end_round(clock.now_ms())
            except StreamCoreError as error:
                part.is_lost = True
                failure = failure or error
    return failure


async def _all_ended(parts: Sequence[Part], waking: Waking, clock: Clock, seconds: float) -> bool:
    """Wait until every round under way has ended; return ``False`` after ``seconds``."""
    deadline_s = clock.monotonic_s() + seconds
    while any(part.is_busy and not part.has_ended for part in parts):
        left_s = deadline_s - clock.monotonic_s()
        if left_s <= 0:
            return False
        await waking.wait(left_s)
    return True


def close_ports(closes: Iterable[Callable[[], None]]) -> None:
    """Close readers and producers. Committed work is durable already: a missing answer loses nothing."""
    for close in closes:
        try:
            close()
        except FencedError:  # the commit has raised it
            continue
        except StreamCoreError as error:
            _logger.warning("the log did not answer while the worker closed, nothing is lost: %s", error)
