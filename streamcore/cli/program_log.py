"""Logging to stderr for the commands that run an application's code or serve a log.

Logging that the application's module sets up when it is imported is kept: its handlers, and its level unless
``--log-level`` is given. Commands therefore import the application before they call ``show_logging``.
"""

from __future__ import annotations

import logging
import sys
from typing import Final

from streamcore.errors import UsageError, with_facts

_LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
_DEFAULT: Final = "info"
_NOISY: Final = ("asyncio", "uvicorn", "uvicorn.error", "uvicorn.access")
"""Loggers of libraries whose messages at INFO do not help the users of an application."""


def show_logging(level: str | None) -> None:
    """Print log messages to stderr, from a level on.

    Args:
        level: the value of ``--log-level``. ``None`` means ``info``, or the application's own logging.

    Raises:
        UsageError: the level does not exist.
    """
    root = logging.getLogger()
    if level is None and root.handlers:
        return
    level = level or _DEFAULT
    found = _LEVELS.get(level.lower())
    if found is None:
        raise UsageError(with_facts(f"the log level is one of {', '.join(_LEVELS)}", given=repr(level)))
    root.setLevel(found)
    if found > logging.DEBUG:
        for name in _NOISY:
            logging.getLogger(name).setLevel(max(found, logging.WARNING))
    if not root.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        root.addHandler(handler)
