"""Room for connections: each takes a file descriptor, and many systems give 1,024 unless asked.

What a process may take without asking anybody is its soft limit, what it may ask for its hard limit. A
partition that is written to keeps a file open, too, so all that the system gives is taken.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import Final

_logger = logging.getLogger(__name__)

_FOR_FILES: Final = 1024


def make_room(connections_max: int) -> None:
    """Raise the limit as far as may be, and warn if so many connections will not fit.

    Programs that are started from here inherit it.
    """
    try:
        import resource
    except ImportError:
        return  # Windows has no such limit

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(ValueError, OSError):  # some systems give less than they say
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
