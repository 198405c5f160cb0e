"""SASL over the wire: who gets in, what the others are told, and that they hurt nobody."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

import streamcore as sc
from streamcore.clock import ManualClock
from streamcore.errors import UsageError
from streamcore.log.api.error_codes import ErrorCode
from streamcore.log.protocol.apis import APIS
from streamcore.log.protocol.messages.api_versions import ApiVersionsRequest
from streamcore.log.protocol.messages.metadata import MetadataRequest
from streamcore.log.protocol.messages.sasl_authenticate import SaslAuthenticateRequest
from tests.support.logins import AUTHENTICATE_VERSION, add_user, authenticate, choose, log_in, plain
from tests.support.serving import NOW_MS, batch, client_of, produce
from tests.support.wire_client import WireClient

MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")


@contextmanager
def serving(
    folder: Path,
    *,
    settings: sc.ServerSettings | None = None,
    clock: ManualClock | None = None,
    session_s: float | None = None,
) -> Iterator[sc.ServedLog]:
    security = sc.Security(sasl_mechanisms=MECHANISMS, session_s=session_s)
    listen = "sasl_plaintext://127.0.0.1:0"
    with sc.serve(folder, listen=listen, settings=settings, clock=clock, security=security) as served:
        add_user(served, "alice", "secret")
        yield served


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sc.ServedLog]:
    with serving(tmp_path_factory.mktemp("log")) as served:
        yield served


def is_answered(client: WireClient) -> bool:
    try:
        return bool(client.ask(MetadataRequest(topics=[]), 9).cluster_id)
    except ConnectionError:
        return False


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_a_correct_password_is_accepted(served: sc.ServedLog, mechanism: str) -> None:
    with client_of(served) as client:
        answer = log_in(client, "alice", "secret", mechanism)

        assert (answer.error_code, answer.session_lifetime_ms) == (0, 0)
        assert is_answered(client)


@pytest.mark.parametrize("version", range(AUTHENTICATE_VERSION + 1))
def test_every_version_of_the_messages_carries_it(served: sc.ServedLog, version: int) -> None:
    with client_of(served) as client:
        choose(client, "PLAIN")

        assert authenticate(client, plain("alice", "secret"), version).error_code == 0
        assert is_answered(client)


@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize("user", ["alice", "nobody"])
def test_a_wrong_password_receives_a_plain_refusal_and_the_connection_is_closed(
    served: sc.ServedLog, mechanism: str, user: str
) -> None:
    with client_of(served) as client:
        answer = log_in(client, user, "guess", mechanism)

        assert answer.error_code == ErrorCode.SASL_AUTHENTICATION_FAILED
        assert answer.error_message == (
            "authentication failed: check the user name, the password and the mechanism"
        )
        assert client.is_closed_by_peer()


def test_a_handshake_of_version_0_is_followed_by_bare_frames(served: sc.ServedLog) -> None:
    with client_of(served) as client:
        choose(client, "PLAIN", version=0)
        client.send_frame(plain("alice", "secret"))

        assert client.receive_frame() == b""
        assert is_answered(client)


@pytest.mark.parametrize("frame", [plain("alice", "guess"), b"", b"\0"])
def test_a_bare_frame_that_fails_only_ends_the_connection(served: sc.ServedLog, frame: bytes) -> None:
    with client_of(served) as client:
        choose(client, "PLAIN", version=0)
        client.send_frame(frame)

        assert client.is_closed_by_peer()


def test_before_authentication_a_client_may_only_request_the_served_versions(served: sc.ServedLog) -> None:
    with client_of(served) as client:
        versions = client.ask(ApiVersionsRequest(client_software_name="test", client_software_version="1"), 3)

        assert {17, 36} <= {row.api_key for row in versions.api_keys}
        assert not is_answered(client)


@pytest.mark.parametrize("key", sorted({*APIS, 4, 999} - {17, 18, 36}))
def test_before_it_no_other_request_of_any_version_is_answered(served: sc.ServedLog, key: int) -> None:
    versions = (APIS[key].version_min, APIS[key].version_max) if key in APIS else (0,)
    for version in versions:
        with client_of(served) as client:
            client.send_frame(struct.pack(">hhih", key, version, 1, -1) + bytes(60))

            assert client.is_closed_by_peer()


def test_a_mechanism_that_is_not_offered_is_answered_with_those_that_are(served: sc.ServedLog) -> None:
    with client_of(served) as client:
        answer = choose(client, "GSSAPI")

        assert answer.error_code == ErrorCode.UNSUPPORTED_SASL_MECHANISM
        assert answer.mechanisms == list(MECHANISMS)
        assert client.is_closed_by_peer()


def test_a_message_before_the_mechanism_is_chosen_ends_it(served: sc.ServedLog) -> None:
    with client_of(served) as client:
        answer = authenticate(client, plain("alice", "secret"))

        assert answer.error_code == ErrorCode.ILLEGAL_SASL_STATE
        assert client.is_closed_by_peer()


def test_a_mechanism_is_chosen_once(served: sc.ServedLog) -> None:
    with client_of(served) as client:
        choose(client, "PLAIN")

        assert choose(client, "PLAIN").error_code == ErrorCode.ILLEGAL_SASL_STATE
        assert client.is_closed_by_peer()


def test_reauthentication_without_authentication_is_refused_and_the_connection_stays(
    served: sc.ServedLog,
) -> None:
    with client_of(served) as client:
        log_in(client, "alice", "secret")

        assert choose(client, "SCRAM-SHA-256").error_code == ErrorCode.ILLEGAL_SASL_STATE
        assert authenticate(client, b"x").error_code == ErrorCode.ILLEGAL_SASL_STATE
        assert is_answered(client)


def test_authentication_is_refused_where_it_is_not_configured(tmp_path: Path) -> None:
    with sc.serve(tmp_path, listen="127.0.0.1:0") as served, client_of(served) as client:
        assert choose(client, "PLAIN").error_code == ErrorCode.ILLEGAL_SASL_STATE
        assert authenticate(client, b"x").error_code == ErrorCode.ILLEGAL_SASL_STATE
        assert is_answered(client)


def test_a_large_request_comes_through_once_the_client_is_in(served: sc.ServedLog) -> None:
    served.log.create_topic("large")
    value = b"x" * (sc.ServerSettings().authentication_frame_bytes_max + 1)
    with client_of(served) as client:
        log_in(client, "alice", "secret")

        assert produce(client, "large", batch(value)).error_code == 0


# --- sessions with an end -----------------------------------------------------------------------


def test_a_session_ends_unless_the_client_authenticates_again(tmp_path: Path) -> None:
    clock = ManualClock(NOW_MS)
    with serving(tmp_path, clock=clock, session_s=60) as served:
        faithful, forgetful = client_of(served), client_of(served)
        with faithful, forgetful:
            lifetimes = [
                log_in(each, "alice", "secret").session_lifetime_ms for each in (faithful, forgetful)
            ]
            clock.advance(59_000)
            before = is_answered(forgetful)
            again = log_in(faithful, "alice", "secret")
            clock.advance(2_000)

            assert lifetimes == [60_000, 60_000]
            assert before
            assert again.error_code == 0
            assert is_answered(faithful)
            assert not is_answered(forgetful)


def test_a_client_does_not_become_another_user(tmp_path: Path) -> None:
    with serving(tmp_path, session_s=60) as served, client_of(served) as client:
        add_user(served, "bob", "b-secret")
        log_in(client, "alice", "secret", "PLAIN")

        answer = log_in(client, "bob", "b-secret", "PLAIN")

        assert answer.error_code == ErrorCode.SASL_AUTHENTICATION_FAILED
        assert client.is_closed_by_peer()


# --- limits -------------------------------------------------------------------------------------


def test_an_unfinished_handshake_is_closed_at_its_deadline(tmp_path: Path) -> None:
    clock = ManualClock(NOW_MS)
    settings = sc.ServerSettings(authentication_s=30, sweep_s=0.01)
    with serving(tmp_path, clock=clock, settings=settings) as served:
        silent, halfway, done = client_of(served), client_of(served), client_of(served)
        with silent, halfway, done:
            choose(halfway, "SCRAM-SHA-256")
            log_in(done, "alice", "secret")

            clock.advance(31_000)

            assert silent.is_closed_by_peer()
            assert halfway.is_closed_by_peer()
            assert is_answered(done)


def test_a_large_frame_before_it_ends_the_connection(served: sc.ServedLog) -> None:
    size = sc.ServerSettings().authentication_frame_bytes_max + 1
    with client_of(served) as client:
        client.socket.sendall(struct.pack(">i", size) + b"x" * 10)

        assert client.is_closed_by_peer()


@pytest.mark.slow
def test_failed_logins_delay_also_a_correct_password(tmp_path: Path) -> None:
    def attempt(served: sc.ServedLog, password: str) -> float:
        began_s = time.perf_counter()
        with client_of(served) as client:
            log_in(client, "alice", password, "PLAIN")
        return time.perf_counter() - began_s

    with serving(tmp_path, clock=ManualClock(NOW_MS)) as served:
        failed_s = [attempt(served, "guess") for _ in range(4)]
        right_s = attempt(served, "secret")

    assert min(failed_s) >= 0.1
    assert right_s >= 1


def test_clients_that_stop_in_the_middle_or_request_much_work_do_not_delay_others(tmp_path: Path) -> None:
    with serving(tmp_path) as served, ThreadPoolExecutor(8) as pool:
        host, _, port = served.address.partition(":")
        with client_of(served) as halfway, client_of(served) as user:
            choose(halfway, "SCRAM-SHA-512")
            halfway.socket.sendall(struct.pack(">i", 60_000) + b"\0\x24")
            log_in(user, "alice", "secret")

            def attack(number: int) -> None:
                with WireClient(host, int(port)) as client:
                    choose(client, "PLAIN")
                    client.send(SaslAuthenticateRequest(auth_bytes=plain(f"user-{number}", "guess")), 1)
                    if number % 2:
                        client.receive_frame()

            attacks = [pool.submit(attack, number) for number in range(40)]
            answered_count = 0
            while not all(each.done() for each in attacks):
                assert is_answered(user)
                answered_count += 1
            for each in attacks:
                each.result()

    # One check of a password takes longer than an answer: a user who waited for them all would get few.
    assert answered_count >= len(attacks)


def test_a_connection_that_is_reset_during_its_check_leaves_nothing_behind(tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        for _ in range(20):
            client = client_of(served)
            choose(client, "PLAIN")
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.send(SaslAuthenticateRequest(auth_bytes=plain("alice", "guess")), 1)
            client.close()

        with client_of(served) as client:
            assert log_in(client, "alice", "secret", "PLAIN").error_code == 0


@pytest.mark.parametrize(
    ("security", "message"),
    [
        (sc.Security(sasl_mechanisms=["GSSAPI"]), "a mechanism is one of PLAIN.*given=GSSAPI"),
        (sc.Security(sasl_mechanisms={"http": ["PLAIN"]}), "a scheme is one of.*given=http"),
        (sc.Security(super_users=["User:admin"]), "--authorize"),
        (sc.Security(authorize=True, super_users=["admin"]), "User:NAME: given=admin"),
    ],
)
def test_settings_that_make_no_sense_are_refused_before_anything_listens(
    tmp_path: Path, security: sc.Security, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        sc.serve(tmp_path, listen="sasl_plaintext://127.0.0.1:0", security=security)


def test_mechanisms_may_differ_and_plain_is_not_offered_in_the_open_unasked(tmp_path: Path) -> None:
    with sc.serve(tmp_path, listen="sasl_plaintext://127.0.0.1:0") as served, client_of(served) as client:
        assert choose(client, "PLAIN").mechanisms == ["SCRAM-SHA-512", "SCRAM-SHA-256"]
    security = sc.Security(sasl_mechanisms={"sasl_plaintext": ["plain"], "sasl_ssl": ["SCRAM-SHA-256"]})
    with (
        sc.serve(tmp_path, listen="sasl_plaintext://127.0.0.1:0", security=security) as served,
        client_of(served) as client,
    ):
        assert choose(client, "PLAIN").mechanisms == ["PLAIN"]
