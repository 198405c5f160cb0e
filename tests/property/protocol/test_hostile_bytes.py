"""Bytes that no honest peer sends: they are a message, or malformed, and never cost more than their size.

``FUZZ_CASES=1000000`` tries more of them, ``FUZZ_SEED=7`` others.
"""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Iterator
from itertools import cycle, islice
from random import Random

import pytest

from streamcore.log.protocol.codec import MalformedMessageError
from streamcore.log.protocol.fields import Message
from streamcore.log.protocol.layouts import layout_of
from tests.property.protocol.damages import DAMAGES
from tests.property.protocol.random_messages import bare, full, nothing
from tests.property.protocol.served_messages import SERVED, ServedMessage

CASES = int(os.environ.get("FUZZ_CASES", "4000"))
SEED = int(os.environ.get("FUZZ_SEED", "2013"))

MEMORY_FACTOR = 64
"""How many times the size of a message may be held when it has been read: an empty element takes two bytes
of the message, and as an object with a list in it more than a hundred."""
MEMORY_OF_ITS_OWN = 4096


def hostile_bytes(count: int, seed: int) -> Iterator[tuple[ServedMessage, bytes]]:
    """For one message after the other: random bytes, it damaged, or another one."""
    random = Random(seed)
    encodings = [bytes(served.codec.encode(full(served.type, served.version))) for served in SERVED]
    for index in islice(cycle(range(len(SERVED))), count):
        served, data = SERVED[index], bytearray(encodings[index])
        choice = random.random()
        if choice < 0.1:
            data = bytearray(random.randbytes(random.randint(0, 100)))
        elif choice < 0.15:
            data = bytearray(random.choice(encodings))
        elif data:
            for _ in range(random.choice((1, 1, 1, 2, 3))):
                random.choice(DAMAGES)(data, random)
                data = data or bytearray(1)
        yield served, bytes(data)


def test_hostile_bytes_are_a_message_or_malformed() -> None:
    read_count = 0
    for index, (served, data) in enumerate(hostile_bytes(CASES, SEED)):
        try:
            message = served.codec.decode(memoryview(data) if index % 2 else data)
        except MalformedMessageError:
            continue
        except BaseException as error:
            error.add_note(f"reading {served} from {data.hex()}")
            raise
        read_count += 1
        written = bytes(served.codec.encode(message))
        # Compared as bytes, since a number that is none is not equal to itself.
        assert served.codec.encode(served.codec.decode(written)) == written, f"{served} from {data.hex()}"

    assert 0 < read_count < CASES


def test_reading_hostile_bytes_takes_no_more_memory_than_their_size_allows() -> None:
    for served, data in hostile_bytes(3 * len(SERVED), SEED + 1):
        assert held_bytes(served, data) < MEMORY_FACTOR * len(data) + MEMORY_OF_ITS_OWN, f"{served}"


@pytest.mark.slow
@pytest.mark.parametrize("served", [served for served in SERVED if served.is_request], ids=str)
def test_a_request_made_to_be_large_in_memory_stays_within_the_same_bound(served: ServedMessage) -> None:
    for message in with_one_long_array(served.type, served.version, element_count=400):
        data = bytes(served.codec.encode(message))

        assert held_bytes(served, data) < MEMORY_FACTOR * len(data) + MEMORY_OF_ITS_OWN


def with_one_long_array(message: type[Message], version: int, *, element_count: int) -> Iterator[Message]:
    """For each array in a message, a message that is empty but for many empty elements of this one."""
    for field in layout_of(message, version):
        if field.kind.is_array:
            yield changed(message, version, field.name, [nothing(field.kind, version)] * element_count)
        if field.kind.structure is not None:
            for inner in with_one_long_array(field.kind.structure, version, element_count=element_count):
                value = [inner] if field.kind.is_array else inner
                yield changed(message, version, field.name, value)


def changed(message: type[Message], version: int, name: str, value: object) -> Message:
    made = bare(message, version)
    setattr(made, name, value)
    return made


def held_bytes(served: ServedMessage, data: bytes) -> int:
    """The most memory that reading held at once, above what was there before."""
    codec = served.codec
    tracemalloc.start()
    try:
        codec.decode(data)
    except MalformedMessageError:
        pass
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    return peak
