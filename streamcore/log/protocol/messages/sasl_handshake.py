"""SaslHandshake (key 17): chooses the mechanism of an authentication."""

from __future__ import annotations

from streamcore.log.protocol.fields import Int16, Message


class SaslHandshakeRequest(Message):
    """What a client asks."""

    mechanism: str


class SaslHandshakeResponse(Message):
    """What it is answered."""

    error_code: Int16
    mechanisms: list[str]
