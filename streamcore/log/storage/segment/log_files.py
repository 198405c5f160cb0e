"""The names of files in a partition's directory, as Apache Kafka has them."""

from __future__ import annotations

import base64
import re
from enum import Enum
from functools import lru_cache
from pathlib import Path
from uuid import UUID

from streamcore.model import Offset

_NAME = re.compile(
    r"(\d{20})\.(log|index|timeindex|txnindex|snapshot)(\.cleaned|\.swap|(?:\.\d+)?\.deleted)?"
)

PARTITION_METADATA = "partition.metadata"
"""Says whose folder it is, to people and to Apache Kafka; not read here, as the registry says it, too."""


class FileKind(Enum):
    """What a file of a segment holds; the value is its suffix."""

    DATA = "log"
    OFFSET_INDEX = "index"
    TIME_INDEX = "timeindex"
    TRANSACTION_INDEX = "txnindex"
    SNAPSHOT = "snapshot"


INDEX_KINDS = (FileKind.OFFSET_INDEX, FileKind.TIME_INDEX, FileKind.TRANSACTION_INDEX)

CLEANED = ".cleaned"
"""Added to the name of a file that compaction has not finished: of no use after a crash."""

SWAP = ".swap"
"""Added to the name of a finished replacement, until the segments it replaces are gone."""

DELETED = ".deleted"
"""Ends the name of a file that is out of the log, and waits to be removed."""


def partition_metadata(topic_id: UUID) -> bytes:
    """The content of ``partition.metadata``."""
    text = base64.urlsafe_b64encode(topic_id.bytes).rstrip(b"=").decode("ascii")
    return f"version: 0\ntopic_id: {text}\n".encode("ascii")


def file_path(directory: Path, base_offset: Offset, kind: FileKind, suffix: str = "") -> Path:
    """Where a file of the segment with this base offset is."""
    return directory / f"{base_offset:020d}.{kind.value}{suffix}"


@lru_cache(maxsize=4096)
def parse_name(name: str) -> tuple[Offset, FileKind, str] | None:
    """Base offset, kind and suffix of a file name; ``None`` if the name is of no such file."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    return int(match[1]), FileKind(match[2]), match[3] or ""
