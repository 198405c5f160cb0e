"""TLS over the wire: who is let in, as whom, and that peers which never finish hurt nobody."""

from __future__ import annotations

import re
import socket
import ssl
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import streamcore as sc
from streamcore.clock import ManualClock
from streamcore.errors import UsageError
from streamcore.log.broker.access.acl import (
    AccessRule,
    AclOperation,
    PatternType,
    Permission,
    ResourcePattern,
    ResourceType,
)
from streamcore.log.protocol.messages.metadata import MetadataRequest
from tests.support.certificates import Authority, Signed, encrypted_key
from tests.support.logins import add_user, log_in
from tests.support.serving import batch, fetch, fetch_request, produce, records_of
from tests.support.wire_client import WireClient

ALICE = "/C=DE/O=Example, Inc./OU=Test/CN=alice"
PRINCIPAL = r"User:CN=alice,OU=Test,O=Example\, Inc.,C=DE"


class Certificates:
    """All that the tests need, made once."""

    def __init__(self, folder: Path) -> None:
        self.ca = Authority(folder)
        self.server = self.ca.sign("server", "/CN=localhost")
        self.alice = self.ca.sign("alice", ALICE)
        self.bob = self.ca.sign("bob", "/CN=bob")
        self.other_ca = Authority(folder, "other")
        self.stranger = self.other_ca.sign("stranger", "/CN=alice")

    def tls(self, **options: Any) -> sc.Tls:
        return sc.Tls(certificate=self.server.certificate, key=self.server.key, **options)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def served(certificates: Certificates, tmp_path_factory: pytest.TempPathFactory) -> Iterator[sc.ServedLog]:
    """Three listeners, which allow nothing without a rule."""
    security = sc.Security(
        tls=certificates.tls(client_ca=certificates.ca.certificate), authorize=True, super_users=["User:root"]
    )
    listen = [f"{scheme}://127.0.0.1:0" for scheme in ("ssl", "sasl_ssl", "plaintext")]
    with sc.serve(tmp_path_factory.mktemp("log"), listen=listen, security=security) as served:
        served.log.create_topic("t")
        add_user(served, "root", "secret")
        yield served


def port_of(served: sc.ServedLog, scheme: str) -> int:
    (address,) = (each for each in served.listeners if each.startswith(f"{scheme}://"))
    return int(address.rpartition(":")[2])


def client_at(
    served: sc.ServedLog, scheme: str, certificates: Certificates, signed: Signed | None = None
) -> WireClient:
    context = certificates.ca.client_context(signed)
    return WireClient("127.0.0.1", port_of(served, scheme), tls=context)


def topics(client: WireClient) -> list[str]:
    return [topic.name for topic in client.ask(MetadataRequest(topics=None), 9).topics]


def allow(served: sc.ServedLog, principal: str, operation: AclOperation) -> None:
    resource = ResourcePattern(ResourceType.TOPIC, "*", PatternType.LITERAL)
    rule = AccessRule(resource, principal, "*", operation, Permission.ALLOW)
    log = served.log.embedded
    log.node.driver.run(log.node.broker.access_rules.add([rule]))


def test_a_certificate_is_a_name_and_rules_are_about_that_name(
    served: sc.ServedLog, certificates: Certificates
) -> None:
    with client_at(served, "ssl", certificates, certificates.bob) as client:
        before = topics(client)
        allow(served, "User:CN=bob", AclOperation.ALL)

        assert before == []
        assert topics(client) == ["t"]
        assert produce(client, "t", batch(b"a" * 300_000)).error_code == 0
        assert len(records_of(fetch(client, "t"))) > 300_000


def test_over_tls_a_user_logs_in_without_a_certificate(
    served: sc.ServedLog, certificates: Certificates
) -> None:
    for mechanism in ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"):
        with client_at(served, "sasl_ssl", certificates) as client:
            assert log_in(client, "root", "secret", mechanism).error_code == 0
            assert topics(client) == ["t"]


def test_a_certificate_does_not_spare_a_login(served: sc.ServedLog, certificates: Certificates) -> None:
    client = client_at(served, "sasl_ssl", certificates, certificates.alice)
    with client, pytest.raises(ConnectionError):
        topics(client)


