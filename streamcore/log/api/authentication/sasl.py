"""Authentication of one connection by SASL, as a state machine without I/O.

The client chooses a mechanism (SaslHandshake), then exchanges messages of the mechanism: in requests
(SaslAuthenticate) if the handshake's version was 1, as bare frames if it was 0. Then the connection has a
principal, and may send requests. If sessions have an end, the client authenticates again before it, as the
same user by the same mechanism (KIP-368); a request after it ends the connection.

``TRANSITIONS`` is the complete machine. A message in the wrong state, or one that fails, leads to ``FAILED``,
which has no transitions: the owner sends the answer, if there is one, and closes the connection.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Final, Protocol, TypeAlias

from msgspec import Struct

from streamcore.log.api.authentication.sasl_steps import (
    Accepted,
    AuthenticationFailed,
    Challenge,
    PasswordCheck,
    malformed,
)
from streamcore.log.api.authentication.scram import ScramExchange
from streamcore.log.broker.access.scram_credentials import ScramCredential, ScramMechanism
from streamcore.log.protocol.apis import API_VERSIONS, SASL_AUTHENTICATE, SASL_HANDSHAKE

PLAIN: Final = "PLAIN"
MECHANISMS: Final = (PLAIN, *(mechanism.value for mechanism in ScramMechanism))
"""All mechanisms supported."""

_PLAIN_CHECKS_BY: Final = (ScramMechanism.SHA_512, ScramMechanism.SHA_256)
_WHILE_AUTHENTICATING: Final = frozenset({API_VERSIONS.key, SASL_HANDSHAKE.key, SASL_AUTHENTICATE.key})


class SaslState(Enum):
    """The state of a connection's authentication."""

    NEW = "nothing is chosen"
    IN_REQUESTS = "a mechanism is chosen, its messages come in requests"
    IN_FRAMES = "a mechanism is chosen, its messages come as bare frames"
    CHECKING = "a password is being checked"
    AUTHENTICATED = "the connection has a principal"
    FAILED = "it is over"


_S = SaslState

TRANSITIONS: Final[Mapping[SaslState, frozenset[SaslState]]] = {
    _S.NEW: frozenset({_S.IN_REQUESTS, _S.IN_FRAMES, _S.FAILED}),
    _S.IN_REQUESTS: frozenset({_S.CHECKING, _S.AUTHENTICATED, _S.FAILED}),
    _S.IN_FRAMES: frozenset({_S.CHECKING, _S.AUTHENTICATED, _S.FAILED}),
    _S.CHECKING: frozenset({_S.AUTHENTICATED, _S.FAILED}),
    _S.AUTHENTICATED: frozenset({_S.IN_REQUESTS, _S.FAILED}),
    _S.FAILED: frozenset(),
}


class CredentialSource(Protocol):
    """Where credentials are looked up; ``broker.users`` is one."""

    def credentials(self, name: str) -> Mapping[ScramMechanism, ScramCredential]:
        """Return a user's credentials; none for a user that does not exist."""

    def decoy(self, name: str, mechanism: ScramMechanism) -> ScramCredential:
        """Return a credential that fits no password."""


class SaslSettings(Struct, frozen=True):
    """How clients of one listener authenticate."""

    mechanisms: Sequence[str]
    session_s: float | None = None
    """The time after which a client must authenticate again; ``None`` for never
    (``connections.max.reauth.ms``).
    """


class UnsupportedMechanism(Exception):
    """The client chose a mechanism that is not offered."""


class IllegalSaslState(Exception):
    """The message is not allowed in this state."""


Step: TypeAlias = Challenge | Accepted | PasswordCheck


