"""The client's side of SCRAM, written from the RFC for tests of the server's."""

from __future__ import annotations

import base64
import hashlib
import hmac


class ScramClient:
    """One authentication. The last message tells whether the server knows the password, too."""

    def __init__(
        self, hash_name: str, user: str, password: str, *, nonce: str = "client-nonce", gs2: str = "n,,"
    ) -> None:
        self._hash_name = hash_name
        self._password = password
        self._gs2 = gs2
        self._bare = f"n={user.replace('=', '=3D').replace(',', '=2C')},r={nonce}"
        self._signature = b""

    def first(self) -> bytes:
        return (self._gs2 + self._bare).encode()

    def final(self, server_first: bytes) -> bytes:
        fields = dict(part.split("=", 1) for part in server_first.decode().split(","))
        salted = hashlib.pbkdf2_hmac(
            self._hash_name, self._password.encode(), base64.b64decode(fields["s"]), int(fields["i"])
        )
        without_proof = f"c={base64.b64encode(self._gs2.encode()).decode()},r={fields['r']}"
        said = f"{self._bare},{server_first.decode()},{without_proof}".encode()
        client_key = self._hmac(salted, b"Client Key")
        stored_key = hashlib.new(self._hash_name, client_key).digest()
        proof = bytes(a ^ b for a, b in zip(client_key, self._hmac(stored_key, said), strict=True))
        self._signature = self._hmac(self._hmac(salted, b"Server Key"), said)
        return f"{without_proof},p={base64.b64encode(proof).decode()}".encode()

    def trusts(self, server_final: bytes) -> bool:
        return server_final == b"v=" + base64.b64encode(self._signature)

    def _hmac(self, key: bytes, data: bytes) -> bytes:
        return hmac.new(key, data, self._hash_name).digest()