def test_each_listener_advertises_its_own_address(served: sc.ServedLog, certificates: Certificates) -> None:
    ports = []
    for scheme in ("ssl", "plaintext"):
        context = certificates.ca.client_context(certificates.alice) if scheme == "ssl" else None
        with WireClient("127.0.0.1", port_of(served, scheme), tls=context) as client:
            ports += [broker.port for broker in client.ask(MetadataRequest(topics=[]), 9).brokers]

    assert ports == [port_of(served, scheme) for scheme in ("ssl", "plaintext")]


def is_let_in(client: WireClient) -> bool:
    try:
        topics(client)
    except (ConnectionError, ssl.SSLError):
        return False
    return True


def test_a_client_without_a_certificate_of_the_ca_is_refused(
    served: sc.ServedLog, certificates: Certificates
) -> None:
    for signed in (None, certificates.stranger):
        try:
            with client_at(served, "ssl", certificates, signed) as client:
                assert not is_let_in(client)
        except (ConnectionError, ssl.SSLError):
            pass  # with TLS 1.3 the refusal may come after the handshake, or in it


def test_where_a_certificate_is_only_requested_clients_come_with_and_without(
    tmp_path: Path, certificates: Certificates
) -> None:
    tls = certificates.tls(client_ca=certificates.ca.certificate, client_certificates="requested")
    security = sc.Security(tls=tls, authorize=True)
    with sc.serve(tmp_path, listen="ssl://127.0.0.1:0", security=security) as served:
        served.log.create_topic("t")
        allow(served, PRINCIPAL, AclOperation.DESCRIBE)
        with client_at(served, "ssl", certificates) as nobody:
            assert topics(nobody) == []
        with client_at(served, "ssl", certificates, certificates.alice) as alice:
            assert topics(alice) == ["t"]


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
def test_older_tls_is_refused(served: sc.ServedLog, certificates: Certificates) -> None:
    context = certificates.ca.client_context(certificates.alice)
    context.minimum_version = ssl.TLSVersion.TLSv1_1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")

    with pytest.raises((ssl.SSLError, ConnectionError)):
        WireClient("127.0.0.1", port_of(served, "ssl"), tls=context)


def test_a_session_is_resumed_as_the_same_client(served: sc.ServedLog, certificates: Certificates) -> None:
    allow(served, PRINCIPAL, AclOperation.ALL)
    context = certificates.ca.client_context(certificates.alice)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    port = port_of(served, "ssl")
    with WireClient("127.0.0.1", port, tls=context) as client:
        assert topics(client) == ["t"]
        assert isinstance(client.socket, ssl.SSLSocket)
        session = client.socket.session

    raw = socket.create_connection(("127.0.0.1", port), timeout=10)
    with context.wrap_socket(raw, server_hostname="localhost", session=session) as resumed:
        was_reused = resumed.session_reused
        with WireClient("127.0.0.1", port) as again:
            again.socket.close()
            again.socket = resumed
            seen = topics(again)

    assert was_reused
    assert seen == ["t"]


# --- peers that stop in the middle --------------------------------------------------------------


def test_a_peer_that_never_begins_is_closed_in_time_and_counts_as_a_connection(
    tmp_path: Path, certificates: Certificates
) -> None:
    settings = sc.ServerSettings(tls_handshake_s=0.3, connections_max=3)
    security = sc.Security(tls=certificates.tls())
    with sc.serve(tmp_path, listen="ssl://127.0.0.1:0", security=security, settings=settings) as served:
        address = ("127.0.0.1", port_of(served, "ssl"))
        began_s = time.perf_counter()
        silent = [socket.create_connection(address, timeout=10) for _ in range(3)]
        with pytest.raises((ConnectionError, ssl.SSLError)):
            client_at(served, "ssl", certificates)

        ends = [each.recv(1) for each in silent]
        took_s = time.perf_counter() - began_s

        assert ends == [b""] * 3
        assert 0.2 < took_s < 30
        with client_at(served, "ssl", certificates) as client:
            assert topics(client) == []
        for each in silent:
            each.close()


