"""SaslHandshake and SaslAuthenticate, and the delay of a failure.

The answer to a failed attempt is delayed, by the same time for every cause, so that the time reveals nothing.
After many failures every answer is delayed longer; see ``failed_logins``.
"""

from __future__ import annotations

import logging
from typing import Final

from streamcore.log.api.authentication.sasl import IllegalSaslState, UnsupportedMechanism
from streamcore.log.api.authentication.sasl_steps import Accepted, AuthenticationFailed, PasswordCheck
from streamcore.log.api.calls import Call, ConnectionRefusedByHandler, Login
from streamcore.log.api.error_codes import ErrorCode
from streamcore.log.broker.operations import Completed, Operation, OperationFuture
from streamcore.log.protocol.messages.sasl_authenticate import (
    SaslAuthenticateRequest,
    SaslAuthenticateResponse,
)
from streamcore.log.protocol.messages.sasl_handshake import SaslHandshakeRequest, SaslHandshakeResponse

_logger = logging.getLogger(__name__)

_FAILURE_DELAY_S: Final = 0.1
"""``connection.failed.authentication.delay.ms``, in seconds."""
_NO_END_S: Final = float("inf")


def sasl_handshake(request: SaslHandshakeRequest, call: Call) -> SaslHandshakeResponse:
    """Choose a mechanism."""
    login = call.caller.login
    if login is None:
        return SaslHandshakeResponse(error_code=ErrorCode.ILLEGAL_SASL_STATE, mechanisms=[])
    session = login.session
    mechanisms = list(session.settings.mechanisms)
    try:
        session.choose(request.mechanism, in_frames=call.version == 0)
    except UnsupportedMechanism:
        return SaslHandshakeResponse(error_code=ErrorCode.UNSUPPORTED_SASL_MECHANISM, mechanisms=mechanisms)
    except IllegalSaslState:
        return SaslHandshakeResponse(error_code=ErrorCode.ILLEGAL_SASL_STATE, mechanisms=[])
    return SaslHandshakeResponse(error_code=ErrorCode.NONE, mechanisms=mechanisms)


def sasl_authenticate(request: SaslAuthenticateRequest, call: Call) -> Operation[SaslAuthenticateResponse]:
    """Handle a message of the chosen mechanism."""
    login = call.caller.login
    if login is None:
        return _failed(ErrorCode.ILLEGAL_SASL_STATE, "nobody authenticates at this address")
    try:
        token = yield from _answer(request.auth_bytes, login, call)
    except IllegalSaslState:
        text = "choose a mechanism first, and authenticate once: this message is not due"
        return _failed(ErrorCode.ILLEGAL_SASL_STATE, text)
    except AuthenticationFailed as failed:
        return _failed(ErrorCode.SASL_AUTHENTICATION_FAILED, str(failed))
    left_s = login.session.ends_s - call.clock.monotonic_s()
    return SaslAuthenticateResponse(
        error_code=ErrorCode.NONE,
        error_message="",
        auth_bytes=token,
        session_lifetime_ms=0 if left_s == _NO_END_S else max(1, int(left_s * 1000)),
    )


def sasl_frame(frame: bytes, call: Call) -> Operation[bytes]:
    """Handle a message that came as a bare frame; return the frame of the answer.

    Raises:
        ConnectionRefusedByHandler: the authentication failed; without a request there is no other answer.
    """
    login = call.caller.login
    assert login is not None
    try:
        return (yield from _answer(frame, login, call))
    except AuthenticationFailed as failed:
        raise ConnectionRefusedByHandler(str(failed)) from failed


def _answer(token: bytes, login: Login, call: Call) -> Operation[bytes]:
    """Continue an authentication."""
    session = login.session
    began_s = call.clock.monotonic_s()
    try:
        step = session.receive(token, now_s=began_s)
        if isinstance(step, PasswordCheck):
            step = yield from _checked(step, login, call)
    except AuthenticationFailed as failed:
        host = call.caller.host
        _logger.info("%s peer=%s", failed, host)
        wait_s = login.failures.wait_s(host, session.claimed_user, began_s)
        login.failures.add(host, session.claimed_user, began_s)
        yield Completed(OperationFuture(), began_s + wait_s + _FAILURE_DELAY_S)
        raise
    if isinstance(step, Accepted):
        wait_s = login.failures.wait_s(call.caller.host, step.user, began_s)
        if wait_s:
            yield Completed(OperationFuture(), began_s + wait_s)
        call.caller.principal = f"User:{step.user}"
    return step.token


def _checked(check: PasswordCheck, login: Login, call: Call) -> Operation[Accepted]:
    """Check a password outside the lock."""
    promise = login.passwords.check(check)
    try:
        yield Completed(promise, _NO_END_S)
    finally:
        login.passwords.give_up(promise)
    return login.session.checked(is_right=bool(promise.reply), now_s=call.clock.monotonic_s())


def _failed(code: ErrorCode, text: str) -> SaslAuthenticateResponse:
    return SaslAuthenticateResponse(error_code=code, error_message=text, auth_bytes=b"")
