"""The TLS contexts of listeners, made from files and made again when the files change.

Clients need TLS 1.2 or newer. An expired certificate, a key of another certificate, or a missing file is an
error before the server listens. At a later reading it is an error too, and the contexts made before stay in
use.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Final

from streamcore.clock import Clock
from streamcore.errors import UsageError, fact_text, with_facts
from streamcore.log.server.certificates import certificate_facts
from streamcore.log.server.listeners import Scheme
from streamcore.log.server.security import Tls

_VERIFY_MODES: Final = {
    "none": ssl.CERT_NONE,
    "requested": ssl.CERT_OPTIONAL,
    "required": ssl.CERT_REQUIRED,
}


class TlsContexts:
    """The TLS contexts of new connections, by the scheme of their listener."""

    def __init__(self, tls: Tls, clock: Clock) -> None:
        """Raises ``UsageError``, as ``reload`` does."""
        self._tls = tls
        self._clock = clock
        self.reload()

    def of(self, scheme: Scheme) -> ssl.SSLContext:
        """Return the context for a new connection of a listener."""
        return self._contexts[scheme]

    def reload(self) -> None:
        """Read the files again; open connections keep their contexts.

        Raises:
            UsageError: a file is missing, unreadable, expired, or does not fit the others.
        """
        self._contexts = {
            scheme: _server_context(self._tls, scheme, self._clock) for scheme in Scheme if scheme.has_tls
        }


def _server_context(tls: Tls, scheme: Scheme, clock: Clock) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    _load_certificate(context, tls, clock)
    wanted = tls.wanted_of_clients
    if wanted not in _VERIFY_MODES:
        raise UsageError(with_facts("client certificates are none, requested or required", given=wanted))
    if wanted == "none":
        return context
    if tls.client_ca is None:
        raise UsageError(
            with_facts(
                "certificates of clients are checked against a CA: name it (--tls-client-ca, Tls.client_ca)",
                client_certificates=wanted,
            )
        )
    if scheme is Scheme.SASL_SSL:
        return context  # clients of this listener authenticate by SASL instead, as with Kafka
    try:
        context.load_verify_locations(tls.client_ca)
    except OSError as error:
        raise _unreadable("the CA of the clients' certificates", tls.client_ca, error) from error
    context.verify_mode = _VERIFY_MODES[wanted]
    return context


def _load_certificate(context: ssl.SSLContext, tls: Tls, clock: Clock) -> None:
    files = fact_text(certificate=tls.certificate, key=tls.key or tls.certificate)
    for what, path in (("certificate", tls.certificate), ("key", tls.key or tls.certificate)):
        try:
            Path(path).open("rb").close()
        except OSError as error:
            raise _unreadable(f"the server's {what}", path, error) from error
    # Without a function the library would ask at the terminal.
    password = tls.key_password or ""
    try:
        context.load_cert_chain(tls.certificate, tls.key, lambda: password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise UsageError(f"the key is not that of the certificate: name the right one {files}") from error
        raise UsageError(
            "the server's certificate or its key cannot be read: both are PEM files, and a key that is "
            f"encrypted needs its password {files} error={error.reason or error}"
        ) from error
    except ValueError as error:
        raise UsageError(f"the password of the server's key is too long {files}") from error
    _ensure_good(tls.certificate, clock)


def _ensure_good(path: str | Path, clock: Clock) -> None:
    """Check the validity of the server's certificate, which is the first in its file."""
    text = Path(path).read_text("ascii", "replace")
    begin, end = text.find(ssl.PEM_HEADER), text.find(ssl.PEM_FOOTER)
    facts = certificate_facts(ssl.PEM_cert_to_DER_cert(text[begin : end + len(ssl.PEM_FOOTER)]))
    if facts.expires_ms <= clock.now_ms():
        raise UsageError(
            with_facts(
                "the server's certificate has expired: renew it",
                certificate=path,
                subject=facts.subject,
                expired_ms=facts.expires_ms,
            )
        )


def _unreadable(what: str, path: str | Path, error: OSError) -> UsageError:
    reason = error.reason if isinstance(error, ssl.SSLError) else error.strerror
    return UsageError(with_facts(f"{what} cannot be read ({reason or error})", path=path))
