"""Authentication as a state machine: every order that leads somewhere, and every one that does not."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamcore.log.api.authentication.sasl import (
    MECHANISMS,
    TRANSITIONS,
    IllegalSaslState,
    SaslSession,
    SaslSettings,
    SaslState,
    UnsupportedMechanism,
)
from streamcore.log.api.authentication.sasl_steps import (
    Accepted,
    AuthenticationFailed,
    Challenge,
    PasswordCheck,
)
from streamcore.log.broker.access.scram_credentials import (
    ScramCredential,
    ScramMechanism,
    credential_of_password,
)
from streamcore.log.protocol.apis import API_VERSIONS, PRODUCE, SASL_AUTHENTICATE, SASL_HANDSHAKE
from tests.support.scram_client import ScramClient

S = SaslState
PASSWORDS = {"alice": "a-secret", "bob": "b-secret"}
GOOD = b"\0alice\0a-secret"
ALL = frozenset({API_VERSIONS.key, SASL_HANDSHAKE.key, SASL_AUTHENTICATE.key, PRODUCE.key})


class Passwords:
    """Users by what their passwords are checked against, as the broker has them."""

    def __init__(self, *mechanisms: ScramMechanism) -> None:
        self._mechanisms = mechanisms or tuple(ScramMechanism)

    def credentials(self, name: str) -> Mapping[ScramMechanism, ScramCredential]:
        if name not in PASSWORDS:
            return {}
        return {
            mechanism: credential_of_password(mechanism, PASSWORDS[name], name.encode(), 1)
            for mechanism in self._mechanisms
        }

    def decoy(self, name: str, mechanism: ScramMechanism) -> ScramCredential:
        nothing = bytes(mechanism.hash_bytes)
        return ScramCredential(1, name.encode(), nothing, nothing)


def new_session(*, session_s: float | None = None, users: Passwords | None = None) -> SaslSession:
    return SaslSession(SaslSettings(MECHANISMS, session_s), users or Passwords(), lambda: "nonce")


def log_in(session: SaslSession, token: bytes = GOOD, *, now_s: float = 0) -> Accepted:
    step = session.receive(token, now_s=now_s)
    assert isinstance(step, PasswordCheck)
    return session.checked(is_right=step.is_right(), now_s=now_s)


def session_in(state: SaslState) -> SaslSession:
    """A session that has come to a state, whose authentications have an end."""
    session = new_session(session_s=10)
    if state is S.NEW:
        return session
    session.choose("PLAIN", in_frames=state is S.IN_FRAMES)
    if state is S.CHECKING:
        session.receive(GOOD, now_s=0)
    elif state is S.AUTHENTICATED:
        log_in(session)
    elif state is S.FAILED:
        with pytest.raises(AuthenticationFailed):
            session.receive(b"junk", now_s=0)
    assert session.state is state
    return session


@pytest.mark.parametrize("in_frames", [False, True])
def test_a_password_is_checked_and_then_the_client_has_a_name(in_frames: bool) -> None:
    session = new_session()
    session.choose("PLAIN", in_frames=in_frames)

    takes_frames = session.takes_frames
    accepted = log_in(session)

    assert takes_frames is in_frames
    assert accepted == Accepted("alice", b"")
    assert session.user == "alice"
    assert not session.takes_frames


@pytest.mark.parametrize("mechanism", list(ScramMechanism))
def test_scram_needs_two_messages(mechanism: ScramMechanism) -> None:
    session = new_session()
    session.choose(mechanism.value, in_frames=False)
    client = ScramClient(mechanism.hash_name, "alice", "a-secret")

    challenge = session.receive(client.first(), now_s=0)
    before = session.user
    assert isinstance(challenge, Challenge)
    step = session.receive(client.final(challenge.token), now_s=0)

    assert before is None
    assert isinstance(step, Accepted)
    assert session.user == "alice"
    assert session.state is S.AUTHENTICATED


@pytest.mark.parametrize("kept_for", list(ScramMechanism))
def test_plain_checks_by_whichever_credential_there_is(kept_for: ScramMechanism) -> None:
    session = new_session(users=Passwords(kept_for))
    session.choose("PLAIN", in_frames=False)

    assert log_in(session).user == "alice"


@pytest.mark.parametrize(
    "token",
    [
        b"",
        b"alice\0a-secret",
        b"\0alice\0a-secret\0",
        b"\0alice\0",
        b"\0\0a-secret",
        b"\0al\xffice\0a-secret",
        b"bob\0alice\0a-secret",
    ],
)
def test_a_message_of_plain_that_makes_no_sense_fails(token: bytes) -> None:
    session = new_session()
    session.choose("PLAIN", in_frames=False)

    with pytest.raises(AuthenticationFailed):
        session.receive(token, now_s=0)

    assert session.state is S.FAILED


def test_a_client_may_say_that_it_acts_as_itself() -> None:
    session = new_session()
    session.choose("PLAIN", in_frames=False)

    assert log_in(session, b"alice\0alice\0a-secret").user == "alice"


def failure_of(token: bytes) -> str:
    session = new_session()
    session.choose("PLAIN", in_frames=False)
    with pytest.raises(AuthenticationFailed) as failed:
        log_in(session, token)
    assert session.state is S.FAILED
    assert session.user is None
    return str(failed.value)


def test_a_wrong_password_and_an_unknown_user_receive_the_same_error() -> None:
    assert failure_of(b"\0alice\0guess") == failure_of(b"\0nobody\0guess")


def test_an_unknown_user_is_challenged_like_any_other() -> None:
    session = new_session()
    session.choose("SCRAM-SHA-256", in_frames=False)
    client = ScramClient("sha256", "nobody", "guess")

    challenge = session.receive(client.first(), now_s=0)
    assert isinstance(challenge, Challenge)

    with pytest.raises(AuthenticationFailed):
        session.receive(client.final(challenge.token), now_s=0)


def test_a_mechanism_that_is_not_offered_ends_it() -> None:
    session = SaslSession(SaslSettings(["SCRAM-SHA-512"]), Passwords(), lambda: "nonce")

    with pytest.raises(UnsupportedMechanism):
        session.choose("PLAIN", in_frames=False)

    assert session.state is S.FAILED


def test_nothing_that_holds_a_password_shows_it() -> None:
    session = new_session()
    session.choose("PLAIN", in_frames=False)

    shown = repr(session.receive(GOOD, now_s=0)) + str(vars(session))

    assert "a-secret" not in shown


# --- wrong orders -------------------------------------------------------------------------------

ACTIONS: dict[str, Callable[[SaslSession], object]] = {
    "choose": lambda session: session.choose("PLAIN", in_frames=False),
    "choose for frames": lambda session: session.choose("PLAIN", in_frames=True),
    "choose another": lambda session: session.choose("SCRAM-SHA-256", in_frames=False),
    "message": lambda session: session.receive(GOOD, now_s=1),
}
LEADS: dict[tuple[SaslState, str], SaslState] = {
    (S.NEW, "choose"): S.IN_REQUESTS,
    (S.NEW, "choose for frames"): S.IN_FRAMES,
    (S.NEW, "choose another"): S.IN_REQUESTS,
    (S.IN_REQUESTS, "message"): S.CHECKING,
    (S.IN_FRAMES, "message"): S.CHECKING,
    (S.AUTHENTICATED, "choose"): S.IN_REQUESTS,
}
"""Everything that is allowed; whatever is not here is refused."""


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("state", list(SaslState), ids=lambda state: state.name)
def test_only_allowed_transitions_are_accepted(state: SaslState, action: str) -> None:
    session = session_in(state)
    expected = LEADS.get((state, action))

    if expected is not None:
        ACTIONS[action](session)
        assert session.state is expected
        return
    with pytest.raises(IllegalSaslState):
        ACTIONS[action](session)

    # A message that comes too late harms nobody who has authenticated; everything else ends it.
    stays = state is S.AUTHENTICATED and action == "message"
    assert session.state is (S.AUTHENTICATED if stays else S.FAILED)


@pytest.mark.parametrize("state", list(SaslState), ids=lambda state: state.name)
def test_before_it_is_over_only_authentication_is_admitted(state: SaslState) -> None:
    session = session_in(state)

    admitted = {key for key in ALL if session.admits(key, 1)}

    expected = {S.AUTHENTICATED: ALL, S.FAILED: frozenset()}.get(state, ALL - {PRODUCE.key})
    assert admitted == expected


@given(actions=st.lists(st.sampled_from([*ACTIONS, "right", "wrong", "junk"]), max_size=12))
def test_no_order_of_messages_gives_a_name_without_a_password(actions: list[str]) -> None:
    session = new_session(session_s=10)
    was_right = False
    for action in actions:
        before = session.state
        try:
            if action in ACTIONS:
                ACTIONS[action](session)
            elif session.state is S.CHECKING and action in ("right", "wrong"):
                session.checked(is_right=action == "right", now_s=2)
                was_right = True
            elif action == "junk":
                session.receive(b"junk", now_s=2)
        except (IllegalSaslState, AuthenticationFailed):
            pass
        assert session.state is before or session.state in TRANSITIONS[before]
    assert (session.user is None) or was_right
    assert session.state is not S.AUTHENTICATED or was_right


# --- sessions with an end -----------------------------------------------------------------------


def test_after_its_end_a_session_admits_only_to_begin_again() -> None:
    session = new_session(session_s=10)
    session.choose("PLAIN", in_frames=False)
    log_in(session, now_s=100)

    assert session.admits(PRODUCE.key, 109.9)
    assert {key for key in ALL if session.admits(key, 110)} == {SASL_HANDSHAKE.key}

    session.choose("PLAIN", in_frames=False)
    log_in(session, now_s=111)
    assert session.admits(PRODUCE.key, 120)


def test_a_connection_keeps_its_user() -> None:
    session = session_in(S.AUTHENTICATED)
    session.choose("PLAIN", in_frames=False)

    with pytest.raises(AuthenticationFailed, match="open another one"):
        log_in(session, b"\0bob\0b-secret")

    assert session.state is S.FAILED


def test_without_a_session_lifetime_reauthentication_is_optional() -> None:
    session = new_session()
    session.choose("PLAIN", in_frames=False)
    log_in(session)

    with pytest.raises(IllegalSaslState):
        session.choose("PLAIN", in_frames=False)

    assert session.admits(PRODUCE.key, 1e9)
