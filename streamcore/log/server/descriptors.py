"""Raises the limit of file descriptors: each connection needs one, and many systems allow 1,024 by default.

The soft limit is what a process may open; it may raise the soft limit up to the hard limit. A partition that
is written to keeps a file open too, so the soft limit is raised to the hard limit.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import Final

_logger = logging.getLogger(__name__)

_FOR_FILES: Final = 1024


def make_room(connections_max: int) -> None:
    """Raise the soft limit as far as possible, and warn if it is too low for so many connections.

    Child processes inherit the limit.
    """
    try:
        import resource
    except ImportError:
        return  # Windows has no such limit

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(ValueError, OSError):  # some systems refuse the hard limit that they report
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
    wanted = connections_max + _FOR_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        _logger.warning(
            "the system's limit on open files leaves room for fewer connections than allowed: raise it "
            "(ulimit -Hn, or LimitNOFILE= of a systemd unit) limit=%d wanted=%d",
            soft,
            wanted,
        )
