"""A log served as ``streamcore serve`` does it, with maintenance several times a second.

So that a test of some seconds sees retention, compaction and expired transactions at work:
``python -m tests.crash.eager_broker --data DIR --listen HOST:PORT --durability durable``.
"""

from __future__ import annotations

import argparse
import logging
import signal
import threading
from typing import Final

import streamcore as sc
from streamcore.errors import StreamCoreError

_MAINTENANCE_S: Final = 0.2
_logger = logging.getLogger(__name__)


def main() -> None:
    """Serve until SIGTERM."""
    arguments = argparse.ArgumentParser()
    for name in ("--data", "--listen", "--durability"):
        arguments.add_argument(name, required=True)
    given = arguments.parse_args()
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda number, frame: stopping.set())
    with sc.serve(given.data, listen=given.listen, durability=given.durability) as served:
        while not stopping.wait(_MAINTENANCE_S):
            try:
                served.log.embedded.maintain()
            except StreamCoreError as error:
                _logger.warning("maintenance failed: %s", error)


if __name__ == "__main__":
    main()
