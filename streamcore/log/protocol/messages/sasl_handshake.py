"""SaslHandshake (key 17): chooses the mechanism of an authentication."""

from __future__ import annotations

from streamcore.log.protocol.fields import Int16, Message


class SaslHandshakeRequest(Message):
    """The request."""

    mechanism: str


class SaslHandshakeResponse(Message):
    """The response."""

    error_code: Int16
    mechanisms: list[str]
