"""Lines of JSON become records, and lines that are none are refused."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamcore.cli.record_lines import Line, line_from_json, line_from_text, record_row
from streamcore.errors import UsageError
from streamcore.model import Record

BYTES = st.none() | st.binary() | st.text().map(str.encode)


@given(
    st.builds(
        Record[bytes | None, bytes | None],
        key=BYTES,
        value=BYTES,
        timestamp_ms=st.integers(0, 2**63 - 1),
        headers=st.lists(st.tuples(st.text(), BYTES)).map(tuple),
        topic=st.just("t"),
        partition=st.integers(0, 9),
        offset=st.integers(0),
    )
)
def test_a_record_that_is_printed_is_read_as_it_was(record: Record[bytes | None, bytes | None]) -> None:
    text = msgspec.json.encode(record_row(record))

    assert line_from_json(text) == Line(
        record.key, record.value, record.timestamp_ms, record.headers, record.partition
    )


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (b'{"value": {"who": "ada", "n": 1.50}}', Line(None, b'{"who": "ada", "n": 1.50}')),
        (b'{"key":7,"value":null,"headers":{"a":"b"}}', Line(b"7", None, None, (("a", b"b"),))),
        (b'{"value":"v","timestamp_ms":-1}', Line(None, b"v")),
        (b'{"value":{"base64":"YQ==","more":1}}', Line(None, b'{"base64":"YQ==","more":1}')),
    ],
)
def test_a_record_leaves_out_what_it_does_not_need(text: bytes, line: Line) -> None:
    assert line_from_json(text) == line


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (b'{"vlaue":1}', "unknown field `vlaue`"),
        (b'{"key":"a"}', "missing required field `value`"),
        (b'["value"]', "Expected `object`, got `array`"),
        (b"text", "malformed"),
        (b'{"value":"\xff"}', "the line is no record"),
        (b'{"value":"\\ud800"}', "the line is no record"),
        (b'{"value":{"base64":"?"}}', "the line is no record"),
        (b'{"value":"v","headers":[["a"]]}', "the line is no record"),
        (b'{"value":' + b"[" * 5_000 + b"}", "the line is no record"),
    ],
)
def test_a_line_that_is_no_record_is_refused(text: bytes, error: str) -> None:
    with pytest.raises(UsageError, match=error):
        line_from_json(text)


def test_text_has_a_key_before_the_first_separator() -> None:
    assert line_from_text(b"a:b:c", b":", None) == Line(b"a", b"b:c")
    assert line_from_text(b"a:-", b":", b"-") == Line(b"a", None)
    assert line_from_text(b"\xff\0", None, None) == Line(None, b"\xff\0")
    with pytest.raises(UsageError, match="the line has no key"):
        line_from_text(b"a", b":", None)
