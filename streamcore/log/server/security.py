"""The security settings of a server, as values: certificates, mechanisms, super users."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, TypeAlias

from streamcore.errors import UsageError, with_facts
from streamcore.log.api.authentication.sasl import MECHANISMS, SaslSettings
from streamcore.log.broker.access.scram_credentials import ScramMechanism
from streamcore.log.server.listeners import Listener, Scheme, scheme_of

ClientCertificates: TypeAlias = Literal["none", "requested", "required"]

_SCRAM: Final = tuple(mechanism.value for mechanism in reversed(ScramMechanism))
_DEFAULT_MECHANISMS: Final[Mapping[Scheme, Sequence[str]]] = {
    Scheme.SASL_PLAINTEXT: _SCRAM,
    Scheme.SASL_SSL: (*_SCRAM, "PLAIN"),
}
"""PLAIN sends the password itself, so it is a default only for encrypted listeners."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """The server's certificate, and whether clients need one. Files are PEM."""

    certificate: str | Path
    """The server's certificate, followed by the intermediate certificates up to its CA."""
    key: str | Path | None = None
    """The private key; by default in the certificate's file."""
    key_password: str | None = field(default=None, repr=False)
    client_ca: str | Path | None = None
    """The CAs whose signature makes a client's certificate valid."""
    client_certificates: ClientCertificates | None = None
    """Whether clients of ``ssl`` send a certificate; with a ``client_ca`` it is required by default."""

    @property
    def wanted_of_clients(self) -> ClientCertificates:
        """Whether clients of ``ssl`` send a certificate, with the default applied."""
        return self.client_certificates or ("none" if self.client_ca is None else "required")


@dataclass(frozen=True, slots=True, kw_only=True)
class Security:
    """What a server requires of its clients. The default requires nothing."""

    tls: Tls | None = None
    """For listeners with the schemes ``ssl`` and ``sasl_ssl``."""
    sasl_mechanisms: Sequence[str] | Mapping[str, Sequence[str]] = ()
    """PLAIN, SCRAM-SHA-256, SCRAM-SHA-512; by scheme, if listeners differ. The default is SCRAM alone for
        ``sasl_plaintext``, and all for ``sasl_ssl``.
    """
    session_s: float | None = None
    """The time within which clients must authenticate again (``connections.max.reauth.ms``)."""
    authorize: bool = False
    """Allow only what an access rule allows."""
    super_users: Sequence[str] = ()
    """Principals that may do anything, such as ``User:admin``."""
    allow_if_no_rule: bool = False
    """Whether all may use a resource without any rule (``allow.everyone.if.no.acl.found``)."""

    def ensure_fits(self, listeners: Sequence[Listener]) -> None:
        """Check that the settings fit the listeners.

        Raises:
            UsageError: something is missing, unknown or without effect.
        """
        for listener in listeners:
            if listener.scheme.has_tls and self.tls is None:
                raise UsageError(
                    with_facts(
                        "a listener with TLS needs the server's certificate: name it (--tls-certificate, "
                        "Tls)",
                        listen=f"{listener.scheme.value}://{listener.host}:{listener.port}",
                    )
                )
            if listener.scheme.has_sasl:
                self.sasl_settings(listener.scheme)
        for principal in self.super_users:
            if ":" not in principal:
                raise UsageError(with_facts("a super user is a principal, User:NAME", given=principal))
        if self.super_users and not self.authorize:
            raise UsageError("super users have no effect without --authorize: add it, or remove them")

    def sasl_settings(self, scheme: Scheme) -> SaslSettings:
        """Return how clients authenticate at listeners of a scheme. Raises ``UsageError``."""
        given = self.sasl_mechanisms
        if isinstance(given, Mapping):
            given = {scheme_of(name): names for name, names in given.items()}.get(scheme, ())
        names = [name.upper() for name in given] or list(_DEFAULT_MECHANISMS[scheme])
        for name in names:
            if name not in MECHANISMS:
                raise UsageError(with_facts(f"a mechanism is one of {', '.join(MECHANISMS)}", given=name))
        return SaslSettings(tuple(dict.fromkeys(names)), self.session_s)
