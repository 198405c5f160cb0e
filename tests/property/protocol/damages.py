"""What may be wrong with the bytes of a message: bits, lengths, too much or too little."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

LENGTHS = (
    *(number.to_bytes(4, "big", signed=True) for number in (-1, -2, -(2**31), 2**31 - 1, 2**24, 300)),
    *(number.to_bytes(2, "big", signed=True) for number in (-1, -2, -(2**15), 2**15 - 1, 300)),
    b"\x00",
    b"\x01",
    b"\x7f",
    b"\xff\x7f",
    b"\xff\xff\xff\xff\x07",
    b"\xff\xff\xff\xff\x0f",
    b"\xff\xff\xff\xff\xff\xff\x01",
    b"\x80\x80\x80\x80\x00",
)

Damage = Callable[[bytearray, Random], None]


def cut_off(data: bytearray, random: Random) -> None:
    del data[random.randrange(len(data)) :]


def flip_bits(data: bytearray, random: Random) -> None:
    for _ in range(random.randint(1, 4)):
        data[random.randrange(len(data))] ^= 1 << random.randrange(8)


def write_a_length(data: bytearray, random: Random) -> None:
    length, position = random.choice(LENGTHS), random.randrange(len(data))
    data[position : position + len(length)] = length


def put_bytes_in(data: bytearray, random: Random) -> None:
    position = random.randrange(len(data))
    data[position:position] = random.randbytes(random.randint(1, 8))


def take_bytes_out(data: bytearray, random: Random) -> None:
    position = random.randrange(len(data))
    del data[position : position + random.randint(1, 8)]


def replace_the_rest(data: bytearray, random: Random) -> None:
    position = random.randrange(len(data))
    data[position:] = random.randbytes(random.randint(0, 64))


DAMAGES: tuple[Damage, ...] = (
    cut_off,
    flip_bits,
    write_a_length,
    put_bytes_in,
    take_bytes_out,
    replace_the_rest,
)
