"""How many bytes a record may have that a step writes to a topic.

The commit writes the records of many steps at once. A record that its topic does not take is therefore
refused where it is made, so that the error policy of that step decides about it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from streamcore.errors import RecordTooLargeError, fact_text
from streamcore.model import Headers

BATCH_OVERHEAD_BYTES: Final = 128
"""The most bytes around key, value and headers of a record that is a batch of its own."""

HEADER_OVERHEAD_BYTES: Final = 10
"""The most bytes around name and value of a header."""

NO_LIMIT: Final = 2**63 - 1


def record_bytes_max(message_bytes_max: int) -> int:
    """Return how many bytes a record may have in a topic with this ``max.message.bytes``."""
    return message_bytes_max - BATCH_OVERHEAD_BYTES


def record_bytes(key: bytes | None, value: bytes | None, headers: Headers) -> int:
    """Return the bytes of a record: key, value and headers."""
    size = (0 if key is None else len(key)) + (0 if value is None else len(value))
    return size + headers_bytes(headers) if headers else size


def headers_bytes(headers: Headers) -> int:
    """Return the most bytes that the headers of a record take."""
    return sum(len(name) * 4 + len(value or b"") + HEADER_OVERHEAD_BYTES for name, value in headers)


def longest(column: Sequence[bytes | None]) -> int:
    """Return the most bytes that a key or value of a column has."""
    try:
        return max(map(len, column), default=0)  # type: ignore[arg-type]
    except TypeError:
        return max((len(field) for field in column if field is not None), default=0)


def longest_headers(column: Sequence[Headers] | None) -> int:
    """Return the most bytes that the headers of a record have."""
    return 0 if column is None else max((headers_bytes(row) for row in column if row), default=0)


def ensure_fits(topic: str, key: bytes | None, value: bytes | None, headers: Headers, bytes_max: int) -> None:
    """Refuse a record that its topic does not take.

    Raises:
        RecordTooLargeError: it has more than ``bytes_max``.
    """
    size_bytes = record_bytes(key, value, headers)
    if size_bytes > bytes_max:
        raise RecordTooLargeError(
            "a record is too large for its topic; make it smaller, or raise max.message.bytes of the topic "
            f"and restart: {fact_text(topic=topic, size_bytes=size_bytes, size_bytes_max=bytes_max)}"
        )
