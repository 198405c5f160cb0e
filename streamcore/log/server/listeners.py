"""Where a server listens: ``HOST:PORT``, and the address that clients are told to come back to."""

from __future__ import annotations

from dataclasses import dataclass

from streamcore.errors import UsageError, fact_text


@dataclass(frozen=True, slots=True)
class Listener:
    """One listening address. Port 0 is any free port; an advertised port of 0 is the one listened to."""

    host: str
    port: int
    advertised_host: str
    advertised_port: int = 0


def parse_listener(text: str, advertise: str | None = None) -> Listener:
    """Read ``HOST:PORT``; ``advertise`` is what clients are told instead.

    Raises:
        UsageError: it is not an address.
    """
    host, port = _host_and_port(text)
    if advertise is not None:
        return Listener(host, port, *_host_and_port(advertise))
    return Listener(host, port, "127.0.0.1" if host in ("", "0.0.0.0", "::") else host)


def _host_and_port(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65_535:
        raise UsageError(f"an address is HOST:PORT, such as 127.0.0.1:9092 {fact_text(given=text)}")
    return host.strip("[]"), int(port)
