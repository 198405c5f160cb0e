"""FindCoordinator: the one broker coordinates everything."""

from __future__ import annotations

from typing import Final

from streamcore.log.api.calls import Call
from streamcore.log.api.error_codes import ErrorCode, code_of, text_of
from streamcore.log.broker.access.acl import AclOperation, ResourceType
from streamcore.log.broker.api_errors import ApiError
from streamcore.log.protocol.messages.find_coordinator import (
    Coordinator,
    FindCoordinatorRequest,
    FindCoordinatorResponse,
)

_KINDS: Final = {0: ResourceType.GROUP, 1: ResourceType.TRANSACTIONAL_ID}
_BATCHED_FROM: Final = 4


def find_coordinator(request: FindCoordinatorRequest, call: Call) -> FindCoordinatorResponse:
    """Return this broker for every key."""
    keys = request.coordinator_keys if call.version >= _BATCHED_FROM else [request.key]
    found = [_coordinator(key, request.key_type, call) for key in keys]
    if call.version >= _BATCHED_FROM:
        return FindCoordinatorResponse(coordinators=found)
    one = found[0]
    return FindCoordinatorResponse(
        error_code=one.error_code,
        error_message=one.error_message,
        node_id=one.node_id,
        host=one.host,
        port=one.port,
    )


def _coordinator(key: str, key_type: int, call: Call) -> Coordinator:
    if key_type not in _KINDS:
        return _refused(key, ErrorCode.INVALID_REQUEST, "coordinators are of groups (0) and transactions (1)")
    try:
        call.ensure(AclOperation.DESCRIBE, _KINDS[key_type], key)
    except ApiError as refused:
        return _refused(key, code_of(refused), text_of(refused))
    endpoint = call.caller.endpoint
    return Coordinator(
        key=key,
        node_id=call.broker.identity.node_id,
        host=endpoint.host,
        port=endpoint.port,
        error_code=ErrorCode.NONE,
        error_message=None,
    )


def _refused(key: str, code: ErrorCode, message: str) -> Coordinator:
    return Coordinator(key=key, node_id=-1, host="", port=-1, error_code=code, error_message=message)
