"""``streamcore serve`` and ``worker --listen``: what they say, whom they let in, how they stop."""

from __future__ import annotations

import gc
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

import streamcore as sc
from streamcore.cli.serve import _Options, _serve, made_to_stay
from streamcore.log.api.error_codes import ErrorCode
from streamcore.log.protocol.messages.metadata import MetadataRequest, MetadataRequestTopic
from tests.support.certificates import Authority, Signed, der_of, encrypted_key
from tests.support.command_process import CommandProcess
from tests.support.logins import choose
from tests.support.serving import batch, fetch, produce, records_of
from tests.support.wire_client import WireClient

RunCommand = Callable[..., tuple[int, str, str]]

SHOP = "tests.unit.cli.shop:app"


def serve_process(data: Path, *words: str) -> CommandProcess:
    return CommandProcess("serve", "--data", str(data), "--listen", "127.0.0.1:0", *words)


def client_at(line: str) -> WireClient:
    found = re.search(r"127\.0\.0\.1:(\d+)", line)
    assert found, line
    return WireClient("127.0.0.1", int(found[1]))


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_served_folder_is_left_clean_and_opens_embedded(tmp_path: Path, number: signal.Signals) -> None:
    with sc.connect(tmp_path) as log:
        log.create_topic("t")
    with serve_process(tmp_path) as process:
        first = process.read_until("serving")
        with client_at(first) as client:
            produce(client, "t", batch(b"a"))

            process.signal(number)
            code, said = process.end()

    assert code == 0
    assert re.match(rf"serving {tmp_path} at 127\.0\.0\.1:\d+, durable: ", first)
    assert "everything acknowledged is on disk" in said
    assert (tmp_path / "log" / ".kafka_cleanshutdown").exists()
    with sc.connect(tmp_path) as log, log.consumer(assign=[("t", 0)]) as consumer:
        assert [record.value for record in consumer.poll(timeout="9s")] == [b"a"]


def test_a_signal_while_the_log_is_opened_stops_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def signalled(*_: object, **__: object) -> None:
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr("streamcore.log.serving.serve", signalled)
    options = _Options(
        data=tmp_path,
        listen=["127.0.0.1:0"],
        advertise=[],
        durability="durable",
        security=sc.Security(),
        config={},
        paces_fetches=True,
    )

    _serve(options)

    assert "stopped; everything acknowledged is on disk" in "".join(capsys.readouterr())


@pytest.mark.slow
def test_what_was_acknowledged_is_there_after_a_kill(tmp_path: Path) -> None:
    with sc.connect(tmp_path) as log:
        log.create_topic("t")
    with serve_process(tmp_path) as process, client_at(process.read_until("serving")) as client:
        offsets = [produce(client, "t", batch(b"a", b"b")).base_offset for _ in range(20)]
        process.signal(signal.SIGKILL)
        process.end()

    with serve_process(tmp_path) as process, client_at(process.read_until("serving")) as client:
        data = fetch(client, "t")

    assert offsets == list(range(0, 40, 2))
    assert data.high_watermark == 40
    assert len(records_of(data)) == 20 * len(batch(b"a", b"b"))


def test_what_is_made_to_stay_is_not_looked_through_for_cycles() -> None:
    with made_to_stay():
        staying = [[object()]]
    passing = [[object()]]
    try:
        looked_through = gc.get_objects()
        was_on = gc.isenabled()
    finally:
        gc.unfreeze()

    assert was_on
    assert any(each is passing for each in looked_through)
    assert not any(each is staying for each in looked_through)


@pytest.mark.slow
def test_settings_are_given_by_kafkas_names(tmp_path: Path) -> None:
    with sc.connect(tmp_path) as log:
        log.create_topic("t")
    words = ("--set", "log.cleanup.policy=compact", "--set", "num.partitions = 3")
    with serve_process(tmp_path, *words) as process, client_at(process.read_until("serving")) as client:
        refused = produce(client, "t", batch(b"a")).error_code
        wanted = MetadataRequest(topics=[MetadataRequestTopic(name="new")])
        made = client.ask(wanted, 9).topics[0]

    assert refused == ErrorCode.INVALID_RECORD
    assert len(made.partitions) == 3


@pytest.mark.parametrize(
    ("setting", "hint"),
    [
        ("log.retention.hour=1", "did you mean log.retention.hours"),
        ("num.partitions=none", "impossible"),
        ("listeners=x", "--listen"),
        ("num.partitions", "NAME=VALUE"),
    ],
)
def test_a_setting_that_cannot_be_set_is_refused(
    command: RunCommand, tmp_path: Path, setting: str, hint: str
) -> None:
    code, _, err = command("serve", "--data", str(tmp_path), "--listen", "127.0.0.1:0", "--set", setting)

    assert code == 1
    assert hint in " ".join(err.split())


