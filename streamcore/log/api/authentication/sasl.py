"""Authentication of one connection by SASL, as a state machine without I/O.

The client chooses a mechanism (SaslHandshake), then messages of the mechanism go back and forth: in requests
of their own (SaslAuthenticate) if the handshake's version was 1, as bare frames if it was 0. Then
the connection has a principal, and may ask. If sessions have an end, the client authenticates again before
it, as the same user by the same mechanism (KIP-368); a request after it ends the connection.

``TRANSITIONS`` is the whole of it. A message in the wrong state, or one that fails, ends in ``FAILED``, from
where nothing leads on: the owner sends the answer, if there is one, and closes the connection.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol, TypeAlias

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
"""All that are known here."""

_PLAIN_CHECKS_BY: Final = (ScramMechanism.SHA_512, ScramMechanism.SHA_256)
_WHILE_AUTHENTICATING: Final = frozenset({API_VERSIONS.key, SASL_HANDSHAKE.key, SASL_AUTHENTICATE.key})


class SaslState(Enum):
    """How far a connection has come."""

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
    """Where credentials are found; ``broker.users`` is one."""

    def credentials(self, name: str) -> Mapping[ScramMechanism, ScramCredential]:
        """A user's credentials; none of a user that does not exist."""

    def decoy(self, name: str, mechanism: ScramMechanism) -> ScramCredential:
        """A credential that no password fits."""


@dataclass(frozen=True, slots=True)
class SaslSettings:
    """How clients of one listening address authenticate."""

    mechanisms: Sequence[str]
    session_s: float | None = None
    """After so long a client has to authenticate again; never if ``None`` (``connections.max.reauth.ms``)."""


class UnsupportedMechanism(Exception):
    """The client chose a mechanism that is not offered."""


class IllegalSaslState(Exception):
    """It is not the time for this message."""


Step: TypeAlias = Challenge | Accepted | PasswordCheck


class SaslSession:
    """The state of one connection."""

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
        """Who the client is; ``None`` until it has proved it."""
        self.ends_s = float("inf")
        """When the session ends, by the monotonic clock."""

    @property
    def claimed_user(self) -> str:
        """Who the client says it is; empty if it has not said it yet."""
        return self._checked_user if self._scram is None else self._scram.user

    @property
    def takes_frames(self) -> bool:
        """Whether the next frame is a message of the mechanism, not a request."""
        return self.state is SaslState.IN_FRAMES

    def admits(self, key: int, now_s: float) -> bool:
        """Whether a request of this kind may come now, be it only to learn that it may not."""
        if self.state is SaslState.AUTHENTICATED:
            return now_s < self.ends_s or key == SASL_HANDSHAKE.key
        return self.state is not SaslState.FAILED and key in _WHILE_AUTHENTICATING

    def choose(self, mechanism: str, *, in_frames: bool) -> None:
        """The client chooses a mechanism.

        Raises:
            UnsupportedMechanism: it is not offered here.
            IllegalSaslState: it has chosen already, or would authenticate again as it may not.
        """
        if self.state is SaslState.AUTHENTICATED:
            if self.settings.session_s is None:
                raise IllegalSaslState  # nothing has to be done again, so nothing ends by asking
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
        """Take a message of the mechanism. A ``PasswordCheck`` is to be done, and told to ``checked``.

        Raises:
            IllegalSaslState: none is due.
            AuthenticationFailed: it does not prove what it should.
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
        """A password was checked. Raises ``AuthenticationFailed``."""
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
        decoy = self._credentials.decoy(user, mechanism)  # made for everybody, so that all take as long
        return self._credentials.credentials(user).get(mechanism, decoy)

    def _out_of_place(self) -> IllegalSaslState:
        self._move_to(SaslState.FAILED)
        return IllegalSaslState()

    def _move_to(self, state: SaslState) -> None:
        if state is not self.state:
            assert state in TRANSITIONS[self.state], f"no way from {self.state} to {state}"
            self.state = state
