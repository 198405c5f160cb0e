"""Encoding and decoding of messages, by functions compiled from the message classes.

``codec_of(message, version, is_flexible)`` returns the codec of one version; it is compiled at first use and
kept. The compiled code is what one would write by hand for that version: adjacent fields of fixed size are
one ``struct`` call, an array is one loop (``decoding``, ``encoding``).

Encodings, by Kafka's protocol guide: numbers are big-endian; a string has an int16 length, other bytes and
arrays an int32 length, -1 for null. In flexible versions (KIP-482) lengths are unsigned varints of the length
plus one, 0 for null, and every structure ends with its tagged fields.

Decoding checks every length against the available bytes, so the size of the frame bounds the allocated
memory. Bytes that do not fit raise ``MalformedMessageError``.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sized
from functools import cache
from typing import Generic, TypeVar

from msgspec import Struct

from streamcore.log.protocol.decoding import DecoderSource
from streamcore.log.protocol.encoding import Apart, EncoderSource
from streamcore.log.protocol.fields import Bytes, Message

M = TypeVar("M", bound=Message)


class MalformedMessageError(Exception):
    """The peer's bytes are not the expected message; the connection must be closed."""


class Codec(Struct, Generic[M], frozen=True):
    """Encodes and decodes one version of a message."""

    decode_at: Callable[[Bytes, int], tuple[M, int]]
    """Decode a message at a byte position; return the message and its end. May raise any error: use
    ``decode``.
    """
    encode_around: Callable[[M, Apart], bytearray]
    """Encode a message without its records that are not bytes; list these with their byte positions in the
    output.
    """

    def encode(self, message: M) -> bytearray:
        """Encode a message."""
        apart: Apart = []
        encoded = self.encode_around(message, apart)
        assert not apart, "records that are sent apart need encode_parts"
        return encoded

    def encode_parts(self, message: M) -> list[Bytes | Sized]:
        """Encode a message as parts to send one after the other: bytes, and records that are not bytes."""
        apart: Apart = []
        encoded = self.encode_around(message, apart)
        if not apart:
            return [encoded]
        view = memoryview(encoded)
        parts: list[Bytes | Sized] = []
        start = 0
        for position, records in apart:
            parts += (view[start:position], records)
            start = position
        if start < len(encoded):
            parts.append(view[start:])
        return parts

    def decode(self, data: Bytes, position: int = 0, *, may_have_rest: bool = False) -> M:
        """Decode the message that begins at byte ``position`` and ends at the end of ``data``.

        Records in the message are views of ``data``; all other values are copied.

        Args:
            may_have_rest: accept bytes after the message. Kafka's broker ignores them, and librdkafka's
            Metadata requests for all topics have some (seen with 2.12).

        Raises:
            MalformedMessageError: the bytes do not fit the message.
        """
        try:
            message, end = self.decode_at(data, position)
        except (struct.error, IndexError, UnicodeDecodeError, ValueError, OverflowError) as error:
            raise MalformedMessageError(str(error)) from error
        if end != len(data) and not may_have_rest:
            raise MalformedMessageError(f"{len(data) - end} bytes are left over")
        return message


@cache
def codec_of(message: type[M], version: int, is_flexible: bool) -> Codec[M]:
    """Return the codec of one version of a message."""
    decode = DecoderSource(version, is_flexible).compiled(message)
    encode = EncoderSource(version, is_flexible).compiled(message)
    return Codec(decode, encode)