class SaslSession:
    """The authentication state of one connection."""

    def __init__(
        self, settings: SaslSettings, credentials: CredentialSource, new_nonce: Callable[[], str]
    ) -> None:
        self.settings = settings
        self._credentials = credentials
        self._new_nonce = new_nonce
        self._mechanism = ""
        self._scram: ScramExchange | None = None
        self._checked_user = ""
        self.state = SaslState.NEW
        self.user: str | None = None
        """The client's user; ``None`` before it is proved."""
        self.ends_s = float("inf")
        """The end of the session, by the monotonic clock."""

    @property
    def claimed_user(self) -> str:
        """The user name that the client has sent; empty before that."""
        return self._checked_user if self._scram is None else self._scram.user

    @property
    def takes_frames(self) -> bool:
        """Whether the next frame is a message of the mechanism, not a request."""
        return self.state is SaslState.IN_FRAMES

    def admits(self, key: int, now_s: float) -> bool:
        """Whether a request of this kind may be handled now, also if its answer is a refusal."""
        if self.state is SaslState.AUTHENTICATED:
            return now_s < self.ends_s or key == SASL_HANDSHAKE.key
        return self.state is not SaslState.FAILED and key in _WHILE_AUTHENTICATING

    def choose(self, mechanism: str, *, in_frames: bool) -> None:
        """Choose a mechanism for the client.

        Raises:
            UnsupportedMechanism: it is not offered here.
            IllegalSaslState: a mechanism is chosen already, and another authentication is not allowed.
        """
        if self.state is SaslState.AUTHENTICATED:
            if self.settings.session_s is None:
                raise IllegalSaslState  # sessions have no end here, so this request changes nothing
            if in_frames or mechanism != self._mechanism:
                raise self._out_of_place()
        elif self.state is not SaslState.NEW:
            raise self._out_of_place()
        if mechanism not in self.settings.mechanisms:
            self._move_to(SaslState.FAILED)
            raise UnsupportedMechanism
        self._mechanism = mechanism
        self._scram = None
        if mechanism != PLAIN:
            self._scram = ScramExchange(ScramMechanism(mechanism), self._credential, self._new_nonce())
        self._move_to(SaslState.IN_FRAMES if in_frames else SaslState.IN_REQUESTS)

    def receive(self, token: bytes, *, now_s: float) -> Step:
        """Handle a message of the mechanism. The owner runs a ``PasswordCheck``, and passes its result to
        ``checked``.

        Raises:
            IllegalSaslState: no message is expected.
            AuthenticationFailed: the proof is wrong.
        """
        if self.state is SaslState.AUTHENTICATED:
            raise IllegalSaslState
        if self.state not in (SaslState.IN_REQUESTS, SaslState.IN_FRAMES):
            raise self._out_of_place()
        try:
            step = self._plain(token) if self._scram is None else self._scram.receive(token)
            if isinstance(step, Accepted):
                self._accept(step.user, now_s)
        except AuthenticationFailed:
            self._move_to(SaslState.FAILED)
            raise
        return step

    def checked(self, *, is_right: bool, now_s: float) -> Accepted:
        """Handle the result of a password check. Raises ``AuthenticationFailed``."""
        assert self.state is SaslState.CHECKING
        try:
            if not is_right:
                raise AuthenticationFailed
            self._accept(self._checked_user, now_s)
        except AuthenticationFailed:
            self._move_to(SaslState.FAILED)
            raise
        return Accepted(self._checked_user, b"")

    def _accept(self, user: str, now_s: float) -> None:
        if self.user not in (None, user):
            raise AuthenticationFailed("a connection keeps its user: open another one for another user")
        self.user = user
        if self.settings.session_s is not None:
            self.ends_s = now_s + self.settings.session_s
        self._move_to(SaslState.AUTHENTICATED)

    def _plain(self, token: bytes) -> PasswordCheck:
        """Message := [user to act as] NUL user NUL password (RFC 4616)."""
        parts = token.split(b"\0")
        if len(parts) != 3 or not parts[1] or not parts[2]:
            raise malformed(PLAIN)
        try:
            acted_as, user, password = (part.decode() for part in parts)
        except UnicodeDecodeError:
            raise malformed(PLAIN) from None
        self._checked_user = user
        if acted_as not in ("", user):
            raise AuthenticationFailed
        found = self._credentials.credentials(user)
        mechanism = next((each for each in _PLAIN_CHECKS_BY if each in found), _PLAIN_CHECKS_BY[0])
        self._move_to(SaslState.CHECKING)
        return PasswordCheck(user, password, mechanism, self._credential(user, mechanism))

    def _credential(self, user: str, mechanism: ScramMechanism) -> ScramCredential:
        decoy = self._credentials.decoy(
            user, mechanism
        )  # computed for every user, so that all take the same time
        return self._credentials.credentials(user).get(mechanism, decoy)

    def _out_of_place(self) -> IllegalSaslState:
        self._move_to(SaslState.FAILED)
        return IllegalSaslState()

    def _move_to(self, state: SaslState) -> None:
        if state is not self.state:
            assert state in TRANSITIONS[self.state], f"no way from {self.state} to {state}"
            self.state = state
