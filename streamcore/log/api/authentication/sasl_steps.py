"""What a message of an authentication leads to, whatever the mechanism; pure values.

A failure says the same whether the user is unknown, the password wrong or the mechanism not set up for
the user: who guesses shall not learn which.
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
    """Find out whether the password fits: milliseconds of work, not to be done where others wait for it."""

    user: str
    password: str = field(repr=False)
    mechanism: ScramMechanism
    credential: ScramCredential

    def is_right(self) -> bool:
        """Do the work."""
        return self.credential.fits(self.mechanism, self.password)


class AuthenticationFailed(Exception):
    """The client is not who it says, or does not say it right. The text is for the client."""

    def __init__(
        self, text: str = "authentication failed: check the user name, the password and the mechanism"
    ) -> None:
        super().__init__(text)


def malformed(mechanism: str) -> AuthenticationFailed:
    """The failure of a message that is none of its mechanism."""
    return AuthenticationFailed(f"the message is none of the mechanism's, mechanism={mechanism}")
