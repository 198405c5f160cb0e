"""When the windows and intervals that a store holds open will close."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from streamcore.processing.topology.nodes import StoreSpec
from streamcore.processing.topology.windows import RecordWindows
from streamcore.state.sessions import SessionStore
from streamcore.state.windowed import WindowStore
from streamcore.state.write_back import WriteBack
from streamcore.state.written_sessions import WrittenSessions

END_OF_TIME_MS: Final = 2**62
"""Later than every time."""


def closing_times_ms(
    spec: StoreSpec,
    store: WriteBack[Any, Any],
    watermark_ms: int,
    order_ms: int,
    latest_ms: int = END_OF_TIME_MS,
) -> Iterator[int]:
    """Yield the watermarks at which what is open in a store closes; of sessions only the last.

    Intervals end by ``order_ms`` (``TaskTime``). Windows that start after ``latest_ms`` are left out.
    """
    if spec.every_ms is not None and next(iter(store.items()), None) is not None:
        yield (max(-1, order_ms // spec.every_ms) + 1) * spec.every_ms
    if spec.windows is None or spec.is_step_state:
        return
    open_from = spec.windows.closed_before(watermark_ms)
    if isinstance(spec.windows, RecordWindows):
        if isinstance(store, WrittenSessions):
            return  # No result waits for the end of a session that an agent writes.
        assert isinstance(store, SessionStore)
        end_ms = store.last_end_ms(open_from, latest_ms)
        if end_ms is not None:
            yield spec.windows.closing_time_ms(end_ms)
        return
    assert isinstance(store, WindowStore)
    for (_, start_ms), _ in store.windows_between(open_from, min(latest_ms + 1, END_OF_TIME_MS)):
        yield spec.windows.closing_time_ms(start_ms)
