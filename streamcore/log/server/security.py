"""Who may come in and what they may do there, as values: certificates, mechanisms, super users."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, TypeAlias

from streamcore.errors import UsageError, fact_text
from streamcore.log.api.authentication.sasl import MECHANISMS, SaslSettings
from streamcore.log.broker.access.scram_credentials import ScramMechanism
from streamcore.log.server.listeners import Listener, Scheme, scheme_of

ClientCertificates: TypeAlias = Literal["none", "requested", "required"]

_SCRAM: Final = tuple(mechanism.value for mechanism in reversed(ScramMechanism))
_DEFAULT_MECHANISMS: Final[Mapping[Scheme, Sequence[str]]] = {
    Scheme.SASL_PLAINTEXT: _SCRAM,
    Scheme.SASL_SSL: (*_SCRAM, "PLAIN"),
}
"""PLAIN sends the password itself, so it is there unasked only where everything is encrypted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """The server's certificate, and what it wants of clients. Files are PEM."""

    certificate: str | Path
    """The server's certificate, followed by those that lead to its CA."""
    key: str | Path | None = None
    """Its private key; in the certificate's file if not given."""
    key_password: str | None = field(default=None, repr=False)
    client_ca: str | Path | None = None
    """Certificates of clients are good if one of these CAs has signed them."""
    client_certificates: ClientCertificates | None = None
    """Whether clients of ``ssl`` show a certificate; with a ``client_ca`` they must, unless it says less."""

    @property
    def wanted_of_clients(self) -> ClientCertificates:
        """Whether clients of ``ssl`` show a certificate, also where nothing is said."""
        return self.client_certificates or ("none" if self.client_ca is None else "required")


@dataclass(frozen=True, slots=True, kw_only=True)
class Security:
    """What a server asks of its clients. The default asks nothing."""

    tls: Tls | None = None
    """For listeners with the schemes ``ssl`` and ``sasl_ssl``."""
    sasl_mechanisms: Sequence[str] | Mapping[str, Sequence[str]] = ()
    """PLAIN, SCRAM-SHA-256, SCRAM-SHA-512; by scheme, where listeners differ. SCRAM alone for
    ``sasl_plaintext``, all for ``sasl_ssl`` where nothing is said."""
    session_s: float | None = None
    """Clients authenticate again before so much time is over (``connections.max.reauth.ms``)."""
    authorize: bool = False
    """Allow only what an access rule allows."""
    super_users: Sequence[str] = ()
    """Principals that may do anything, such as ``User:admin``."""
    allow_if_no_rule: bool = False
    """Whether a resource without any rule is everybody's (``allow.everyone.if.no.acl.found``)."""

    def ensure_fits(self, listeners: Sequence[Listener]) -> None:
        """Do nothing if it says all that the listeners need.

        Raises:
            UsageError: something is missing, unknown or of no use.
        """
        for listener in listeners:
            if listener.scheme.has_tls and self.tls is None:
                raise UsageError(
                    "a listener with TLS needs the server's certificate: name it (--tls-certificate, Tls) "
                    + fact_text(listen=f"{listener.scheme.value}://{listener.host}:{listener.port}")
                )
            if listener.scheme.has_sasl:
                self.sasl_settings(listener.scheme)
        for principal in self.super_users:
            if ":" not in principal:
                raise UsageError(f"a super user is a principal, User:NAME {fact_text(given=principal)}")
        if self.super_users and not self.authorize:
            raise UsageError("super users count for nothing without --authorize: add it, or leave them out")

    def sasl_settings(self, scheme: Scheme) -> SaslSettings:
        """How clients authenticate at listeners of a scheme. Raises ``UsageError``."""
        given = self.sasl_mechanisms
        if isinstance(given, Mapping):
            given = {scheme_of(name): names for name, names in given.items()}.get(scheme, ())
        names = [name.upper() for name in given] or list(_DEFAULT_MECHANISMS[scheme])
        for name in names:
            if name not in MECHANISMS:
                raise UsageError(f"a mechanism is one of {', '.join(MECHANISMS)} {fact_text(given=name)}")
        return SaslSettings(tuple(dict.fromkeys(names)), self.session_s)
