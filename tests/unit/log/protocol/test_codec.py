"""The codec: the encoding of each kind of field in plain and in flexible versions, and its decoding."""

from __future__ import annotations

import pytest

from streamcore.log.protocol.codec import codec_of
from streamcore.log.protocol.encoding import encode_varint
from streamcore.log.protocol.fields import Message
from streamcore.log.protocol.layouts import layout_of
from tests.support.sample_messages import (
    FLEXIBLE,
    PLAIN,
    Aged,
    Everything,
    NullableBlob,
    NullableNumbers,
    NullablePart,
    NullableParts,
    NullableRecords,
    NullableText,
    Part,
    Sent,
    Tagged,
    Text,
    read,
    sample_codec,
    written,
)

UUID = bytes(range(16))
BOTH = pytest.mark.parametrize("version", [PLAIN, FLEXIBLE], ids=["plain", "flexible"])

EVERYTHING = Everything(
    truth=True,
    small=-2,
    port=65_535,
    number=-3,
    large=2**40,
    share=1.5,
    text="né",
    nullable_text=None,
    blob=b"\x00\xff",
    nullable_blob=None,
    records=b"batch",
    uuid=UUID,
    numbers=[1, -1],
    texts=["a", ""],
    uuids=[UUID],
    parts=[Part(number=1, text="x"), Part(number=2, text="y")],
    part=Part(number=3, text="z"),
    nullable_part=None,
)
ITS_NUMBERS = bytes.fromhex("01 fe ffff fffffffd 0000010000000000 3ff8000000000000")


class Records:
    """Records that are not bytes: only their length is known."""

    def __init__(self, size: int) -> None:
        self._size = size

    def __len__(self) -> int:
        return self._size


def test_in_plain_versions_lengths_have_a_fixed_size() -> None:
    data = ITS_NUMBERS + b"".join(
        [
            b"\x00\x03n\xc3\xa9",
            b"\xff\xff",
            b"\x00\x00\x00\x02\x00\xff",
            b"\xff\xff\xff\xff",
            b"\x00\x00\x00\x05batch",
            UUID,
            b"\x00\x00\x00\x02\x00\x00\x00\x01\xff\xff\xff\xff",
            b"\x00\x00\x00\x02\x00\x01a\x00\x00",
            b"\x00\x00\x00\x01" + UUID,
            b"\x00\x00\x00\x02\x00\x01\x00\x01x\x00\x02\x00\x01y",
            b"\x00\x03\x00\x01z",
            b"\xff",
        ]
    )

    assert written(EVERYTHING, PLAIN) == data
    assert read(Everything, PLAIN, data) == EVERYTHING


def test_in_flexible_versions_lengths_are_varints_and_structures_end_with_their_tags() -> None:
    data = ITS_NUMBERS + b"".join(
        [
            b"\x04n\xc3\xa9",
            b"\x00",
            b"\x03\x00\xff",
            b"\x00",
            b"\x06batch",
            UUID,
            b"\x03\x00\x00\x00\x01\xff\xff\xff\xff",
            b"\x03\x02a\x01",
            b"\x02" + UUID,
            b"\x03\x00\x01\x02x\x00\x00\x02\x02y\x00",
            b"\x00\x03\x02z\x00",
            b"\xff",
            b"\x00",
        ]
    )

    assert written(EVERYTHING, FLEXIBLE) == data
    assert read(Everything, FLEXIBLE, data) == EVERYTHING


@pytest.mark.parametrize(
    ("message", "plain", "flexible"),
    [
        (NullableText(value=None), b"\xff\xff", b"\x00\x00"),
        (NullableBlob(value=None), b"\xff\xff\xff\xff", b"\x00\x00"),
        (NullableRecords(value=None), b"\xff\xff\xff\xff", b"\x00\x00"),
        (NullableNumbers(value=None), b"\xff\xff\xff\xff", b"\x00\x00"),
        (NullableParts(value=None), b"\xff\xff\xff\xff", b"\x00\x00"),
        (NullablePart(value=None), b"\xff", b"\xff\x00"),
        (NullableText(value=""), b"\x00\x00", b"\x01\x00"),
        (NullableBlob(value=b""), b"\x00\x00\x00\x00", b"\x01\x00"),
        (NullableNumbers(value=[]), b"\x00\x00\x00\x00", b"\x01\x00"),
        (NullableParts(value=[]), b"\x00\x00\x00\x00", b"\x01\x00"),
        (NullablePart(value=Part()), b"\x01\x00\x07\x00\x00", b"\x01\x00\x07\x01\x00\x00"),
    ],
    ids=repr,
)
def test_null_is_not_empty(message: Message, plain: bytes, flexible: bytes) -> None:
    assert written(message, PLAIN) == plain
    assert written(message, FLEXIBLE) == flexible
    assert read(type(message), PLAIN, plain) == message
    assert read(type(message), FLEXIBLE, flexible) == message


