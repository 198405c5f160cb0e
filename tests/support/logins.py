"""Logging in at a server that asks for it, message by message, for tests."""

from __future__ import annotations

import streamcore as sc
from streamcore.log.protocol.messages.sasl_authenticate import (
    SaslAuthenticateRequest,
    SaslAuthenticateResponse,
)
from streamcore.log.protocol.messages.sasl_handshake import SaslHandshakeRequest, SaslHandshakeResponse
from tests.support.scram_client import ScramClient
from tests.support.wire_client import WireClient

HASHES = {"SCRAM-SHA-256": "sha256", "SCRAM-SHA-512": "sha512"}
AUTHENTICATE_VERSION = 2


def add_user(served: sc.ServedLog, name: str, password: str) -> None:
    """Give a user a password, as an admin of the folder does."""
    log = served.log.embedded
    log.node.driver.run(log.node.broker.users.set_password(name, password))


def choose(client: WireClient, mechanism: str, version: int = 1) -> SaslHandshakeResponse:
    """Choose a mechanism."""
    response = client.ask(SaslHandshakeRequest(mechanism=mechanism), version)
    assert isinstance(response, SaslHandshakeResponse)
    return response


def authenticate(
    client: WireClient, token: bytes, version: int = AUTHENTICATE_VERSION
) -> SaslAuthenticateResponse:
    """Send one message of the mechanism."""
    response = client.ask(SaslAuthenticateRequest(auth_bytes=token), version)
    assert isinstance(response, SaslAuthenticateResponse)
    return response


def plain(user: str, password: str) -> bytes:
    """The message of PLAIN."""
    return f"\0{user}\0{password}".encode()


def log_in(
    client: WireClient, user: str, password: str, mechanism: str = "SCRAM-SHA-256"
) -> SaslAuthenticateResponse:
    """Go all the way; return the last answer."""
    assert choose(client, mechanism).error_code == 0
    if mechanism == "PLAIN":
        return authenticate(client, plain(user, password))
    scram = ScramClient(HASHES[mechanism], user, password)
    challenge = authenticate(client, scram.first())
    assert challenge.error_code == 0, challenge
    last = authenticate(client, scram.final(challenge.auth_bytes))
    assert last.error_code or scram.trusts(last.auth_bytes)
    return last