@pytest.mark.slow
def test_a_folder_that_is_served_is_refused_with_the_pid(command: RunCommand, tmp_path: Path) -> None:
    with serve_process(tmp_path) as process:
        process.read_until("serving")

        code, _, err = command("topics", "list", "--data", str(tmp_path))
        pid = process.pid

    assert code == 1
    assert f"pid={pid}" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--listen", "9092"), "an address is HOST:PORT"),
        (("--listen", "127.0.0.1:70000"), "an address is HOST:PORT"),
        (("--listen", "198.51.100.1:1"), "cannot listen here"),
        (("--advertise", "nowhere"), "an address is HOST:PORT"),
        (("--durability", "none"), "'durable' or 'relaxed'"),
    ],
)
def test_what_cannot_be_served_is_refused_in_one_line(
    command: RunCommand, words: tuple[str, ...], message: str
) -> None:
    code, out, err = command("serve", *words)

    assert code == 1
    assert out == ""
    assert message in err
    assert len(err.splitlines()) == 1


@pytest.mark.slow
def test_a_worker_lets_other_programs_in_while_it_runs(command: RunCommand, tmp_path: Path) -> None:
    data = tmp_path / "data"
    assert command("app", SHOP, "load", "50")[0] == 0

    with CommandProcess("worker", SHOP, "--data", str(data), "--listen", "127.0.0.1:0") as process:
        listening = process.read_until("listen")
        process.read_until("running")
        with client_at(listening) as client:
            orders = fetch(client, "orders")
        process.signal(signal.SIGTERM)
        code, said = process.end()

    assert code == 0, said
    assert 0 < orders.high_watermark < 50
    assert records_of(orders)


@pytest.mark.slow
def test_a_server_with_a_certificate_tells_how_it_is_reached_and_reads_it_again_when_told(
    tmp_path: Path,
) -> None:
    ca = Authority(tmp_path)
    first, second = ca.sign("first", "/CN=localhost"), ca.sign("second", "/CN=localhost")
    used = Signed(tmp_path / "used.pem", tmp_path / "used.key")
    password = tmp_path / "password"
    password.write_text("key-password\n")

    def use(signed: Signed) -> None:
        used.certificate.write_bytes(signed.certificate.read_bytes())
        used.key.write_bytes(encrypted_key(signed.key, "key-password").read_bytes())

    use(first)
    with serve_process(
        tmp_path / "log",
        *("--listen", "sasl_ssl://127.0.0.1:0", "--sasl-mechanisms", "PLAIN", "--authorize"),
        *("--tls-certificate", str(used.certificate), "--tls-key", str(used.key)),
        *("--tls-key-password-file", str(password), "--super-user", "User:root"),
    ) as process:
        line = process.read_until("serving")
        found = re.search(r"at 127\.0\.0\.1:\d+, sasl_ssl://127\.0\.0\.1:(\d+), durable", line)
        assert found, line
        port = int(found[1])
        with WireClient("127.0.0.1", port, tls=ca.client_context()) as client:
            offered = choose(client, "GSSAPI").mechanisms
            before = client.peer_certificate()

        use(second)
        process.signal(signal.SIGHUP)
        process.read_until("read the certificates again")
        with WireClient("127.0.0.1", port, tls=ca.client_context()) as client:
            after = client.peer_certificate()
        used.key.write_text("junk")
        process.signal(signal.SIGHUP)
        told = process.read_until("error: ")
        with WireClient("127.0.0.1", port, tls=ca.client_context()) as client:
            still = client.peer_certificate()
        process.signal(signal.SIGTERM)
        code, _ = process.end()

    assert offered == ["PLAIN"]
    assert (before, after, still) == (der_of(first), der_of(second), der_of(second))
    assert "both are PEM files" in told
    assert code == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--listen", "ssl://127.0.0.1:0"), "name it (--tls-certificate, Tls)"),
        (("--listen", "http://127.0.0.1:0"), "a scheme is one of"),
        (("--tls-key", "key.pem"), "name the server's --tls-certificate, too"),
        (("--super-user", "User:admin"), "--authorize"),
        (
            ("--sasl-mechanisms", "PLAIN", "--sasl-mechanisms", "sasl_ssl=PLAIN"),
            "with each --sasl-mechanisms",
        ),
        (
            ("--listen", "sasl_plaintext://127.0.0.1:0", "--sasl-mechanisms", "GSSAPI"),
            "a mechanism is one of",
        ),
        (("--session-lifetime", "soon"), "soon"),
        (("--advertise", "ssl://h:1"), "advertised address"),
        (
            (
                "--listen",
                "ssl://127.0.0.1:0",
                "--tls-certificate",
                "c.pem",
                "--tls-key-password-file",
                "none",
            ),
            "the file with the key's password cannot be read",
        ),
    ],
)
def test_options_that_make_no_sense_are_refused_with_what_to_do(
    command: RunCommand, words: tuple[str, ...], told: str
) -> None:
    code, _, err = command("serve", *words)

    assert code == 1
    assert told in err
