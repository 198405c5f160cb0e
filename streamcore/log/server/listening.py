"""Opens the sockets that a server listens on."""

from __future__ import annotations

import errno
import socket
from contextlib import ExitStack
from typing import Final

from streamcore.errors import UsageError, with_facts
from streamcore.log.server.listeners import Listener

_BACKLOG: Final = 256
_NOT_HERE: Final = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)
"""Errors for a kind of address that this machine does not have: a name may have addresses of several
kinds.
"""


def listening_sockets(listener: Listener) -> list[socket.socket]:
    """Return the sockets of a listener: one for each address of its host, all with the same port.

    Raises:
        UsageError: the address is in use, or not one of this machine.
    """
    with ExitStack() as undo:
        try:
            sockets = _bound(listener, undo)
        except OSError as error:
            raise UsageError(
                with_facts(
                    f"cannot listen here ({error.strerror or error}): choose another address",
                    listen=f"{listener.host}:{listener.port}",
                )
            ) from error
        undo.pop_all()
        return sockets


def _bound(listener: Listener, undo: ExitStack) -> list[socket.socket]:
    found = socket.getaddrinfo(
        listener.host or None, listener.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    port = listener.port
    sockets: list[socket.socket] = []
    missing: OSError | None = None
    for family, address in dict.fromkeys((family, address) for family, _, _, _, address in found):
        try:
            bound = socket.create_server((address[0], port, *address[2:]), family=family, backlog=_BACKLOG)
        except OSError as error:
            if error.errno not in _NOT_HERE:
                raise
            missing = error
            continue
        undo.callback(bound.close)
        bound.setblocking(False)
        sockets.append(bound)
        port = bound.getsockname()[1]
    if not sockets and missing is not None:
        raise missing
    return sockets
