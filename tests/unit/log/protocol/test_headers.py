"""The headers of requests and responses, byte by byte."""

from __future__ import annotations

import pytest

from streamcore.log.protocol.apis import API_VERSIONS, PRODUCE, SASL_HANDSHAKE
from streamcore.log.protocol.codec import MalformedMessageError
from streamcore.log.protocol.headers import RequestHeader, body_start, parse_header, response_start

PRODUCE_3 = b"\x00\x00\x00\x03\x00\x00\x00\x07"
PRODUCE_9 = b"\x00\x00\x00\x09\x00\x00\x00\x07"


def test_a_header_names_the_api_and_the_client() -> None:
    header = parse_header(PRODUCE_3 + b"\x00\x04name" + b"body")

    assert header == RequestHeader(0, 3, 7, "name", 14)
    assert body_start(PRODUCE_3 + b"\x00\x04name" + b"body", header, PRODUCE) == 14


def test_a_client_id_may_be_missing() -> None:
    assert parse_header(PRODUCE_3 + b"\xff\xff").client_id is None
    assert parse_header(PRODUCE_3 + b"\x00\x00").client_id == ""


def test_a_header_is_read_from_a_view_of_the_frame() -> None:
    frame = bytearray(PRODUCE_9 + b"\x00\x04name" + b"\x00" + b"body")

    for form in (frame, memoryview(frame)):
        assert body_start(form, parse_header(form), PRODUCE) == 15


def test_tagged_fields_of_a_header_are_skipped() -> None:
    tags = b"\x02" + b"\x00\x03abc" + b"\x80\x01\x00"
    frame = PRODUCE_9 + b"\xff\xff" + tags + b"body"

    assert frame[body_start(frame, parse_header(frame), PRODUCE) :] == b"body"


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        PRODUCE_3,
        PRODUCE_3 + b"\x00",
        PRODUCE_3 + b"\x00\x05name",
        PRODUCE_3 + b"\x7f\xffname",
        PRODUCE_3 + b"\xff\xfename",
        PRODUCE_3 + b"\x80\x00name",
        PRODUCE_3 + b"\x00\x02\xc3\x28",
    ],
    ids=["empty", "no client id", "half a length", "cut off", "long", "-2", "-32768", "not utf-8"],
)
def test_a_header_that_makes_no_sense_is_refused(frame: bytes) -> None:
    with pytest.raises(MalformedMessageError):
        parse_header(frame)


@pytest.mark.parametrize(
    "tags",
    [b"", b"\x01", b"\x01\x00", b"\x01\x00\x05abc", b"\x02\x00\x00", b"\xff\xff\xff\xff\x07", b"\xff" * 9],
    ids=["none", "no number", "no size", "cut off", "one of two", "2**31-1 of them", "endless"],
)
def test_tagged_fields_of_a_header_that_are_cut_off_are_refused(tags: bytes) -> None:
    frame = PRODUCE_9 + b"\xff\xff" + tags
    header = parse_header(frame)

    with pytest.raises(MalformedMessageError):
        body_start(frame, header, PRODUCE)


def test_the_response_to_api_versions_never_has_tagged_fields_before_it() -> None:
    assert response_start(API_VERSIONS, 4, 7, 100) == b"\x00\x00\x00\x68\x00\x00\x00\x07"
    assert response_start(PRODUCE, 9, 7, 100) == b"\x00\x00\x00\x69\x00\x00\x00\x07\x00"
    assert response_start(SASL_HANDSHAKE, 1, 7, 100) == b"\x00\x00\x00\x68\x00\x00\x00\x07"