def test_reading_a_version_gives_missing_fields_their_defaults() -> None:
    message = Aged(added=1, kept=2, dropped=3, name="n")

    assert written(message, PLAIN) == b"\x00\x00\x00\x02\x00\x00\x00\x03\x00\x01n"
    assert written(message, FLEXIBLE) == b"\x00\x00\x00\x01\x00\x00\x00\x02\x02n\x00"
    assert read(Aged, PLAIN, written(message, PLAIN)) == Aged(kept=2, dropped=3, name="n")
    assert read(Aged, FLEXIBLE, written(message, FLEXIBLE)) == Aged(added=1, kept=2, name="n")


def test_a_field_may_be_null_from_the_version_on_that_says_so() -> None:
    assert [field.is_nullable for field in layout_of(Aged, PLAIN)] == [False, False, False]
    assert [field.is_nullable for field in layout_of(Aged, FLEXIBLE)] == [False, False, True]
    assert read(Aged, FLEXIBLE, bytes(8) + b"\x00\x00") == Aged(added=0, kept=0, name=None)


@BOTH
def test_a_message_is_read_from_views_and_from_a_position_within(version: int) -> None:
    data = b"header" + written(EVERYTHING, version)

    for form in (data, bytearray(data), memoryview(data)):
        assert sample_codec(Everything, version).decode(form, 6) == EVERYTHING


@BOTH
def test_reading_at_a_position_returns_where_the_message_ends(version: int) -> None:
    data = b"header" + written(EVERYTHING, version) + b"rest"

    message, end = sample_codec(Everything, version).decode_at(data, 6)

    assert message == EVERYTHING
    assert data[end:] == b"rest"


@BOTH
def test_records_are_views_of_the_frame_and_nothing_else_is(version: int) -> None:
    frame = bytearray(written(EVERYTHING, version))

    message = read(Everything, version, memoryview(frame))

    assert isinstance(message, Everything)
    assert isinstance(message.records, memoryview)
    assert message.records.obj is frame
    assert type(message.blob) is bytes
    assert type(message.uuid) is bytes
    assert [type(each) for each in message.uuids] == [bytes]


@BOTH
def test_records_that_are_not_bytes_are_listed_with_their_positions(version: int) -> None:
    message = Sent(topic="t", first=Records(300), error=257, second=Records(0))
    inline = Sent(topic="t", first=b"r" * 300, error=257, second=b"")

    parts = sample_codec(Sent, version).encode_parts(message)

    assert [part for part in parts if isinstance(part, Records)] == [message.first, message.second]
    sent = b"".join(part if isinstance(part, bytes | memoryview) else b"r" * len(part) for part in parts)
    assert sent == written(inline, version)


@BOTH
def test_records_that_are_bytes_stay_in_the_message(version: int) -> None:
    message = Sent(topic="t", first=memoryview(b"first"), second=bytearray(b"second"))

    (part,) = sample_codec(Sent, version).encode_parts(message)

    assert isinstance(part, bytearray)
    assert read(Sent, version, part) == message


def test_tagged_fields_are_written_by_number_and_only_if_they_differ_from_the_default() -> None:
    some = Tagged(number=1, name="n", counts=[5], part=Part(number=9, text=""))

    assert written(Tagged(number=1), FLEXIBLE) == b"\x01\x00"
    assert written(some, FLEXIBLE) == (
        b"\x01\x03" + b"\x00\x02\x02n" + b"\x01\x05\x02\x00\x00\x00\x05" + b"\xc8\x01\x04\x00\x09\x01\x00"
    )
    assert read(Tagged, FLEXIBLE, written(some, FLEXIBLE)) == some


def test_tagged_fields_do_not_exist_before_flexible_versions() -> None:
    assert written(Tagged(number=1, name="n"), PLAIN) == b"\x01"
    assert read(Tagged, PLAIN, b"\x01") == Tagged(number=1)


@BOTH
def test_two_messages_do_not_share_the_default_of_a_missing_field(version: int) -> None:
    data = written(Tagged(), version)
    first = read(Tagged, version, data)
    assert isinstance(first, Tagged)

    first.counts.append(1)
    first.part.number = 2

    assert read(Tagged, version, data) == Tagged()
    assert written(Tagged(), version) == data


@pytest.mark.parametrize("length", [0, 126, 127, 128, 16_382, 16_383, 32_767])
@BOTH
def test_a_text_of_any_length_that_kafka_allows_is_written(length: int, version: int) -> None:
    message = Text(value="x" * length)

    assert read(Text, version, written(message, version)) == message


@BOTH
def test_a_longer_text_is_not_written(version: int) -> None:
    with pytest.raises(ValueError, match="value has more than 32,767 bytes"):
        written(Text(value="é" * 16_384), version)


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        (0, b"\x00"),
        (127, b"\x7f"),
        (128, b"\x80\x01"),
        (300, b"\xac\x02"),
        (16_383, b"\xff\x7f"),
        (16_384, b"\x80\x80\x01"),
        (2**31 - 1, b"\xff\xff\xff\xff\x07"),
    ],
)
def test_a_varint_has_seven_bits_a_byte_and_the_lowest_first(value: int, encoded: bytes) -> None:
    assert encode_varint(value) == encoded


def test_a_codec_is_compiled_once_for_a_version() -> None:
    assert codec_of(Text, PLAIN, False) is codec_of(Text, PLAIN, False)
    assert codec_of(Text, PLAIN, False) is not codec_of(Text, FLEXIBLE, True)
