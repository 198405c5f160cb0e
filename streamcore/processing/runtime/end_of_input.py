"""What a worker does when its input has ended: silent inputs stop to hold watermarks, open windows close."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from streamcore.clock import Clock
from streamcore.processing.runtime.parts import Part
from streamcore.processing.runtime.task import Task
from streamcore.processing.runtime.waking import Waking

_WAIT_S: Final = 0.5


async def close_open_windows(parts: Sequence[Part], waking: Waking, clock: Clock) -> bool:
    """Close open windows; return whether there were any.

    Windows that can still get results of others stay open: call it again once these are processed.
    """
    moved = False
    for part in parts:
        due = part.windows_to_close()
        if due:
            await _advance_time(part, due, waking, clock)
            moved = True
    return moved


async def leave_silent_inputs(parts: Sequence[Part], waking: Waking, clock: Clock) -> bool:
    """Move the watermarks past the inputs that have nothing to read.

    Returns:
        Whether any watermark moved, or the tasks behind a repartition topic are to know of it.
    """
    moved = False
    for part in parts:
        part.idle_time.mark(clock.now_ms(), at_once=True)
        due = list(part.idle_time.due(None))
        if due:
            await _advance_time(part, due, waking, clock)
        moved |= bool(due) or part.has_marks
    return moved


async def _advance_time(
    part: Part, times_ms: Sequence[tuple[Task, int]], waking: Waking, clock: Clock
) -> None:
    """Move the watermarks of tasks of a part at rest."""
    part.start(part.advance_time(times_ms), waking.set)
    while not part.has_ended:
        await waking.wait(_WAIT_S)
    part.end_round(clock.now_ms())
