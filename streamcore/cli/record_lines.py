"""Records as lines: the output of ``streamcore consume``, and the input of ``streamcore produce --json``.

::

    {"topic":"orders","partition":0,"offset":7,"timestamp_ms":1600000000000,
     "key":"ada","value":{"base64":"/w=="},"headers":[["trace","1"]]}

Bytes are a string if they are UTF-8, otherwise ``{"base64":"..."}``. A ``null`` key is no key, a ``null``
value is a tombstone. A line to produce needs only ``value``. Any other JSON as key or value stands for its
own text, as it is written. Topic and offset are those of the record that was read, and are not used.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from streamcore.cli.output import bytes_json, bytes_text
from streamcore.durations import time_text
from streamcore.errors import UsageError
from streamcore.model import Headers

if TYPE_CHECKING:
    from streamcore.log.client.consumer.fetch_state import BytesRecord

_NO_TIME = -1


@dataclass(frozen=True, slots=True)
class Line:
    """A record to produce."""

    key: bytes | None
    value: bytes | None
    timestamp_ms: int | None = None
    headers: Headers = ()
    partition: int | None = None


class _JsonRecord(msgspec.Struct, forbid_unknown_fields=True):
    value: msgspec.Raw
    key: msgspec.Raw = msgspec.Raw(b"null")
    headers: list[tuple[str, msgspec.Raw]] | dict[str, msgspec.Raw] | None = None
    timestamp_ms: int | None = None
    partition: int | None = None
    topic: str | None = None
    offset: int | None = None


_DECODER = msgspec.json.Decoder(_JsonRecord)


def record_row(record: BytesRecord) -> dict[str, object]:
    """Return a record as a row for programs."""
    return {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp_ms": record.timestamp_ms,
        "key": bytes_json(record.key),
        "value": bytes_json(record.value),
        "headers": [[name, bytes_json(value)] for name, value in record.headers],
    }


def record_line(record: BytesRecord) -> str:
    """Return a record as a line for people: time, partition and offset, key, value, headers."""
    origin = f"{record.topic}-{record.partition}@{record.offset}"
    parts = [
        f"{time_text(record.timestamp_ms):<24}",
        origin,
        bytes_text(record.key),
        bytes_text(record.value),
    ]
    parts.extend(f"{name}={bytes_text(value)}" for name, value in record.headers)
    return "  ".join(parts)


def line_from_json(text: bytes) -> Line:
    """Parse a line in the form of ``record_row``.

    Raises:
        UsageError: the line has another form.
    """
    try:
        found = _DECODER.decode(text)
        headers = found.headers.items() if isinstance(found.headers, dict) else found.headers or ()
        return Line(
            key=_bytes(found.key),
            value=_bytes(found.value),
            timestamp_ms=None if found.timestamp_ms == _NO_TIME else found.timestamp_ms,
            headers=tuple((name, _bytes(value)) for name, value in headers),
            partition=found.partition,
        )
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise UsageError(
            'the line is no record as consume --json prints it, such as {"key":"a","value":"b"}; '
            f"leave --json out to produce lines as they are: {error}"
        ) from error


def line_from_text(text: bytes, separator: bytes | None, null: bytes | None) -> Line:
    """Parse a line of text: a value, or a key and a value with a separator between them.

    Args:
        separator: the end of the key; without a separator, records have no key.
        null: a value that equals this text is a tombstone.

    Raises:
        UsageError: the line has no separator.
    """
    key: bytes | None = None
    value = text
    if separator is not None:
        key, found, value = text.partition(separator)
        if not found:
            raise UsageError("the line has no key")
    return Line(key, None if value == null else value)


def _bytes(written: msgspec.Raw) -> bytes | None:
    plain = msgspec.json.decode(written)
    match plain:
        case None:
            return None
        case str():
            return plain.encode()
        case {"base64": str(coded)} if len(plain) == 1:
            return base64.b64decode(coded, validate=True)
        case _:
            return bytes(written)
