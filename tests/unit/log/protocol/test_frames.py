"""Frames do not depend on how their bytes were cut, and take no more memory than the received bytes need."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamcore.log.protocol.codec import MalformedMessageError
from streamcore.log.protocol.frames import FrameReceiver

SCRATCH_BYTES = 64
LIMIT_BYTES = 10_000_000


def receiver(limit_bytes: int = LIMIT_BYTES) -> FrameReceiver:
    return FrameReceiver(bytearray(SCRATCH_BYTES), frame_bytes_max=limit_bytes)


def feed(frames: FrameReceiver, data: bytes, sizes: list[int]) -> list[bytes]:
    """Pass bytes as a socket would: as many as fit, or as many as the next size says."""
    found: list[bytes] = []
    position = 0
    index = 0
    while position < len(data):
        room = frames.buffer()
        size = min(len(room), len(data) - position, sizes[index % len(sizes)])
        room[:size] = data[position : position + size]
        found += map(bytes, frames.received(size))
        position += size
        index += 1
    return found


@given(
    bodies=st.lists(st.binary(min_size=8, max_size=300), max_size=8),
    sizes=st.lists(st.integers(1, 100), min_size=1, max_size=10),
)
def test_frames_do_not_depend_on_how_the_bytes_were_cut(bodies: list[bytes], sizes: list[int]) -> None:
    data = b"".join(struct.pack(">i", len(body)) + body for body in bodies)
    frames = receiver()

    found = feed(frames, data, sizes)

    assert found == bodies
    assert not frames.is_inside
    assert frames.held_bytes == 0


def test_a_large_frame_is_received_into_memory_that_grows_with_it() -> None:
    body = bytes(range(256)) * 25_000
    data = struct.pack(">i", len(body)) + body
    frames = receiver()

    held: list[int] = []
    position = 0
    found: list[bytearray] = []
    while position < len(data):
        room = frames.buffer()
        size = min(len(room), len(data) - position, 500_000)
        room[:size] = data[position : position + size]
        found += frames.received(size)
        position += size
        held.append(frames.held_bytes)

    assert found == [body]
    assert max(held[:4]) <= 2 * 1024 * 1024
    assert max(held) <= len(body)


def test_a_length_without_data_allocates_almost_no_memory() -> None:
    frames = receiver(100 * 1024 * 1024)

    feed(frames, struct.pack(">i", 100 * 1024 * 1024), [4])
    feed(frames, b"x", [1])

    assert frames.is_inside
    assert frames.held_bytes <= 2 * 1024 * 1024


@pytest.mark.parametrize("length", [-1, 0, 7, LIMIT_BYTES + 1, 2**31 - 1, -(2**31)])
def test_an_impossible_length_is_refused(length: int) -> None:
    with pytest.raises(MalformedMessageError, match="a frame may not have"):
        feed(receiver(), struct.pack(">i", length) + b"12345678", [100])
