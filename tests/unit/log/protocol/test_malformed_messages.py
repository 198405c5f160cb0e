"""Refusals of the codec: always a malformed message, and before any memory is allocated for it."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator

import pytest

from streamcore.log.protocol.codec import MalformedMessageError
from streamcore.log.protocol.fields import ELEMENTS_MAX, Int32, Message
from tests.support.sample_messages import (
    FLEXIBLE,
    PLAIN,
    Blob,
    Empty,
    Everything,
    Id,
    Ids,
    NullableBlob,
    NullableNumbers,
    NullablePart,
    NullableParts,
    NullableRecords,
    NullableText,
    Numbers,
    Part,
    Parts,
    RecordsOnly,
    Tagged,
    Text,
    Texts,
    read,
    sample_codec,
    written,
)

NOT_NULLABLE = (Text, Blob, RecordsOnly, Numbers, Texts, Ids, Parts)
NULLABLE = (NullableText, NullableBlob, NullableRecords, NullableNumbers, NullableParts)
HELD_BYTES_MAX = 8192
"""The memory that a refusal may hold: its error and its traceback, and nothing that grows with a length."""


def refused(message: type[Message], version: int, data: bytes) -> str:
    """Return the text of the refusal; fail if the refusal holds more than a little memory."""
    codec = sample_codec(message, version)
    said = None
    tracemalloc.start()
    try:
        codec.decode(data)
    except MalformedMessageError as error:
        said = str(error)
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert said is not None, "it was read"
    assert peak < HELD_BYTES_MAX
    return said


def plain_length(message: type[Message], length: int) -> bytes:
    """Return the length field before the value of a sample."""
    return length.to_bytes(2 if message in (Text, NullableText) else 4, "big", signed=True)


@pytest.mark.parametrize("message", NOT_NULLABLE)
def test_null_is_refused_where_it_may_not_be(message: type[Message]) -> None:
    assert "value may not be null" in refused(message, PLAIN, plain_length(message, -1))
    assert "value may not be null" in refused(message, FLEXIBLE, b"\x00\x00")


@pytest.mark.parametrize("message", [*NOT_NULLABLE, *NULLABLE])
def test_a_negative_length_other_than_that_of_null_is_refused(message: type[Message]) -> None:
    for length in (-2, -300, -(2**15)):
        assert "value" in refused(message, PLAIN, plain_length(message, length) + bytes(400))


@pytest.mark.parametrize("message", [*NOT_NULLABLE, *NULLABLE])
def test_a_length_beyond_the_data_is_refused_at_once(message: type[Message]) -> None:
    largest = 2**15 - 1 if message in (Text, NullableText) else 2**31 - 1
    for length in (400, largest // 2, largest):
        assert "cut off" in refused(message, PLAIN, plain_length(message, length) + bytes(300))
    for varint in (b"\x90\x03", b"\xff\xff\xff\x07", b"\xff\xff\xff\xff\x07"):
        refused(message, FLEXIBLE, varint + bytes(300))


def test_an_array_of_numbers_is_compared_with_the_size_of_its_numbers() -> None:
    whole = written(Numbers(value=[1, 2, 3]), PLAIN)

    assert "cut off" in refused(Numbers, PLAIN, whole[:-1])
    assert "cut off" in refused(Numbers, PLAIN, (2**31 - 1).to_bytes(4, "big") + whole[4:])


@pytest.mark.parametrize(
    "varint",
    [
        b"\x80\x80\x80\x80\x08",
        b"\xff\xff\xff\xff\x0f",
        b"\x80" * 5 + b"\x00",
        b"\x80" * 9 + b"\x01",
        b"\xff" * 40,
    ],
    ids=["2**31", "2**32-1", "0 in 6 bytes", "2**63", "endless"],
)
@pytest.mark.parametrize("message", [Text, Blob, Numbers, Parts])
def test_a_varint_of_more_than_31_bits_or_5_bytes_is_refused(message: type[Message], varint: bytes) -> None:
    assert "too large" in refused(message, FLEXIBLE, varint + bytes(50))


def test_a_varint_that_is_cut_off_is_refused() -> None:
    for count in range(1, 5):
        refused(Text, FLEXIBLE, b"\x80" * count)


def test_a_varint_may_be_longer_than_it_has_to_be() -> None:
    assert read(Text, FLEXIBLE, b"\x82\x80\x80\x80\x00" + b"x" + b"\x00") == Text(value="x")


def test_text_that_is_not_utf_8_is_refused() -> None:
    for text in (b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf5\x80\x80\x80"):
        refused(Text, PLAIN, plain_length(Text, len(text)) + text)


def test_a_longer_text_than_kafka_allows_is_refused() -> None:
    text = bytes(32_768)

    assert "32,767" in refused(Text, FLEXIBLE, b"\x81\x80\x02" + text + b"\x00")


def test_a_value_that_lacks_its_last_byte_is_cut_off() -> None:
    for message in (Text, Blob, RecordsOnly):
        assert "cut off" in refused(message, PLAIN, plain_length(message, 3) + b"xy")
    assert "cut off" in refused(Id, PLAIN, bytes(15))
    assert "cut off" in refused(Ids, PLAIN, b"\x00\x00\x00\x01" + bytes(15))


def test_any_negative_mark_makes_a_structure_null() -> None:
    assert read(NullablePart, PLAIN, b"\x80") == NullablePart(value=None)
    assert read(NullablePart, PLAIN, b"\x7f\x00\x01\x00\x00") == NullablePart(value=Part(number=1))


def test_unknown_tagged_fields_are_skipped() -> None:
    name = b"\x00\x02\x02n"
    unknown = b"\x03\x05hello" + b"\x80\x80\x80\x80\x01\x00"

    assert read(Tagged, FLEXIBLE, b"\x01\x03" + name + unknown) == Tagged(number=1, name="n")
    assert read(Text, FLEXIBLE, b"\x02x" + b"\x02" + unknown) == Text(value="x")


def test_tagged_fields_are_read_in_any_order() -> None:
    data = b"\x01\x02" + b"\x01\x05\x02\x00\x00\x00\x05" + b"\x00\x02\x02n"

    assert read(Tagged, FLEXIBLE, data) == Tagged(number=1, name="n", counts=[5])


@pytest.mark.parametrize("size", [1, 3])
def test_a_tagged_field_that_does_not_fill_its_size_is_refused(size: int) -> None:
    data = b"\x01\x01" + b"\x00" + bytes([size]) + b"\x02n" + bytes(2)

    assert "does not fill its tagged field" in refused(Tagged, FLEXIBLE, data)


def test_a_tagged_field_beyond_the_data_is_refused_known_or_not() -> None:
    for tag in (b"\x00", b"\x05"):
        for size in (b"\x40", b"\xff\xff\xff\xff\x07"):
            assert "cut off" in refused(Tagged, FLEXIBLE, b"\x01\x01" + tag + size + b"\x02n")


def test_more_tagged_fields_than_fit_into_the_data_are_refused() -> None:
    refused(Text, FLEXIBLE, b"\x01" + b"\xff\xff\xff\xff\x07" + bytes(40))


@pytest.mark.parametrize("version", [PLAIN, FLEXIBLE])
def test_bytes_after_the_message_are_refused(version: int) -> None:
    data = written(Text(value="x"), version)

    assert "1 bytes are left over" in refused(Text, version, data + b"\x00")
    assert "300 bytes are left over" in refused(Text, version, data + bytes(300))


def test_a_position_beyond_the_data_is_refused() -> None:
    for version in (PLAIN, FLEXIBLE):
        with pytest.raises(MalformedMessageError):
            sample_codec(Empty, version).decode(b"", 5)


def shortened(data: bytes) -> Iterator[bytes]:
    return (data[:size] for size in range(len(data)))


@pytest.mark.parametrize("version", [PLAIN, FLEXIBLE])
def test_a_message_cut_off_anywhere_is_refused(version: int) -> None:
    message = Everything(
        truth=True,
        small=1,
        port=2,
        number=3,
        large=4,
        share=5.5,
        text="text",
        nullable_text="text",
        blob=b"blob",
        nullable_blob=b"blob",
        records=b"records",
        uuid=bytes(16),
        numbers=[1, 2],
        texts=["a", "b"],
        uuids=[bytes(16)],
        parts=[Part(number=1, text="x")],
        part=Part(number=1, text="x"),
        nullable_part=Part(number=1, text="x"),
    )

    for data in shortened(written(message, version)):
        for form in (data, memoryview(data)):
            with pytest.raises(MalformedMessageError):
                read(Everything, version, form)


@pytest.mark.parametrize("version", [PLAIN, FLEXIBLE])
@pytest.mark.parametrize(
    "message", [Numbers(value=[0] * (ELEMENTS_MAX + 1)), Texts(value=[""] * (ELEMENTS_MAX + 1))]
)
def test_a_message_of_too_many_elements_is_refused_before_they_are_created(
    message: Message, version: int
) -> None:
    data = bytes(written(message, version))

    assert "more than 250,000 elements" in refused(type(message), version, data)


def test_elements_of_all_arrays_of_a_message_count_together() -> None:
    half = ELEMENTS_MAX // 2
    fits = TwoArrays(one=[0] * half, other=[""] * half)
    too_many = TwoArrays(one=[0] * half, other=[""] * (half + 1))

    assert read(TwoArrays, FLEXIBLE, bytes(written(fits, FLEXIBLE))) == fits
    with pytest.raises(MalformedMessageError, match="elements"):
        read(TwoArrays, FLEXIBLE, bytes(written(too_many, FLEXIBLE)))


class TwoArrays(Message):
    one: list[Int32]
    other: list[str]
