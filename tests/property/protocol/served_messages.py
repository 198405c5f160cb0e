"""Every message that we serve: each request and each response of each API, in each version."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from streamcore.log.protocol.apis import APIS, Api
from streamcore.log.protocol.codec import Codec, codec_of
from streamcore.log.protocol.fields import Message


@dataclass(frozen=True, slots=True)
class ServedMessage:
    """A request or a response in one version."""

    api: Api
    is_request: bool
    version: int

    @property
    def type(self) -> type[Message]:
        """The class of the message."""
        return self.api.request_type if self.is_request else self.api.response_type

    @property
    def codec(self) -> Codec[Message]:
        """What is under test."""
        return codec_of(self.type, self.version, self.api.is_flexible(self.version))

    def __str__(self) -> str:
        """Its name in a report."""
        return f"{self.type.__name__}-{self.version}"


SERVED: Final = tuple(
    ServedMessage(api, is_request, version)
    for api in APIS.values()
    for is_request in (True, False)
    for version in range(api.version_min, api.version_max + 1)
)
