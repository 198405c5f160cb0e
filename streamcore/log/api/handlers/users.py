"""SCRAM credentials of users: described, set, deleted. Passwords arrive salted, and are never returned."""

from __future__ import annotations

from collections import Counter

from streamcore.log.api.calls import Call
from streamcore.log.api.error_codes import ErrorCode, code_of, text_of
from streamcore.log.broker.access.acl import AclOperation, ResourceType
from streamcore.log.broker.access.scram_credentials import ScramMechanism
from streamcore.log.broker.access.users import Alteration, CredentialDeletion, CredentialUpsertion
from streamcore.log.broker.api_errors import ApiError, ErrorName
from streamcore.log.broker.operations import Operation
from streamcore.log.protocol.messages.alter_user_scram_credentials import (
    AlterUserScramCredentialsRequest,
    AlterUserScramCredentialsResponse,
    AlterUserScramCredentialsResult,
)
from streamcore.log.protocol.messages.describe_user_scram_credentials import (
    CredentialInfo,
    DescribeUserScramCredentialsRequest,
    DescribeUserScramCredentialsResponse,
    DescribeUserScramCredentialsResult,
)

_BY_CODE = {mechanism.code: mechanism for mechanism in ScramMechanism}


def describe_user_scram_credentials(
    request: DescribeUserScramCredentialsRequest, call: Call
) -> DescribeUserScramCredentialsResponse:
    """Return the mechanisms by which users can log in: of the users asked for, or of all."""
    try:
        call.ensure(AclOperation.DESCRIBE, ResourceType.CLUSTER)
    except ApiError as refused:
        return DescribeUserScramCredentialsResponse(
            throttle_time_ms=0, error_code=code_of(refused), error_message=text_of(refused), results=[]
        )
    asked = Counter(user.name for user in request.users or ())
    if not asked:
        asked = Counter(call.broker.users.names())
    return DescribeUserScramCredentialsResponse(
        throttle_time_ms=0,
        error_code=ErrorCode.NONE,
        error_message="",
        results=[_described(name, count, call) for name, count in asked.items()],
    )


def _described(name: str, count: int, call: Call) -> DescribeUserScramCredentialsResult:
    credentials = call.broker.users.credentials(name)
    refused = None
    if count > 1:
        refused = ApiError(ErrorName.DUPLICATE_RESOURCE, user=name)
    elif not credentials:
        refused = ApiError(ErrorName.RESOURCE_NOT_FOUND, user=name)
    if refused is not None:
        return DescribeUserScramCredentialsResult(
            user=name, error_code=code_of(refused), error_message=text_of(refused), credential_infos=[]
        )
    infos = [
        CredentialInfo(mechanism=mechanism.code, iterations=credential.iterations)
        for mechanism, credential in credentials.items()
    ]
    return DescribeUserScramCredentialsResult(
        user=name, error_code=ErrorCode.NONE, error_message="", credential_infos=infos
    )


def alter_user_scram_credentials(
    request: AlterUserScramCredentialsRequest, call: Call
) -> Operation[AlterUserScramCredentialsResponse]:
    """Set and delete credentials; each user has its own result."""
    alterations: list[Alteration] = [
        CredentialDeletion(each.name, _BY_CODE.get(each.mechanism)) for each in request.deletions
    ]
    alterations += [
        CredentialUpsertion(
            each.name, _BY_CODE.get(each.mechanism), each.iterations, each.salt, each.salted_password
        )
        for each in request.upsertions
    ]
    fates: dict[str, ApiError | None]
    try:
        call.ensure(AclOperation.ALTER, ResourceType.CLUSTER)
    except ApiError as refused:
        fates = dict.fromkeys((each.user for each in alterations), refused)
    else:
        fates = yield from call.broker.users.alter(alterations)
    return AlterUserScramCredentialsResponse(
        throttle_time_ms=0,
        results=[
            AlterUserScramCredentialsResult(
                user=user,
                error_code=ErrorCode.NONE if fate is None else code_of(fate),
                error_message=None if fate is None else text_of(fate),
            )
            for user, fate in fates.items()
        ],
    )
