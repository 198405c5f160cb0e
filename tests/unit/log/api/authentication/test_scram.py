"""SCRAM, the server's side: the RFC's own example, and every way in which a client can be wrong."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamcore.log.api.authentication.sasl_steps import Accepted, AuthenticationFailed, Challenge
from streamcore.log.api.authentication.scram import ScramExchange
from streamcore.log.broker.access.scram_credentials import (
    ScramCredential,
    ScramMechanism,
    credential_of_password,
)
from tests.support.scram_client import ScramClient

SHA_256 = ScramMechanism.SHA_256
SALT = b"salt-of-the-user"
BOTH = pytest.mark.parametrize("mechanism", list(ScramMechanism), ids=lambda mechanism: mechanism.value)


def exchange(
    password: str = "secret", mechanism: ScramMechanism = SHA_256, asked: list[str] | None = None
) -> ScramExchange:
    def credential_of(user: str, of: ScramMechanism) -> ScramCredential:
        if asked is not None:
            asked.append(user)
        return credential_of_password(of, password, SALT, 4_096)

    return ScramExchange(mechanism, credential_of, "server-nonce")


def challenge(server: ScramExchange, message: bytes) -> bytes:
    step = server.receive(message)
    assert isinstance(step, Challenge)
    return step.token


def test_the_example_of_rfc_7677() -> None:
    salt = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
    credential = credential_of_password(SHA_256, "pencil", salt, 4_096)
    server = ScramExchange(SHA_256, lambda user, mechanism: credential, "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0")
    nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"

    first = server.receive(b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO")
    last = server.receive(f"c=biws,r={nonce},p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=".encode())

    assert first == Challenge(f"r={nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096".encode())
    assert last == Accepted("user", b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")


@BOTH
def test_a_correct_password_is_accepted_and_the_server_proves_itself(
    mechanism: ScramMechanism,
) -> None:
    server = exchange("pässwörd", mechanism)
    client = ScramClient(mechanism.hash_name, "alice", "pässwörd")

    step = server.receive(client.final(challenge(server, client.first())))

    assert isinstance(step, Accepted)
    assert step.user == "alice"
    assert client.trusts(step.token)


@BOTH
@given(password=st.text(), guess=st.text())
def test_only_the_password_itself_fits(mechanism: ScramMechanism, password: str, guess: str) -> None:
    credential = credential_of_password(mechanism, password, SALT, 1)

    assert credential.fits(mechanism, password)
    # A key is filled up with zeros: HMAC cannot tell one that ends in them from one that does not.
    if guess.rstrip("\0") != password.rstrip("\0"):
        assert not credential.fits(mechanism, guess)


def test_a_wrong_password_fails() -> None:
    server = exchange("secret")
    client = ScramClient("sha256", "alice", "guess")
    final = client.final(challenge(server, client.first()))

    with pytest.raises(AuthenticationFailed, match="check the user name, the password"):
        server.receive(final)


@given(user=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1))
def test_a_user_name_comes_as_it_was_quoted(user: str) -> None:
    asked: list[str] = []

    challenge(exchange(asked=asked), ScramClient("sha256", user, "secret").first())

    assert asked == [user]


@pytest.mark.parametrize("gs2", ["n,,", "y,,", "n,a=alice,", "y,a=alice,"])
def test_a_client_may_say_that_it_binds_no_channel_and_as_whom_it_acts(gs2: str) -> None:
    server = exchange()
    client = ScramClient("sha256", "alice", "secret", gs2=gs2)

    step = server.receive(client.final(challenge(server, client.first())))

    assert isinstance(step, Accepted)


def test_extensions_are_ignored() -> None:
    assert challenge(exchange(), b"n,,n=alice,r=abc,x=1,yes=no").startswith(b"r=abcserver-nonce,")


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"junk",
        b"\xff\xfe",
        b"n,,n=alice",
        b"n,,r=abc",
        b"n,,n=,r=abc",
        b"n,,n=alice,r=",
        b"n,,n=a=b,r=abc",
        b"n,,n=a=2D,r=abc",
        b"n,,n=alice,r=a c",
        b"p=tls-unique,,n=alice,r=abc",
        b"n,,m=must,n=alice,r=abc",
        b"n,a=bob,n=alice,r=abc",
        b"n,,n=alice,r=abc,tokenauth=true",
        b"n,,n=alice,r=" + b"a" * 2_000,
        b"x,,n=alice,r=abc",
    ],
)
def test_a_first_message_that_makes_no_sense_fails(message: bytes) -> None:
    with pytest.raises(AuthenticationFailed):
        exchange().receive(message)


def changed(final: str, part: str, value: str) -> bytes:
    fields = [value if field.startswith(part + "=") else field for field in final.split(",")]
    return ",".join(field for field in fields if field).encode()


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("c", "c=eSws"),
        ("c", "c=biwsYT14LA=="),
        ("c", "c="),
        ("c", "c=*"),
        ("c", ""),
        ("r", "r=client-nonce"),
        ("r", "r=client-noncefrom-another-time"),
        ("r", ""),
        ("p", "p="),
        ("p", "p=AAAA"),
        ("p", "p=" + "A" * 43 + "="),
        ("p", "p=A"),
        ("p", ""),
    ],
)
def test_a_last_message_with_a_wrong_part_fails(part: str, value: str) -> None:
    server = exchange()
    client = ScramClient("sha256", "alice", "secret")
    final = client.final(challenge(server, client.first())).decode()

    with pytest.raises(AuthenticationFailed):
        server.receive(changed(final, part, value))


@given(message=st.binary(max_size=200))
def test_any_bytes_are_a_challenge_or_a_failure(message: bytes) -> None:
    server = exchange()
    try:
        server.receive(message)
        server.receive(message)
    except AuthenticationFailed:
        return
    raise AssertionError("the same message twice was taken for a proof")
