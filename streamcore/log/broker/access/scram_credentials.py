"""SCRAM credentials (RFC 5802): enough to check a password, not enough to log in with it.

salted password := PBKDF2-HMAC(password, salt, iterations)
stored key      := H(HMAC(salted password, "Client Key"))
server key      := HMAC(salted password, "Server Key")

A reader of a credential can try passwords against it, each at the cost of the iterations, and can pretend to
be the server. So a credential is neither printed nor shown to clients. Passwords are UTF-8 as given: Kafka
and its clients do not normalise them.
"""

from __future__ import annotations

import hashlib
import hmac
from enum import Enum
from typing import Final

import msgspec

ITERATIONS_MIN: Final = 4_096
ITERATIONS_MAX: Final = 16_384
ITERATIONS: Final = 8_192
"""The iterations for passwords that are set here; a client that salts a password chooses its own number."""
SALT_BYTES: Final = 32
SALT_BYTES_MAX: Final = 256


class ScramMechanism(Enum):
    """Kafka's two SCRAM mechanisms, by their names in SASL; ``code`` is their number in admin requests."""

    SHA_256 = "SCRAM-SHA-256"
    SHA_512 = "SCRAM-SHA-512"

    @property
    def code(self) -> int:
        """The mechanism's number in Kafka's requests."""
        return 1 if self is ScramMechanism.SHA_256 else 2

    @property
    def hash_name(self) -> str:
        """The hash function, by its name in ``hashlib``."""
        return "sha256" if self is ScramMechanism.SHA_256 else "sha512"

    @property
    def hash_bytes(self) -> int:
        """The size of a hash, and of a salted password."""
        return 32 if self is ScramMechanism.SHA_256 else 64

    def hash(self, data: bytes) -> bytes:
        """The function H of the RFC."""
        return hashlib.new(self.hash_name, data).digest()

    def hmac(self, key: bytes, data: bytes) -> bytes:
        """The function HMAC of the RFC."""
        return hmac.digest(key, data, self.hash_name)

    def salted(self, password: str, salt: bytes, iterations: int) -> bytes:
        """The function Hi of the RFC; slow on purpose (milliseconds)."""
        return hashlib.pbkdf2_hmac(self.hash_name, password.encode(), salt, iterations)


class ScramCredential(msgspec.Struct, frozen=True):
    """The credential of one user for one mechanism."""

    iterations: int
    salt: bytes
    stored_key: bytes
    server_key: bytes

    def __repr__(self) -> str:
        return f"ScramCredential(iterations={self.iterations})"

    def fits(self, mechanism: ScramMechanism, password: str) -> bool:
        """Whether this is the credential of the password; the cost depends on the iterations."""
        salted = mechanism.salted(password, self.salt, self.iterations)
        return hmac.compare_digest(_stored_key(mechanism, salted), self.stored_key)


def credential_of_password(
    mechanism: ScramMechanism, password: str, salt: bytes, iterations: int = ITERATIONS
) -> ScramCredential:
    """Return the credential of a password, with a new salt unless one is given."""
    return credential_of_salted(mechanism, mechanism.salted(password, salt, iterations), salt, iterations)


def credential_of_salted(
    mechanism: ScramMechanism, salted: bytes, salt: bytes, iterations: int
) -> ScramCredential:
    """Return the credential of a password that was salted before."""
    server_key = mechanism.hmac(salted, b"Server Key")
    return ScramCredential(iterations, salt, _stored_key(mechanism, salted), server_key)


def _stored_key(mechanism: ScramMechanism, salted: bytes) -> bytes:
    return mechanism.hash(mechanism.hmac(salted, b"Client Key"))
