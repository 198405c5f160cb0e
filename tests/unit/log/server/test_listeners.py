"""Where a server listens and what it tells clients: how both are written."""

from __future__ import annotations

import pytest

from streamcore.errors import UsageError
from streamcore.log.server.listeners import Listener, Scheme, parse_listeners


def advertised(listen: list[str], advertise: list[str]) -> list[tuple[str | None, int]]:
    listeners = parse_listeners(listen, advertise)
    return [(listener.advertised_host, listener.advertised_port) for listener in listeners]


@pytest.mark.parametrize(
    ("text", "listener"),
    [
        ("127.0.0.1:9092", Listener("127.0.0.1", 9092, "127.0.0.1")),
        ("plaintext://h:1", Listener("h", 1, "h")),
        ("SASL_SSL://h:1", Listener("h", 1, "h", scheme=Scheme.SASL_SSL)),
        ("Ssl://h:0", Listener("h", 0, "h", scheme=Scheme.SSL)),
        (
            "sasl_plaintext://0.0.0.0:65535",
            Listener("0.0.0.0", 65535, None, scheme=Scheme.SASL_PLAINTEXT),
        ),
        ("[::1]:9092", Listener("::1", 9092, "::1")),
        ("ssl://[::]:9092", Listener("::", 9092, None, scheme=Scheme.SSL)),
        (":9092", Listener("", 9092, None)),
    ],
)
def test_an_address_has_a_host_a_port_and_perhaps_a_scheme(text: str, listener: Listener) -> None:
    assert parse_listeners([text]) == [listener]


@pytest.mark.parametrize("text", ["", "9092", "h:", "h:x", "h:65536", "http://h:1", "://h:1", "ssl://h"])
def test_an_invalid_address_is_refused_with_its_text(text: str) -> None:
    with pytest.raises(UsageError, match="given="):
        parse_listeners([text])


def test_addresses_without_a_scheme_are_advertised_in_their_order() -> None:
    assert advertised(["a:1", "ssl://b:2"], ["x:10", "y:20"]) == [("x", 10), ("y", 20)]


def test_an_address_with_a_scheme_is_that_of_the_listener_with_this_scheme() -> None:
    found = advertised(["a:1", "ssl://b:2", "sasl_ssl://c:3"], ["SASL_SSL://y:30", "ssl://x:0"])

    assert found == [("a", 0), ("x", 0), ("y", 30)]


@pytest.mark.parametrize(
    ("listen", "advertise"),
    [
        (["a:1", "b:2"], ["x:1"]),
        (["a:1"], ["x:1", "y:2"]),
        (["a:1"], ["ssl://x:1"]),
        (["ssl://a:1", "ssl://b:2"], ["ssl://x:1"]),
        (["ssl://a:1", "b:2"], ["ssl://x:1", "y:2"]),
    ],
)
def test_an_address_that_may_be_for_several_or_for_none_is_refused(
    listen: list[str], advertise: list[str]
) -> None:
    with pytest.raises(UsageError, match="advertise"):
        parse_listeners(listen, advertise)
