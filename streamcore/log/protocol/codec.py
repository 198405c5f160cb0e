"""Reads and writes messages, by functions that are compiled from their classes.

``codec_of(message, version, is_flexible)`` gives the pair for one version, compiled at first use and kept.
What it compiles to is the code that one would write by hand for that version: fields of fixed size that
stand together are one ``struct`` call, an array is one loop (``decoding``, ``encoding``).

Encodings, by Kafka's protocol guide: numbers are big-endian; a string has an int16 length, other
bytes and arrays an int32, -1 for null. In flexible versions lengths are unsigned varints of the
length plus one, 0 for null, and every structure ends with its tagged fields.

Reading trusts nothing: each length is held against what is there, so that what is allocated is
bounded by the size of the frame. Whatever does not fit is a ``MalformedMessageError``.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sized
from dataclasses import dataclass
from functools import cache
from typing import Generic, TypeVar

from streamcore.log.protocol.decoding import DecoderSource
from streamcore.log.protocol.encoding import Apart, EncoderSource
from streamcore.log.protocol.fields import Bytes, Message

M = TypeVar("M", bound=Message)


class MalformedMessageError(Exception):
    """The peer's bytes are not the message that they claim to be; its connection cannot go on."""


@dataclass(frozen=True, slots=True)
class Codec(Generic[M]):
    """Reads and writes one version of a message."""

    decode_at: Callable[[Bytes, int], tuple[M, int]]
    """Read a message at a position; return it and where it ends. May raise anything: use ``decode``."""
    encode_around: Callable[[M, Apart], bytearray]
    """Write a message, but for records that are not bytes: they are listed with their places."""

    def encode(self, message: M) -> bytearray:
        """Write a message."""
        apart: Apart = []
        encoded = self.encode_around(message, apart)
        assert not apart, "records that are sent apart need encode_parts"
        return encoded

    def encode_parts(self, message: M) -> list[Bytes | Sized]:
        """Write a message as what is to be sent one after the other: bytes, and records that are not."""
        apart: Apart = []
        encoded = self.encode_around(message, apart)
        if not apart:
            return [encoded]
        view = memoryview(encoded)
        parts: list[Bytes | Sized] = []
        start = 0
        for place, records in apart:
            parts += (view[start:place], records)
            start = place
        if start < len(encoded):
            parts.append(view[start:])
        return parts

    def decode(self, data: Bytes, position: int = 0, *, may_have_rest: bool = False) -> M:
        """Read the message that begins at ``position`` and ends with ``data``.

        Records in it are views of ``data``; everything else is copied.

        Args:
            may_have_rest: bytes after the message are no error. Kafka's broker ignores them, and
                librdkafka's Metadata requests for all topics have some (seen with 2.12).

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
    """The codec of one version of a message."""
    decode = DecoderSource(version, is_flexible).compiled(message)
    encode = EncoderSource(version, is_flexible).compiled(message)
    return Codec(decode, encode)
