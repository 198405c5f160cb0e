"""The listeners of a server, and the addresses that clients get from the broker.

listen    := [scheme "://"] host ":" port      advertise := the same
scheme    := "plaintext" | "ssl" | "sasl_plaintext" | "sasl_ssl", in any case

The schemes are Kafka's security protocols. An advertised address with a scheme belongs to the listener with
this scheme, as in Kafka's ``advertised.listeners``; without schemes, the first belongs to the first listener,
and so on.

A listener at all addresses of the machine without an advertised address gives each client the address at
which this client has connected: the client can reach it, whichever network it is in.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from streamcore.errors import UsageError, with_facts

_ANYWHERE: Final = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}
"""Hosts that mean all addresses of a machine, each with the one by which the machine itself reaches them."""


class Scheme(Enum):
    """How clients speak to a listener."""

    PLAINTEXT = "plaintext"
    SSL = "ssl"
    SASL_PLAINTEXT = "sasl_plaintext"
    SASL_SSL = "sasl_ssl"

    @property
    def has_tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self in (Scheme.SSL, Scheme.SASL_SSL)

    @property
    def has_sasl(self) -> bool:
        """Whether clients must authenticate before other requests."""
        return self in (Scheme.SASL_PLAINTEXT, Scheme.SASL_SSL)


class Listener(Struct, frozen=True):
    """One listening address. Port 0 is any free port; an advertised port of 0 is the one listened to.

    Without an advertised host, clients get the address that they have connected to.
    """

    host: str
    port: int
    advertised_host: str | None
    advertised_port: int = 0
    scheme: Scheme = Scheme.PLAINTEXT

    @property
    def local_host(self) -> str:
        """Return the host by which this machine reaches the listener, or the advertised one."""
        return self.advertised_host or _ANYWHERE[self.host]


def parse_listeners(listen: Sequence[str], advertise: Sequence[str] = ()) -> list[Listener]:
    """Return the listeners for the given addresses, with their advertised addresses.

    Raises:
        UsageError: an address is not valid, or an advertised address fits no listener or several.
    """
    listeners = [_listener(text) for text in listen]
    addresses = [_address(text) for text in advertise]
    if addresses and all(scheme is None for scheme, _, _ in addresses):
        if len(addresses) != len(listeners):
            raise UsageError(
                with_facts(
                    "advertise one address for each listening one, in the same order, or say which by its "
                    "scheme",
                    listen=",".join(listen),
                    advertise=",".join(advertise),
                )
            )
        return [
            replace(listener, advertised_host=host, advertised_port=port)
            for listener, (_, host, port) in zip(listeners, addresses, strict=True)
        ]
    for text, (scheme, host, port) in zip(advertise, addresses, strict=True):
        meant = [index for index, listener in enumerate(listeners) if listener.scheme is scheme]
        if len(meant) != 1:
            raise UsageError(
                with_facts(
                    "an advertised address has the scheme of exactly one listening address",
                    listen=",".join(listen),
                    advertise=text,
                )
            )
        listeners[meant[0]] = replace(listeners[meant[0]], advertised_host=host, advertised_port=port)
    return listeners


def scheme_of(text: str) -> Scheme:
    """Return the scheme of a name. Raises ``UsageError``."""
    try:
        return Scheme(text.lower())
    except ValueError:
        names = ", ".join(scheme.value for scheme in Scheme)
        raise UsageError(with_facts(f"a scheme is one of {names}", given=text)) from None


def _listener(text: str) -> Listener:
    scheme, host, port = _address(text)
    return Listener(host, port, None if host in _ANYWHERE else host, scheme=scheme or Scheme.PLAINTEXT)


def _address(text: str) -> tuple[Scheme | None, str, int]:
    name, mark, rest = text.rpartition("://")
    host, colon, port = rest.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65_535:
        raise UsageError(
            with_facts(
                "an address is HOST:PORT or SCHEME://HOST:PORT, such as 127.0.0.1:9092 or "
                "sasl_ssl://0.0.0.0:9093",
                given=text,
            )
        )
    return scheme_of(name) if mark else None, host.strip("[]"), int(port)
