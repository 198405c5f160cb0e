"""The results of a message of an authentication, for all mechanisms; pure values.

A failure has the same text whether the user is unknown, the password wrong or the mechanism not set up for
the user, so that a guesser cannot learn which.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from streamcore.log.broker.access.scram_credentials import ScramCredential, ScramMechanism


@dataclass(frozen=True, slots=True)
class Challenge:
    """Send this and wait for the client's next message."""

    token: bytes


@dataclass(frozen=True, slots=True)
class Accepted:
    """The client is this user; send this last message."""

    user: str
    token: bytes


@dataclass(frozen=True, slots=True)
class PasswordCheck:
    """A check of the password: milliseconds of work, to be done outside the broker's lock and event loop."""

    user: str
    password: str = field(repr=False)
    mechanism: ScramMechanism
    credential: ScramCredential

    def is_right(self) -> bool:
        """Check the password."""
        return self.credential.fits(self.mechanism, self.password)


class AuthenticationFailed(Exception):
    """The authentication failed. The text is sent to the client."""

    def __init__(
        self, text: str = "authentication failed: check the user name, the password and the mechanism"
    ) -> None:
        super().__init__(text)


def malformed(mechanism: str) -> AuthenticationFailed:
    """Return the failure for a message that does not have its mechanism's form."""
    return AuthenticationFailed(f"the message is none of the mechanism's: mechanism={mechanism}")
