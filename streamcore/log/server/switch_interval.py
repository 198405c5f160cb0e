"""Shortens the interpreter's switch interval while a log is served in this process.

The switch interval is how long one thread keeps the interpreter while another one wants it. Python's default
of 5 ms would be added to each sync that ends while requests are handled. The interval holds for the whole
process: the last server that stops restores it, unless the program has changed it meanwhile.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

SERVING_INTERVAL_S: Final = 0.001


class _Shortened:
    """How many servers need the short interval, and the interval before the first of them."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.count = 0
        self.before_s = 0.0
        self.set_s = 0.0


_shortened: Final = _Shortened()


@contextmanager
def short_switch_interval() -> Iterator[None]:
    """Keep the switch interval at 1 ms, or less if it is less already, until the block ends."""
    with _shortened.lock:
        if not _shortened.count:
            _shortened.before_s = sys.getswitchinterval()
            sys.setswitchinterval(min(_shortened.before_s, SERVING_INTERVAL_S))
            _shortened.set_s = sys.getswitchinterval()
        _shortened.count += 1
    try:
        yield
    finally:
        with _shortened.lock:
            _shortened.count -= 1
            if not _shortened.count and sys.getswitchinterval() == _shortened.set_s:
                sys.setswitchinterval(_shortened.before_s)
