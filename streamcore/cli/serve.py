"""``streamcore serve``: serve the log of a folder to Kafka's clients until a signal stops the command."""

from __future__ import annotations

import gc
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Literal, cast

import click

from streamcore.cli.options import SectionedCommand, SectionOption, data_option, log_level_option, settings_in
from streamcore.cli.program_log import show_logging
from streamcore.errors import StreamCoreError, UsageError, fact_text, with_facts

if TYPE_CHECKING:
    from streamcore.cli.stop_signals import StopSignals
    from streamcore.log.server.security import Security, Tls
    from streamcore.log.serving import ServedLog

DEFAULT_LISTEN = "127.0.0.1:9092"

_encryption = partial(click.option, cls=SectionOption, section="Encryption")
_access = partial(click.option, cls=SectionOption, section="Access")


def register(group: click.Group) -> None:
    """Add the command."""
    group.add_command(serve)


_PROMISES = {
    "durable": "durable: what is acknowledged is on disk",
    "relaxed": "relaxed: a power cut may take the last second",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Options:
    data: Path
    listen: Sequence[str]
    advertise: Sequence[str]
    durability: Literal["durable", "relaxed"]
    security: Security
    config: Mapping[str, str]
    paces_fetches: bool


@click.command("serve", cls=SectionedCommand)
@data_option
@click.option(
    "--listen",
    multiple=True,
    metavar="[SCHEME://]HOST:PORT",
    help="Where to listen, repeatable: plaintext, ssl, sasl_plaintext or sasl_ssl.",
    show_default=DEFAULT_LISTEN,
)
@click.option(
    "--advertise",
    multiple=True,
    metavar="[SCHEME://]HOST:PORT",
    help="The address that clients get, if it differs; one for each --listen, or with its scheme.",
)
@click.option(
    "--durability",
    default="durable",
    metavar="durable|relaxed",
    help="relaxed does not wait for the disk: a power cut may take the last second.",
)
@click.option(
    "--set",
    "set_",
    multiple=True,
    metavar="NAME=VALUE",
    help="A setting of the broker by Kafka's name, repeatable: log.retention.hours=24.",
)
@click.option(
    "--fetch-pace/--no-fetch-pace",
    default=True,
    help="Pace answers to librdkafka's clients, so that they are full, and pause, less often.",
)
@log_level_option
@_encryption(
    "--tls-certificate",
    type=click.Path(path_type=Path),
    metavar="PEM",
    help="The server's certificate and those that lead to its CA; read again on SIGHUP.",
)
@_encryption(
    "--tls-key",
    type=click.Path(path_type=Path),
    metavar="PEM",
    help="The certificate's key, if it is in another file.",
)
@_encryption(
    "--tls-key-password-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The key's password is the first line of this file.",
)
@_encryption(
    "--tls-client-ca",
    type=click.Path(path_type=Path),
    metavar="PEM",
    help="Clients of ssl show a certificate that one of these CAs has signed.",
)
@_encryption(
    "--tls-client-certificates",
    metavar="required|requested|none",
    help="With requested, clients may also connect without one.",
    show_default="required with --tls-client-ca",
)
@_access(
    "--sasl-mechanisms",
    multiple=True,
    metavar="[SCHEME=]NAME,NAME",
    help="PLAIN, SCRAM-SHA-256, SCRAM-SHA-512.",
    show_default="SCRAM, and PLAIN where it is encrypted",
)
@_access(
    "--session-lifetime",
    metavar="DURATION",
    help="Clients of SASL authenticate again before this is over, such as 1h.",
)
@_access(
    "--authorize",
    is_flag=True,
    help="Allow only what a rule allows; see streamcore acls.",
)
@_access(
    "--super-user",
    multiple=True,
    metavar="User:NAME",
    help="A principal that needs no rule for anything, repeatable.",
)
@_access(
    "--allow-if-no-rule",
    is_flag=True,
    help="Allow everything that no rule is about.",
)
def serve(
    data: Path,
    listen: tuple[str, ...],
    advertise: tuple[str, ...],
    durability: str,
    set_: tuple[str, ...],
    fetch_pace: bool,
    log_level: str | None,
    tls_certificate: Path | None,
    tls_key: Path | None,
    tls_key_password_file: Path | None,
    tls_client_ca: Path | None,
    tls_client_certificates: str | None,
    sasl_mechanisms: tuple[str, ...],
    session_lifetime: str | None,
    authorize: bool,
    super_user: tuple[str, ...],
    allow_if_no_rule: bool,
) -> None:
    """Serve a log to Kafka's clients until SIGTERM or Ctrl-C."""
    from streamcore.log.server.security import Security

    if durability not in ("durable", "relaxed"):
        raise UsageError(with_facts("the durability is 'durable' or 'relaxed'", given=repr(durability)))
    tls = None
    if tls_certificate is not None:
        tls = _tls(tls_certificate, tls_key, tls_key_password_file, tls_client_ca, tls_client_certificates)
    elif tls_key or tls_client_ca or tls_client_certificates or tls_key_password_file:
        raise UsageError("these options are for encryption: name the server's --tls-certificate, too")
    security = Security(
        tls=tls,
        sasl_mechanisms=_mechanisms(sasl_mechanisms),
        session_s=None if session_lifetime is None else _seconds(session_lifetime),
        authorize=authorize,
        super_users=super_user,
        allow_if_no_rule=allow_if_no_rule,
    )
    show_logging(log_level)
    _serve(
        _Options(
            data=data,
            listen=listen or [DEFAULT_LISTEN],
            advertise=advertise,
            durability="relaxed" if durability == "relaxed" else "durable",
            security=security,
            config=settings_in(set_, "--set"),
            paces_fetches=fetch_pace,
        )
    )


def _tls(
    certificate: Path,
    key: Path | None,
    key_password_file: Path | None,
    client_ca: Path | None,
    client_certificates: str | None,
) -> Tls:
    from streamcore.log.server.security import ClientCertificates, Tls

    password = None
    if key_password_file is not None:
        try:
            password = key_password_file.read_text("utf-8").partition("\n")[0].rstrip("\r")
        except OSError as error:
            facts = fact_text(path=key_password_file)
            raise UsageError(
                f"the file with the key's password cannot be read ({error.strerror}): {facts}"
            ) from error
    return Tls(
        certificate=certificate,
        key=key,
        key_password=password,
        client_ca=client_ca,
        client_certificates=cast("ClientCertificates | None", client_certificates),
    )


def _mechanisms(given: Sequence[str]) -> list[str] | dict[str, list[str]]:
    """Parse ``A,B`` for all listeners, or ``SCHEME=A,B`` for each scheme."""
    by_scheme: dict[str, list[str]] = {}
    for text in given:
        scheme, _, names = text.rpartition("=")
        by_scheme.setdefault(scheme, []).extend(name.strip() for name in names.split(","))
    if "" in by_scheme and len(by_scheme) > 1:
        raise UsageError(
            with_facts("say the scheme with each --sasl-mechanisms, or with none", given=" ".join(given))
        )
    return by_scheme.get("") or by_scheme or []


def _seconds(text: str) -> float:
    from streamcore.durations import duration_ms

    return duration_ms(text) / 1000


def _serve(options: _Options) -> None:
    from streamcore.cli.stop_signals import StopSignals
    from streamcore.cli.worker_display import say

    with StopSignals("answering what was asked, then stopping") as signals:
        try:
            _serve_until_stopped(options, signals)
        except KeyboardInterrupt:
            if not signals.is_stopped:
                raise
            # A signal before the log was served: the folder is closed in order.
    say("stopped; everything acknowledged is on disk")


def _serve_until_stopped(options: _Options, signals: StopSignals) -> None:
    from streamcore.cli.worker_display import say
    from streamcore.log.server.settings import ServerSettings
    from streamcore.log.serving import serve as serve_log

    stopping = threading.Event()
    with ExitStack() as resources:
        with made_to_stay():
            served = resources.enter_context(
                serve_log(
                    options.data,
                    listen=options.listen,
                    advertise=options.advertise,
                    durability=options.durability,
                    settings=ServerSettings(paces_fetches=options.paces_fetches),
                    security=options.security,
                    config=options.config,
                )
            )
        where = ", ".join(address.removeprefix("plaintext://") for address in served.listeners)
        say(f"serving {options.data} at {where}, {_PROMISES[options.durability]}")
        if options.security.tls is not None:
            _reload_on_hangup(served)
        signals.ask_with(stopping.set)
        served.wait(stopping)


@contextmanager
def made_to_stay() -> Iterator[None]:
    """Keep objects that are made in the block out of Python's cycle collector, for ever.

    Ten thousand partitions are about 400,000 objects. A collection of all of them stops all threads for a
    tenth of a second each time and finds nothing. Use it only in a process that ends with the command: cycles
    that exist when the block ends are never freed.
    """
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()


def _reload_on_hangup(served: ServedLog) -> None:
    """Read the certificates again at SIGHUP."""
    from streamcore.cli.output import print_error
    from streamcore.cli.worker_display import say

    def reload(number: int, frame: FrameType | None) -> None:
        try:
            served.reload_certificates()
        except StreamCoreError as error:
            print_error(error)
        else:
            say("read the certificates again")

    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, reload)
