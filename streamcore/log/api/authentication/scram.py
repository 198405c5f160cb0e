"""The server's side of SCRAM (RFC 5802, RFC 7677) as Kafka's clients use it.

client first := gs2 header | "n=" user ",r=" client nonce extension*
gs2 header   := ("n" | "y") "," ["a=" user] ","
server first := "r=" client nonce, server nonce ",s=" salt ",i=" iterations
client final := "c=" gs2 header ",r=" both nonces extension* ",p=" proof
server final := "v=" signature

In user names "," is written "=2C" and "=" is written "=3D". Channel binding is not offered: a client may send
that it does not support it ("n") or that it would ("y"), not that it uses it. Extensions are ignored, except
one that must be understood ("m=") and Kafka's delegation tokens ("tokenauth"), which do not exist here.

A user that does not exist also gets a credential, which fits no proof: all messages look as they do for an
existing user.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Callable
from typing import Final

from streamcore.log.api.authentication.sasl_steps import Accepted, AuthenticationFailed, Challenge, malformed
from streamcore.log.broker.access.scram_credentials import ScramCredential, ScramMechanism

_NAME: Final = r"(?:[^\x00,=]|=2C|=3D)+"
_NONCE: Final = r"[\x21-\x2b\x2d-\x7e]+"
_EXTENSIONS: Final = r"(?:,[A-Za-z]+=[^\x00,]*)*"
_BASE64: Final = r"[A-Za-z0-9+/]*={0,2}"
_CLIENT_FIRST: Final = re.compile(
    rf"(?P<gs2>[ny],(?:a=(?P<authzid>{_NAME}))?,)"
    rf"(?P<bare>n=(?P<user>{_NAME}),r=(?P<nonce>{_NONCE})(?P<extensions>{_EXTENSIONS}))"
)
_CLIENT_FINAL: Final = re.compile(
    rf"(?P<without_proof>c=(?P<gs2>{_BASE64}),r=(?P<nonce>{_NONCE}){_EXTENSIONS}),p=(?P<proof>{_BASE64})"
)
_TOKEN_AUTHENTICATION: Final = ",tokenauth="
_NONCE_CHARACTERS_MAX: Final = 1_024

CredentialOf = Callable[[str, ScramMechanism], ScramCredential]


class ScramExchange:
    """One authentication: two messages are received, and two are sent."""

    def __init__(self, mechanism: ScramMechanism, credential_of: CredentialOf, server_nonce: str) -> None:
        """``credential_of`` returns one for every name; ``server_nonce`` was never used before."""
        self._mechanism = mechanism
        self._credential_of = credential_of
        self._server_nonce = server_nonce
        self._credential: ScramCredential | None = None
        self.user = ""
        """The user name that the client has sent."""
        self._gs2_header = ""
        self._nonce = ""
        self._first_messages = ""

    def receive(self, token: bytes) -> Challenge | Accepted:
        """Handle the client's next message.

        Raises:
            AuthenticationFailed: the message is malformed, or the proof is wrong.
        """
        try:
            message = token.decode()
        except UnicodeDecodeError:
            raise malformed(self._mechanism.value) from None
        if self._credential is None:
            return self._challenge(message)
        return self._verified(message, self._credential)

    def _challenge(self, message: str) -> Challenge:
        match = _CLIENT_FIRST.fullmatch(message)
        if match is None or len(match["nonce"]) > _NONCE_CHARACTERS_MAX:
            raise malformed(self._mechanism.value)
        if _TOKEN_AUTHENTICATION in match["extensions"]:
            raise AuthenticationFailed("delegation tokens are not known here: log in with a password")
        self.user = _name(match["user"])
        if match["authzid"] is not None and _name(match["authzid"]) != self.user:
            raise AuthenticationFailed()
        self._credential = self._credential_of(self.user, self._mechanism)
        self._gs2_header = match["gs2"]
        self._nonce = match["nonce"] + self._server_nonce
        salt = base64.b64encode(self._credential.salt).decode()
        server_first = f"r={self._nonce},s={salt},i={self._credential.iterations}"
        self._first_messages = f"{match['bare']},{server_first}"
        return Challenge(server_first.encode())

    def _verified(self, message: str, credential: ScramCredential) -> Accepted:
        match = _CLIENT_FINAL.fullmatch(message)
        if match is None:
            raise malformed(self._mechanism.value)
        proof = _decoded(match["proof"])
        if (
            match["nonce"] != self._nonce
            or _decoded(match["gs2"]) != self._gs2_header.encode()
            or len(proof) != self._mechanism.hash_bytes
        ):
            raise AuthenticationFailed()
        said = f"{self._first_messages},{match['without_proof']}".encode()
        signature = self._mechanism.hmac(credential.stored_key, said)
        client_key = bytes(one ^ other for one, other in zip(proof, signature, strict=True))
        if not hmac.compare_digest(self._mechanism.hash(client_key), credential.stored_key):
            raise AuthenticationFailed()
        server_signature = self._mechanism.hmac(credential.server_key, said)
        return Accepted(self.user, b"v=" + base64.b64encode(server_signature))


def _name(quoted: str) -> str:
    return quoted.replace("=2C", ",").replace("=3D", "=")


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return b""
