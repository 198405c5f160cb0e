"""Separation of a connection's bytes into frames: a length of four bytes, then as many bytes.

The receiver provides the memory into which the next bytes are read, so that a large frame is received into
its final memory: its records are passed on as views and never copied.

Bytes of small frames go through ``scratch``, which all connections of a server share, because each connection
uses it only during one call. Only an unfinished frame has separate memory. A large frame gets its memory in
steps, so that a large length without data costs no memory.
"""

from __future__ import annotations

import struct
from typing import Final

from streamcore.log.protocol.codec import MalformedMessageError

_LENGTH: Final = struct.Struct(">i")
_STEP_BYTES: Final = 2 * 1024 * 1024
FRAME_BYTES_MIN: Final = 8
"""The minimum size of a request in bytes: key, version and correlation id."""


class FrameReceiver:
    """Collects bytes in pieces of any size and returns complete frames, without their lengths."""

    def __init__(
        self, scratch: bytearray, *, frame_bytes_max: int, frame_bytes_min: int = FRAME_BYTES_MIN
    ) -> None:
        self._scratch = memoryview(scratch)
        self.frame_bytes_max = frame_bytes_max
        self.frame_bytes_min = frame_bytes_min
        self._start = b""
        self._frame: bytearray | None = None
        self._frame_bytes = 0
        self._received_bytes = 0

    @property
    def held_bytes(self) -> int:
        """The size in bytes of the memory of the unfinished frame."""
        return len(self._frame) if self._frame is not None else len(self._start)

    @property
    def is_inside(self) -> bool:
        """Whether a frame has begun and is not complete."""
        return self._frame is not None or bool(self._start)

    def buffer(self) -> memoryview:
        """Return the memory for the next bytes; it is valid until ``received`` is called."""
        if self._frame is None:
            return self._scratch
        if self._received_bytes == len(self._frame):
            # A new buffer, because the old one may still be in use and then has a fixed size.
            larger = bytearray(min(2 * len(self._frame), self._frame_bytes))
            larger[: self._received_bytes] = self._frame
            self._frame = larger
        return memoryview(self._frame)[self._received_bytes :]

    def received(self, count: int) -> list[bytearray]:
        """Take ``count`` bytes that were written to ``buffer``; return the completed frames, in order.

        Raises:
            MalformedMessageError: a length is too small, or above the limit. The frames after it cannot be
                separated any more.
        """
        if self._frame is not None:
            self._received_bytes += count
            if self._received_bytes < self._frame_bytes:
                return []
            frame, self._frame = self._frame, None
            return [frame]
        if not self._start and count > _LENGTH.size:
            # The usual case is one whole frame.
            (length,) = _LENGTH.unpack_from(self._scratch)
            if length == count - _LENGTH.size and self.frame_bytes_min <= length <= self.frame_bytes_max:
                return [bytearray(self._scratch[_LENGTH.size : count])]
        return self._cut(self._start + bytes(self._scratch[:count]) if self._start else self._scratch[:count])

    def drop(self) -> None:
        """Release the memory of an unfinished frame whose rest will not arrive."""
        self._start, self._frame = b"", None

    def _cut(self, data: bytes | memoryview) -> list[bytearray]:
        frames: list[bytearray] = []
        position, size = 0, len(data)
        while size - position >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(data, position)
            if not self.frame_bytes_min <= length <= self.frame_bytes_max:
                raise MalformedMessageError(f"a frame may not have {length} bytes")
            position += _LENGTH.size
            end = position + length
            if end > size:
                self._begin(data[position:], length)
                self._start = b""
                return frames
            frames.append(bytearray(data[position:end]))
            position = end
        self._start = bytes(data[position:])
        return frames

    def _begin(self, data: bytes | memoryview, length: int) -> None:
        self._frame = bytearray(min(length, max(_STEP_BYTES, 2 * len(data))))
        self._frame[: len(data)] = data
        self._frame_bytes, self._received_bytes = length, len(data)
