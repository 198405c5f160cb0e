"""SaslAuthenticate (key 36): carries the messages of an authentication."""

from __future__ import annotations

from typing import Annotated as A

from streamcore.log.protocol.fields import Int16, Int64, Message, V


class SaslAuthenticateRequest(Message):
    """The request."""

    auth_bytes: bytes


class SaslAuthenticateResponse(Message):
    """The response."""

    error_code: Int16
    error_message: str | None
    auth_bytes: bytes
    session_lifetime_ms: A[Int64, V("1+")] = 0
