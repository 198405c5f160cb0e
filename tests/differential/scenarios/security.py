"""Access and users, where no authorizer is on and no listener asks who somebody is."""

from __future__ import annotations

from typing import Any, Final

from streamcore.log.protocol.messages.alter_user_scram_credentials import (
    AlterUserScramCredentialsRequest,
    ScramCredentialDeletion,
    ScramCredentialUpsertion,
)
from streamcore.log.protocol.messages.create_acls import AclCreation, CreateAclsRequest
from streamcore.log.protocol.messages.delete_acls import DeleteAclsFilter, DeleteAclsRequest
from streamcore.log.protocol.messages.describe_acls import DescribeAclsRequest
from streamcore.log.protocol.messages.describe_user_scram_credentials import (
    DescribeUserScramCredentialsRequest,
    UserName,
)
from streamcore.log.protocol.messages.sasl_authenticate import SaslAuthenticateRequest
from streamcore.log.protocol.messages.sasl_handshake import SaslHandshakeRequest
from tests.differential.conversation import Conversation
from tests.differential.registry import invalid, valid

_FILTER: Final[dict[str, Any]] = {
    "resource_type_filter": 2,
    "resource_name_filter": "t",
    "pattern_type_filter": 3,
    "principal_filter": "User:u",
    "host_filter": "*",
    "operation": 3,
    "permission_type": 3,
}
_RULE: Final[dict[str, Any]] = {
    "resource_type": 2,
    "resource_name": "t",
    "resource_pattern_type": 3,
    "principal": "User:u",
    "host": "*",
    "operation": 3,
    "permission_type": 3,
}
_SALTED: Final = b"\x05" * 32


@invalid("SaslHandshake")
@valid("SaslHandshake")
def nobody_logs_in_where_nobody_is_asked_to(talk: Conversation) -> None:
    talk.ask(SaslHandshakeRequest(mechanism="PLAIN"))
    talk.ask(SaslHandshakeRequest(mechanism="no such"))


@invalid("SaslAuthenticate")
@valid("SaslAuthenticate")
def nobody_is_authenticated_where_nobody_is_asked_to(talk: Conversation) -> None:
    talk.ask(SaslAuthenticateRequest(auth_bytes=b"\x00u\x00p"))
    talk.ask(SaslAuthenticateRequest(auth_bytes=b""))


@valid("DescribeAcls")
def there_are_no_rules(talk: Conversation) -> None:
    talk.ask(DescribeAclsRequest(**_FILTER))
    open_filter = {"resource_name_filter": None, "principal_filter": None, "host_filter": None}
    talk.ask(DescribeAclsRequest(**(_FILTER | open_filter)))


@invalid("DescribeAcls")
def rules_of_unknown_kinds_are_not_told(talk: Conversation) -> None:
    for changes in _impossible("resource_type_filter", "pattern_type_filter", "operation", "permission_type"):
        talk.ask_again(DescribeAclsRequest(**(_FILTER | changes)))


def _impossible(*fields: str) -> list[dict[str, int]]:
    return [{field: number} for field in fields for number in (0, 1, 100, -1)]


@valid("CreateAcls")
def rules_are_not_made(talk: Conversation) -> None:
    talk.ask(CreateAclsRequest(creations=[AclCreation(**_RULE)]))
    talk.ask(CreateAclsRequest(creations=[]))


@invalid("CreateAcls")
def rules_of_unknown_kinds_are_not_made(talk: Conversation) -> None:
    for changes in _impossible("resource_type", "resource_pattern_type", "operation", "permission_type"):
        talk.ask_again(CreateAclsRequest(creations=[AclCreation(**(_RULE | changes))]))
    for texts in ({"principal": "u"}, {"principal": ""}, {"host": ""}, {"resource_name": ""}):
        talk.ask_again(CreateAclsRequest(creations=[AclCreation(**(_RULE | texts))]))


@valid("DeleteAcls")
def rules_are_not_deleted(talk: Conversation) -> None:
    talk.ask(DeleteAclsRequest(filters=[DeleteAclsFilter(**_FILTER)]))
    talk.ask(DeleteAclsRequest(filters=[]))


@invalid("DeleteAcls")
def rules_of_unknown_kinds_are_not_deleted(talk: Conversation) -> None:
    for changes in _impossible("resource_type_filter", "pattern_type_filter", "operation", "permission_type"):
        talk.ask_again(DeleteAclsRequest(filters=[DeleteAclsFilter(**(_FILTER | changes))]))


def users_request(*names: str) -> DescribeUserScramCredentialsRequest:
    """A request about users."""
    return DescribeUserScramCredentialsRequest(users=[UserName(name=name) for name in names])


def upsertion(
    user: str, mechanism: int = 1, iterations: int = 4096, **fields: Any
) -> ScramCredentialUpsertion:
    """A credential to be stored."""
    given: dict[str, Any] = {"salt": b"salt", "salted_password": _SALTED}
    return ScramCredentialUpsertion(name=user, mechanism=mechanism, iterations=iterations, **(given | fields))


def users_change(
    *upsertions: ScramCredentialUpsertion, deletions: tuple[tuple[str, int], ...] = ()
) -> AlterUserScramCredentialsRequest:
    """A request to change users."""
    deleted = [ScramCredentialDeletion(name=name, mechanism=how) for name, how in deletions]
    return AlterUserScramCredentialsRequest(deletions=deleted, upsertions=list(upsertions))


@valid("AlterUserScramCredentials")
@valid("DescribeUserScramCredentials")
def users_are_made_told_and_deleted(talk: Conversation) -> None:
    one, other = talk.name("one"), talk.name("other")

    talk.ask(
        users_change(
            upsertion(one), upsertion(one, 2, salted_password=_SALTED * 2), upsertion(other, 1, 8192)
        )
    )
    talk.settle()
    talk.ask(users_request(one, other))
    talk.ask(users_change(deletions=((one, 1), (other, 1))))
    talk.settle()
    talk.ask(users_request(one, other))
    talk.ask(users_change(deletions=((one, 1), (one, 2))))


@invalid("DescribeUserScramCredentials")
def users_that_are_not_there_are_not_told(talk: Conversation) -> None:
    talk.ask(users_request(talk.name("unknown")))
    talk.ask(users_request(""))
    talk.ask(users_request(talk.name("unknown"), talk.name("unknown")))


@invalid("AlterUserScramCredentials")
def impossible_users_are_not_made(talk: Conversation) -> None:
    user = talk.name("user")

    for each in (
        upsertion(""),
        upsertion(user, 0),
        upsertion(user, 3),
        upsertion(user, 1, 4095),
        upsertion(user, 1, 16_385),
        upsertion(user, 1, -1),
    ):
        talk.ask(users_change(each))
    talk.ask(users_change(upsertion(user), upsertion(user)))
    talk.ask(users_change(upsertion(user), deletions=((user, 1),)))
    talk.ask(users_change(deletions=((user, 1), ("", 1), (user, 5))))
    talk.ask(users_change(deletions=((user, 1), (user, 1))))
    talk.ask(users_change())


@invalid("AlterUserScramCredentials")
def passwords_without_salt_or_anything_else(talk: Conversation) -> None:
    talk.ask(users_change(upsertion(talk.name("unsalted"), salt=b"")))
    talk.ask(users_change(upsertion(talk.name("empty"), salted_password=b"")))
