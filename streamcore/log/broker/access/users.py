"""Users and the credentials that passwords are checked against, stored in the cluster state.

One store serves every mechanism: a user has a credential for each SCRAM mechanism (RFC 5802), and PLAIN
checks the received password against one of them. Neither passwords nor other secrets that allow a login are
stored.

Value of kind ``user``, by the user's name: ``{"credentials": {mechanism: {iterations, salt, stored_key,
server_key}}}``, bytes in base64. Kind ``user-decoy`` has one value, named ``key``: the secret from which
salts of unknown users are derived, so that a login attempt does not reveal which users exist.

Invariant: a listed user has at least one credential.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

import msgspec

from streamcore.log.broker.access.scram_credentials import (
    ITERATIONS,
    ITERATIONS_MAX,
    ITERATIONS_MIN,
    SALT_BYTES,
    SALT_BYTES_MAX,
    ScramCredential,
    ScramMechanism,
    credential_of_password,
    credential_of_salted,
)
from streamcore.log.broker.api_errors import ApiError, ErrorName
from streamcore.log.broker.cluster_state import Change, ClusterState, StateTable
from streamcore.log.broker.operations import Operation

_NAME_BYTES_MAX: Final = 1_024
_DECOY_NAME: Final = "key"
_DECOY_KEY_BYTES: Final = 32
_NO_CREDENTIALS: Final[Mapping[ScramMechanism, ScramCredential]] = MappingProxyType({})


class _StoredUser(msgspec.Struct, frozen=True):
    credentials: dict[ScramMechanism, ScramCredential]


class _StoredKey(msgspec.Struct, frozen=True):
    secret: bytes

    def __repr__(self) -> str:
        return "_StoredKey()"


@dataclass(frozen=True, slots=True)
class CredentialDeletion:
    """Removes a user's credential for one mechanism. ``None`` is an unknown mechanism."""

    user: str
    mechanism: ScramMechanism | None


@dataclass(frozen=True, slots=True)
class CredentialUpsertion:
    """Sets a user's password for a mechanism, salted by the client."""

    user: str
    mechanism: ScramMechanism | None
    iterations: int
    salt: bytes = field(repr=False)
    salted_password: bytes = field(repr=False)


Alteration = CredentialDeletion | CredentialUpsertion


