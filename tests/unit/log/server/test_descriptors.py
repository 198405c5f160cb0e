"""A server asks the system for as many descriptors as its connections need."""

from __future__ import annotations

import subprocess
import sys

CHECK = """
import logging, resource, sys
from streamcore.log.server.descriptors import make_room
logging.basicConfig(stream=sys.stdout, format="%(message)s")
resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))
make_room(1000)
print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


def limit_after(soft: int, hard: int) -> list[str]:
    """In a process of its own: a hard limit cannot be raised again."""
    done = subprocess.run(
        [sys.executable, "-c", CHECK.format(soft=soft, hard=hard)], capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


def test_all_that_the_system_gives_is_taken() -> None:
    assert limit_after(256, 4096) == ["4096"]


def test_a_limit_that_cannot_be_raised_stays() -> None:
    assert limit_after(3000, 3000) == ["3000"]


def test_where_the_system_gives_too_little_it_is_said() -> None:
    said, limit = limit_after(256, 1500)

    assert "limit=1500 wanted=2024" in said
    assert limit == "1500"
