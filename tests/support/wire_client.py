"""A client that asks raw requests, of any API in any version, and waits for each answer.

It encodes and decodes with the project's own message tables, which other tests hold against other
implementations, so what it is told can be compared field by field.
"""

from __future__ import annotations

import socket
import ssl
import struct
from importlib import import_module
from types import TracebackType
from typing import Any, Self

from streamcore.log.protocol.apis import API_VERSIONS, APIS, Api
from streamcore.log.protocol.encoding import encode_varint
from streamcore.log.protocol.fields import Message

TIMEOUT_S = 20.0
BY_NAME = {api.name: api for api in APIS.values()}


def message(api_name: str, name: str) -> type[Message]:
    """A class of an API's messages, by its name."""
    found = getattr(import_module(BY_NAME[api_name].module), name)
    assert isinstance(found, type)
    assert issubclass(found, Message)
    return found


class WireClient:
    """One connection."""

    def __init__(
        self, host: str, port: int, *, client_id: str | None = "test", tls: ssl.SSLContext | None = None
    ) -> None:
        """``tls`` encrypts it; the server's certificate is then that of ``localhost``."""
        self.socket = socket.create_connection((host, port), timeout=TIMEOUT_S)
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_hostname="localhost")
        self._client_id = client_id
        self._correlation_id = 0

    def ask(self, request: Message, version: int) -> Any:
        """Send a request and return its response."""
        api = self.send(request, version)
        return self.receive(api, version)

    def send(self, request: Message, version: int) -> Api:
        """Send a request; ``receive`` the answers in this order."""
        api = BY_NAME[type(request).__name__.removesuffix("Request")]
        self._correlation_id += 1
        name = None if self._client_id is None else self._client_id.encode()
        header = struct.pack(">hhi", api.key, version, self._correlation_id)
        header += struct.pack(">h", -1) if name is None else struct.pack(">h", len(name)) + name
        if api.is_flexible(version):
            header += encode_varint(0)
        frame = header + api.request_codec(version).encode(request)
        self.send_frame(frame)
        return api

    def receive(self, api: Api, version: int) -> Any:
        """The next answer."""
        frame = self.receive_frame()
        start = 4
        if api.is_flexible(version) and api is not API_VERSIONS:
            assert frame[4] == 0
            start = 5
        return api.response_codec(version).decode(frame, start)

    def receive_frame(self) -> bytes:
        """The bytes of the next answer, without their length. Raises ``ConnectionError`` at the end."""
        (size,) = struct.unpack(">i", self._receive(4))
        return self._receive(size)

    def _receive(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            more = self.socket.recv(size - len(data))
            if not more:
                raise ConnectionError("the server closed the connection")
            data += more
        return bytes(data)

    def send_frame(self, frame: bytes) -> None:
        """Send bytes with their length before them."""
        self.socket.sendall(struct.pack(">i", len(frame)) + frame)

    def peer_certificate(self) -> bytes | None:
        """The certificate of the server; the connection has to be encrypted."""
        assert isinstance(self.socket, ssl.SSLSocket)
        return self.socket.getpeercert(binary_form=True)

    def is_closed_by_peer(self) -> bool:
        """Whether the server ends the connection without another byte."""
        try:
            return self.socket.recv(1) == b""
        except ConnectionError:
            return True

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