class Users:
    """All users and their credentials."""

    def __init__(
        self, state: ClusterState, *, user_count_max: int, random_bytes: Callable[[int], bytes]
    ) -> None:
        self._state = state
        self._user_count_max = user_count_max
        self._random_bytes = random_bytes
        self._users = state.add(StateTable("user", _StoredUser))
        self._decoys = state.add(StateTable("user-decoy", _StoredKey))
        self._unstored_decoy_key = random_bytes(_DECOY_KEY_BYTES)

    def names(self) -> list[str]:
        """Return all users, sorted."""
        return sorted(self._users.values)

    def credentials(self, name: str) -> Mapping[ScramMechanism, ScramCredential]:
        """Return a user's credentials; none for an unknown user."""
        user = self._users.values.get(name)
        return _NO_CREDENTIALS if user is None else user.credentials

    def decoy(self, name: str, mechanism: ScramMechanism) -> ScramCredential:
        """Return a credential for an unknown user, the same each time, which no password fits."""
        stored = self._decoys.values.get(_DECOY_NAME)
        key = self._unstored_decoy_key if stored is None else stored.secret
        salt = mechanism.hmac(key, name.encode())[:SALT_BYTES]
        nothing = bytes(mechanism.hash_bytes)
        return ScramCredential(self._usual_iterations(mechanism), salt, nothing, nothing)

    def _usual_iterations(self, mechanism: ScramMechanism) -> int:
        """Return the iterations of one user, because most logs have their users from one tool."""
        user = next(iter(self._users.values.values()), None)
        credential = None if user is None else user.credentials.get(mechanism)
        return ITERATIONS if credential is None else credential.iterations

    def set_password(self, name: str, password: str) -> Operation[None]:
        """Set a user's password for every mechanism; create an unknown user.

        Raises:
            Refused: the name or the password is empty, or there are too many users.
        """
        _ensure_name(name)
        if not password:
            raise ApiError(ErrorName.UNACCEPTABLE_CREDENTIAL, user=name, password_bytes=0)
        self._ensure_room(name)
        credentials = {
            mechanism: credential_of_password(mechanism, password, self._random_bytes(SALT_BYTES))
            for mechanism in ScramMechanism
        }
        yield from self._state.write(self._changes({name: credentials}))

    def delete(self, name: str) -> Operation[None]:
        """Delete a user.

        Raises:
            Refused: there is no user of this name.
        """
        if name not in self._users.values:
            raise ApiError(ErrorName.RESOURCE_NOT_FOUND, user=name)
        yield from self._state.write(self._changes({name: {}}))

    def alter(self, alterations: Sequence[Alteration]) -> Operation[dict[str, ApiError | None]]:
        """Apply the alterations of Kafka's admin request; each user succeeds or fails separately, with at
        most one alteration.

        Of several errors in a user's alteration the first is returned.
        """
        fates: dict[str, ApiError | None] = {}
        changed: dict[str, dict[ScramMechanism, ScramCredential]] = {}
        for alteration in alterations:
            name = alteration.user
            if fates.get(name) is not None:
                continue
            try:
                if changed.pop(name, None) is not None:
                    raise ApiError(ErrorName.DUPLICATE_RESOURCE, user=name)
                changed[name] = self._altered(alteration, new_count=len(changed))
                fates[name] = None
            except ApiError as refused:
                fates[name] = refused
        yield from self._state.write(self._changes(changed))
        return fates

    def _altered(self, alteration: Alteration, *, new_count: int) -> dict[ScramMechanism, ScramCredential]:
        """Return a user's credentials after the alteration."""
        name, mechanism = alteration.user, alteration.mechanism
        _ensure_name(name)
        if mechanism is None:
            raise ApiError(ErrorName.UNSUPPORTED_SASL_MECHANISM, user=name)
        credentials = dict(self.credentials(name))
        match alteration:
            case CredentialDeletion():
                if mechanism not in credentials:
                    raise ApiError(ErrorName.RESOURCE_NOT_FOUND, user=name, mechanism=mechanism.value)
                del credentials[mechanism]
            case CredentialUpsertion():
                self._ensure_room(name, new_count)
                _ensure_acceptable(alteration, mechanism)
                credentials[mechanism] = credential_of_salted(
                    mechanism, alteration.salted_password, alteration.salt, alteration.iterations
                )
        return credentials

    def _changes(self, users: Mapping[str, dict[ScramMechanism, ScramCredential]]) -> list[Change]:
        changes = [
            self._users.put(name, _StoredUser(credentials)) if credentials else self._users.delete(name)
            for name, credentials in users.items()
        ]
        if changes and _DECOY_NAME not in self._decoys.values:
            changes.append(self._decoys.put(_DECOY_NAME, _StoredKey(self._unstored_decoy_key)))
        return changes

    def _ensure_room(self, name: str, new_count: int = 0) -> None:
        count = len(self._users.values)
        if name not in self._users.values and count + new_count >= self._user_count_max:
            raise ApiError(ErrorName.POLICY_VIOLATION, users=count, user_count_max=self._user_count_max)


def _ensure_name(name: str) -> None:
    size = len(name.encode())
    if not 0 < size <= _NAME_BYTES_MAX:
        raise ApiError(ErrorName.UNACCEPTABLE_CREDENTIAL, name_bytes=size, name_bytes_max=_NAME_BYTES_MAX)


def _ensure_acceptable(upsertion: CredentialUpsertion, mechanism: ScramMechanism) -> None:
    facts: dict[str, object] = {}
    if upsertion.iterations < ITERATIONS_MIN:
        facts = {"iterations": upsertion.iterations, "iterations_min": ITERATIONS_MIN}
    elif upsertion.iterations > ITERATIONS_MAX:
        facts = {"iterations": upsertion.iterations, "iterations_max": ITERATIONS_MAX}
    elif not 0 < len(upsertion.salt) <= SALT_BYTES_MAX:
        facts = {"salt_bytes": len(upsertion.salt), "salt_bytes_max": SALT_BYTES_MAX}
    elif len(upsertion.salted_password) != mechanism.hash_bytes:
        facts = {"salted_bytes": len(upsertion.salted_password), "wanted_bytes": mechanism.hash_bytes}
    if facts:
        raise ApiError(
            ErrorName.UNACCEPTABLE_CREDENTIAL, user=upsertion.user, mechanism=mechanism.value, **facts
        )
