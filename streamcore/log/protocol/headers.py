"""The headers of requests and responses.

Request  := api key int16 | version int16 | correlation id int32 | client id string? | tagged fields
Response := correlation id int32 | tagged fields

The tagged fields are there in flexible versions. The client id has an int16 length in all versions. The
header of an ApiVersions response has no tagged fields in any version, because its reader does not know the
version yet.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from streamcore.log.protocol.apis import API_VERSIONS, Api
from streamcore.log.protocol.codec import MalformedMessageError
from streamcore.log.protocol.fields import ELEMENTS_MAX, Bytes

_REQUEST: Final = struct.Struct(">hhih")
_RESPONSE: Final = struct.Struct(">ii")
_FRAME_LENGTH_BYTES: Final = 4


class RequestHeader(NamedTuple):
    """The API, version and client of a request, and the byte position of the request in its frame."""

    key: int
    version: int
    correlation_id: int
    client_id: str | None
    client_id_end: int


def parse_header(frame: Bytes) -> RequestHeader:
    """Decode the header of a frame, up to the tagged fields.

    Raises:
        MalformedMessageError: the frame is shorter than its header.
    """
    try:
        key, version, correlation_id, length = _REQUEST.unpack_from(frame)
        end = _REQUEST.size + max(0, length)
        if length < -1 or end > len(frame):
            raise MalformedMessageError("a client id is cut off")
        client_id = None if length < 0 else str(frame[_REQUEST.size : end], "utf-8")
    except (struct.error, UnicodeDecodeError) as error:
        raise MalformedMessageError(str(error)) from error
    return RequestHeader(key, version, correlation_id, client_id, end)


def body_start(frame: Bytes, header: RequestHeader, api: Api) -> int:
    """Return the byte position of the request: after the header's tagged fields, which are ignored.

    Raises:
        MalformedMessageError: the tagged fields are cut off.
    """
    position = header.client_id_end
    if not api.is_flexible(header.version):
        return position
    try:
        count, position = _varint(frame, position)
        if count > ELEMENTS_MAX:
            raise MalformedMessageError("a header has too many tagged fields")
        for _ in range(count):
            _, position = _varint(frame, position)
            size, position = _varint(frame, position)
            position += size
    except IndexError as error:
        raise MalformedMessageError("a header is cut off") from error
    if position > len(frame):
        raise MalformedMessageError("a header's tagged field is cut off")
    return position


def response_start(api: Api, version: int, correlation_id: int, body_bytes: int) -> bytes:
    """Return the frame's length field and the header, for a response of so many bytes."""
    is_tagged = api.is_flexible(version) and api is not API_VERSIONS
    size = _RESPONSE.size - _FRAME_LENGTH_BYTES + is_tagged + body_bytes
    start = _RESPONSE.pack(size, correlation_id)
    return start + b"\x00" if is_tagged else start


def _varint(frame: Bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        part = frame[position]
        position += 1
        value |= (part & 0x7F) << shift
        if part < 0x80:
            return value, position
        shift += 7
        if shift > 28:
            raise MalformedMessageError("a varint is too large")
