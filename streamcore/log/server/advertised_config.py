"""A server's options as settings by Kafka's names, for DescribeConfigs."""

from __future__ import annotations

from collections.abc import Sequence

from streamcore.log.broker.config.broker_settings import Meaning
from streamcore.log.broker.config.texts import texts_of
from streamcore.log.server.listeners import Listener
from streamcore.log.server.security import Security
from streamcore.log.server.settings import ServerSettings


def advertised_config(
    listeners: Sequence[Listener], advertised: Sequence[str], settings: ServerSettings, security: Security
) -> dict[str, str]:
    """Return the settings by name; ``advertised`` has the address of each listener as clients reach it."""
    upper = [_in_upper_case(address) for address in advertised]
    ports = [address.rpartition(":")[2] for address in advertised]
    schemes = dict.fromkeys(listener.scheme.name for listener in listeners)
    config = {
        **texts_of(settings, Meaning.SERVER),
        "listeners": ",".join(
            f"{listener.scheme.name}://{listener.host}:{listener.port or port}"
            for listener, port in zip(listeners, ports, strict=True)
        ),
        "advertised.listeners": ",".join(upper),
        "listener.security.protocol.map": ",".join(f"{scheme}:{scheme}" for scheme in schemes),
        "connections.max.reauth.ms": str(round(1000 * (security.session_s or 0))),
    }
    mechanisms = {
        name
        for each in listeners
        if each.scheme.has_sasl
        for name in security.sasl_settings(each.scheme).mechanisms
    }
    if mechanisms:
        config["sasl.enabled.mechanisms"] = ",".join(sorted(mechanisms))
    if security.authorize:
        config["authorizer.class.name"] = "streamcore"
    if security.tls is not None:
        config["ssl.client.auth"] = security.tls.wanted_of_clients
    return config


def _in_upper_case(address: str) -> str:
    scheme, mark, rest = address.partition("://")
    return scheme.upper() + mark + rest
