"""AlterUserScramCredentials (key 51): sets and deletes SCRAM passwords."""

from __future__ import annotations

from streamcore.log.protocol.fields import Int8, Int16, Int32, Message


class ScramCredentialDeletion(Message):
    name: str
    mechanism: Int8


class ScramCredentialUpsertion(Message):
    name: str
    mechanism: Int8
    iterations: Int32
    salt: bytes
    salted_password: bytes


class AlterUserScramCredentialsRequest(Message):
    """The request."""

    deletions: list[ScramCredentialDeletion]
    upsertions: list[ScramCredentialUpsertion]


class AlterUserScramCredentialsResult(Message):
    user: str
    error_code: Int16
    error_message: str | None


class AlterUserScramCredentialsResponse(Message):
    """The response."""

    throttle_time_ms: Int32
    results: list[AlterUserScramCredentialsResult]
