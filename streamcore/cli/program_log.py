"""Where a long-running command shows what is logged, by the application's code and by StreamCore: stderr.

A program that has set up logging itself, when its module is imported, keeps what it has set up: handlers of
the root logger stay, and only the level is set.
"""

from __future__ import annotations

import logging
import sys
from typing import Final

from streamcore.errors import UsageError, fact_text

_LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
_NOISY: Final = ("asyncio", "uvicorn", "uvicorn.error", "uvicorn.access")
"""Libraries whose information is of no use to people who run an application."""


def show_logging(level: str) -> None:
    """Show what is logged from a level on.

    Raises:
        UsageError: there is no such level.
    """
    found = _LEVELS.get(level.lower())
    if found is None:
        raise UsageError(f"the log level is one of {', '.join(_LEVELS)}: {fact_text(given=repr(level))}")
    root = logging.getLogger()
    root.setLevel(found)
    if found > logging.DEBUG:
        for name in _NOISY:
            logging.getLogger(name).setLevel(max(found, logging.WARNING))
    if not root.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        root.addHandler(handler)
