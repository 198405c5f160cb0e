"""DescribeUserScramCredentials (key 50): describes which users have SCRAM passwords."""

from __future__ import annotations

from streamcore.log.protocol.fields import Int8, Int16, Int32, Message


class UserName(Message):
    name: str


class DescribeUserScramCredentialsRequest(Message):
    """The request."""

    users: list[UserName] | None


class CredentialInfo(Message):
    mechanism: Int8
    iterations: Int32


class DescribeUserScramCredentialsResult(Message):
    user: str
    error_code: Int16
    error_message: str | None
    credential_infos: list[CredentialInfo]


class DescribeUserScramCredentialsResponse(Message):
    """The response."""

    throttle_time_ms: Int32
    error_code: Int16
    error_message: str | None
    results: list[DescribeUserScramCredentialsResult]
