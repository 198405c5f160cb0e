"""The names of files in a partition's folder, as in Apache Kafka."""

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
"""The file that names the partition's topic, for people and for Apache Kafka. It is not read here, because
the registry has the same facts.
"""


class FileKind(Enum):
    """The content of a segment's file; the value is the file's suffix."""

    DATA = "log"
    OFFSET_INDEX = "index"
    TIME_INDEX = "timeindex"
    TRANSACTION_INDEX = "txnindex"
    SNAPSHOT = "snapshot"


INDEX_KINDS = (FileKind.OFFSET_INDEX, FileKind.TIME_INDEX, FileKind.TRANSACTION_INDEX)

CLEANED = ".cleaned"
"""The suffix of a file that compaction has not finished; it is removed after a crash."""

SWAP = ".swap"
"""The suffix of a finished replacement, until the segments that it replaces are gone."""

DELETED = ".deleted"
"""The suffix of a file that was removed from the log and waits to be removed from the disk."""


def partition_metadata(topic_id: UUID) -> bytes:
    """Return the content of ``partition.metadata``."""
    text = base64.urlsafe_b64encode(topic_id.bytes).rstrip(b"=").decode("ascii")
    return f"version: 0\ntopic_id: {text}\n".encode("ascii")


def file_path(directory: Path, base_offset: Offset, kind: FileKind, suffix: str = "") -> Path:
    """Return the path of a file of the segment with this base offset."""
    return directory / f"{base_offset:020d}.{kind.value}{suffix}"


@lru_cache(maxsize=4096)
def parse_name(name: str) -> tuple[Offset, FileKind, str] | None:
    """Return base offset, kind and suffix of a file name; ``None`` if it is not the name of such a file."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    return int(match[1]), FileKind(match[2]), match[3] or ""
