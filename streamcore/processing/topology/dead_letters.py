"""What a dead letter is: the record as it was read, and in headers behind its own why and where it failed.

::

    streamcore.node        the step, or the topic whose bytes did not decode
    streamcore.topic       the topic, partition and offset that the record was read at
    streamcore.partition
    streamcore.offset
    streamcore.error       type and text of the error
    streamcore.traceback   as Python prints it: the last ``TRACEBACK_BYTES_MAX`` bytes, fewer if it is large

All are UTF-8. The record's own headers stand before ``streamcore.node``.
"""

from __future__ import annotations

import traceback
from typing import Final

from msgspec import Struct

from streamcore.model import Headers, Offset, Record, TopicName, TopicPartition
from streamcore.processing.topology.record_sizes import NO_LIMIT, record_bytes

TRACEBACK_BYTES_MAX: Final = 16_384

_NODE: Final = "streamcore.node"
_ERROR: Final = "streamcore.error"
_TRACEBACK: Final = "streamcore.traceback"


def dead_letter_headers(
    record: Record[bytes | None, bytes | None], node: str, error: BaseException, bytes_max: int = NO_LIMIT
) -> Headers:
    """Return the headers of the dead letter of a record, its own first.

    Error and traceback are cut if the letter has more than ``bytes_max`` with them.
    """
    facts = (
        *record.headers,
        (_NODE, node.removesuffix(":decode").encode()),
        ("streamcore.topic", record.topic.encode()),
        ("streamcore.partition", str(record.partition).encode()),
        ("streamcore.offset", str(record.offset).encode()),
    )
    text = _text(f"{type(error).__name__}: {error}")
    printed = _text("".join(traceback.format_exception(error)))[-TRACEBACK_BYTES_MAX:]
    room = bytes_max - record_bytes(record.key, record.value, (*facts, (_ERROR, b""), (_TRACEBACK, b"")))
    text = text[: max(0, room)]
    printed = printed[len(printed) - max(0, min(len(printed), room - len(text))) :]
    return (*facts, (_ERROR, text), (_TRACEBACK, printed))


def _text(text: str) -> bytes:
    return text.encode(errors="backslashreplace")


class Letter(Struct, frozen=True):
    """Where the record of a dead letter was read, and its own headers."""

    source: TopicPartition
    offset: Offset
    node: str
    headers: Headers

    @property
    def topic(self) -> TopicName:
        """The topic that the record was read from."""
        return self.source.topic


def letter_of(headers: Headers) -> Letter | None:
    """Return what the headers of a dead letter say; ``None`` if they are not those of a dead letter."""
    start = max((index for index, (name, _) in enumerate(headers) if name == _NODE), default=None)
    if start is None:
        return None
    facts = {name: value for name, value in headers[start:] if value is not None}
    try:
        source = TopicPartition(
            facts["streamcore.topic"].decode(), int(facts["streamcore.partition"].decode())
        )
        return Letter(
            source, int(facts["streamcore.offset"].decode()), facts[_NODE].decode(), headers[:start]
        )
    except (KeyError, ValueError):
        return None