def test_a_client_without_tls_loses_only_its_own_connection(
    served: sc.ServedLog, certificates: Certificates
) -> None:
    for junk in (b"GET / HTTP/1.0\r\n\r\n", struct.pack(">i", 10) + b"\0" * 10, b"\x16\x03\x01\xff\xff"):
        with socket.create_connection(("127.0.0.1", port_of(served, "ssl")), timeout=10) as peer:
            peer.sendall(junk)
            peer.shutdown(socket.SHUT_WR)
            while peer.recv(1_000):
                pass

    with client_at(served, "ssl", certificates, certificates.alice) as client:
        assert is_let_in(client)


def test_peers_that_are_reset_at_any_moment_leave_the_server_as_it_was(
    served: sc.ServedLog, certificates: Certificates
) -> None:
    context = certificates.ca.client_context(certificates.alice)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    hello = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        hello.do_handshake()
    data = outgoing.read()

    for size in (0, 1, 5, len(data) // 2, len(data)):
        peer = socket.create_connection(("127.0.0.1", port_of(served, "ssl")), timeout=10)
        peer.sendall(data[:size])
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()

    with client_at(served, "ssl", certificates, certificates.alice) as client:
        assert is_let_in(client)


@pytest.mark.slow
def test_a_client_that_does_not_read_makes_the_server_keep_little(
    tmp_path: Path, certificates: Certificates
) -> None:
    security = sc.Security(tls=certificates.tls())
    listen = ["ssl://127.0.0.1:0", "plaintext://127.0.0.1:0"]
    with sc.serve(tmp_path, listen=listen, security=security) as served:
        served.log.create_topic("t")
        with client_at(served, "ssl", certificates) as client:
            for _ in range(30):
                assert produce(client, "t", batch(b"x" * 900_000)).error_code == 0
        before = _resident_bytes()
        stuck = [client_at(served, "ssl", certificates) for _ in range(5)]
        for each in stuck:
            each.send(fetch_request("t", partition_max_bytes=50_000_000), 12)

        with client_at(served, "ssl", certificates) as client:
            assert len(records_of(fetch(client, "t", partition_max_bytes=50_000_000))) > 26_000_000
        grown = _resident_bytes() - before
        rest = stuck[0].receive_frame()
        for each in stuck:
            each.close()

    assert grown < 150_000_000  # of which the client's own two copies are some 54 million
    assert len(rest) > 26_000_000


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


def test_a_stop_waits_neither_for_handshakes_nor_for_clients_that_do_not_answer(
    tmp_path: Path, certificates: Certificates
) -> None:
    settings = sc.ServerSettings(stop_s=0.3, tls_shutdown_s=60, tls_handshake_s=60)
    security = sc.Security(tls=certificates.tls())
    served = sc.serve(tmp_path, listen="ssl://127.0.0.1:0", security=security, settings=settings)
    silent = socket.create_connection(("127.0.0.1", port_of(served, "ssl")), timeout=10)
    client = client_at(served, "ssl", certificates)
    is_in = is_let_in(client)
    began_s = time.perf_counter()

    served.close()

    assert is_in
    assert time.perf_counter() - began_s < 30
    silent.close()
    client.close()


# --- files --------------------------------------------------------------------------------------


def test_certificates_are_read_again_for_connections_to_come(tmp_path: Path) -> None:
    ca, new_ca = Authority(tmp_path, "ca"), Authority(tmp_path, "new-ca")
    old, new = ca.sign("old", "/CN=localhost"), new_ca.sign("new", "/CN=localhost")
    used = Signed(tmp_path / "used.pem", tmp_path / "used.key")
    _copy(old, used)
    security = sc.Security(tls=sc.Tls(certificate=used.certificate, key=used.key))
    with sc.serve(tmp_path / "log", listen="ssl://127.0.0.1:0", security=security) as served:
        port = port_of(served, "ssl")
        with WireClient("127.0.0.1", port, tls=ca.client_context()) as before:
            used.key.write_bytes(new.key.read_bytes())
            with pytest.raises(UsageError, match="the key is not that of the certificate"):
                served.reload_certificates()
            with WireClient("127.0.0.1", port, tls=ca.client_context()) as between:
                assert is_let_in(between)

            _copy(new, used)
            served.reload_certificates()

            with WireClient("127.0.0.1", port, tls=new_ca.client_context()) as after:
                assert is_let_in(after)
            assert is_let_in(before)
            with pytest.raises(ssl.SSLError):
                WireClient("127.0.0.1", port, tls=ca.client_context())


def _copy(source: Signed, target: Signed) -> None:
    target.certificate.write_bytes(source.certificate.read_bytes())
    target.key.write_bytes(source.key.read_bytes())


def test_a_key_may_need_a_password_and_stand_in_the_file_of_the_certificate(
    tmp_path: Path, certificates: Certificates
) -> None:
    both = tmp_path / "both.pem"
    key = encrypted_key(certificates.server.key, "key-password")
    both.write_bytes(key.read_bytes() + certificates.server.certificate.read_bytes())
    tls = sc.Tls(certificate=both, key_password="key-password")
    with (
        sc.serve(tmp_path / "log", listen="ssl://127.0.0.1:0", security=sc.Security(tls=tls)) as served,
        client_at(served, "ssl", certificates) as client,
    ):
        assert is_let_in(client)
    assert "key-password" not in repr(tls)


def refusal(folder: Path, tls: sc.Tls | None, clock: ManualClock | None = None) -> str:
    with pytest.raises(UsageError) as refused:
        sc.serve(folder / "log", listen="ssl://127.0.0.1:0", security=sc.Security(tls=tls), clock=clock)
    return str(refused.value)


def test_errors_about_certificate_files_say_what_to_do(tmp_path: Path, certificates: Certificates) -> None:
    server, alice = certificates.server, certificates.alice
    junk = tmp_path / "junk.pem"
    junk.write_text("no certificate")
    encrypted = encrypted_key(server.key, "right")
    missing = tmp_path / "missing.pem"

    told = {
        "none": refusal(tmp_path, None),
        "no file": refusal(tmp_path, sc.Tls(certificate=missing, key=server.key)),
        "no key": refusal(tmp_path, sc.Tls(certificate=server.certificate, key=missing)),
        "key apart": refusal(tmp_path, sc.Tls(certificate=server.certificate)),
        "mismatch": refusal(tmp_path, sc.Tls(certificate=server.certificate, key=alice.key)),
        "junk": refusal(tmp_path, sc.Tls(certificate=junk, key=server.key)),
        "password": refusal(
            tmp_path, sc.Tls(certificate=server.certificate, key=encrypted, key_password="wrong")
        ),
        "no password": refusal(tmp_path, sc.Tls(certificate=server.certificate, key=encrypted)),
        "no ca": refusal(tmp_path, certificates.tls(client_certificates="required")),
        "ca missing": refusal(tmp_path, certificates.tls(client_ca=missing)),
        "ca junk": refusal(tmp_path, certificates.tls(client_ca=junk)),
        "unknown": refusal(tmp_path, certificates.tls(client_certificates="maybe")),
        "expired": refusal(tmp_path, certificates.tls(), ManualClock(4_000_000_000_000)),
    }

    for case, pattern in {
        "none": r"name it \(--tls-certificate, Tls\): listen=ssl://127\.0\.0\.1:0",
        "no file": r"the server's certificate cannot be read \(No such file or directory\): path=.*missing",
        "no key": r"the server's key cannot be read \(No such file or directory\): path=.*missing",
        "key apart": "both are PEM files",
        "mismatch": "the key is not that of the certificate: name the right one",
        "junk": "both are PEM files",
        "password": "a key that is encrypted needs its password",
        "no password": "a key that is encrypted needs its password",
        "no ca": r"name it \(--tls-client-ca, Tls.client_ca\): client_certificates=required",
        "ca missing": "the CA of the clients' certificates cannot be read",
        "ca junk": "the CA of the clients' certificates cannot be read",
        "unknown": "client certificates are none, requested or required: given=maybe",
        "expired": "has expired: renew it: .*subject=CN=localhost",
    }.items():
        assert re.search(pattern, told[case]), (case, told[case])
