"""The ids of a log, which stay the same for the life of its folder, in Kafka's ``meta.properties``.

File := line*        line := "#" comment | name "=" value

``version`` is 1. ``cluster.id`` is the cluster id that clients receive, ``node.id`` the number of the one
broker that serves the log, ``directory.id`` names the folder. Ids are UUIDs in URL-safe base64 without
padding, as Kafka writes them; unknown names are kept unchanged.
"""

from __future__ import annotations

import base64
import uuid
from pathlib import Path
from typing import Final

from msgspec import Struct

from streamcore.errors import CorruptDataError, UnsupportedVersionError, with_facts
from streamcore.log.storage.files import FileSystem, read_whole, write_whole

IDENTITY_NAME: Final = "meta.properties"
_VERSION: Final = "1"
_NODE_ID: Final = 1


class LogIdentity(Struct, frozen=True):
    """The ids of a log."""

    cluster_id: str
    node_id: int
    directory_id: str


def read_or_make_identity(file_system: FileSystem, root: Path) -> LogIdentity:
    """Return the identity of the log in a folder; create it durably if the log has none yet.

    Raises:
        CorruptDataError: the file cannot be read.
        UnsupportedVersionError: another program wrote it, in another format.
        StorageError: the disk refused.
    """
    path = root / IDENTITY_NAME
    try:
        return _parsed(read_whole(file_system, path), path)
    except FileNotFoundError:
        identity = LogIdentity(_new_id(), _NODE_ID, _new_id())
        write_whole(file_system, path, _encoded(identity))
        return identity


def _parsed(data: bytes, path: Path) -> LogIdentity:
    lines = [line.strip() for line in data.decode("utf-8", "replace").splitlines()]
    values = dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    version = values.get("version", "")
    if version != _VERSION:
        raise UnsupportedVersionError(
            with_facts(
                "the identity of the log has another format than this program reads: upgrade the program",
                path=path,
                version=version or "none",
            )
        )
    try:
        node_id = int(values["node.id"])
        return LogIdentity(values["cluster.id"], node_id, values.get("directory.id", values["cluster.id"]))
    except (KeyError, ValueError) as error:
        raise CorruptDataError(
            with_facts(
                "the identity of the log cannot be read: restore the file from a copy, or remove it, then "
                "the log gets a new cluster id",
                path=path,
            )
        ) from error


def _encoded(identity: LogIdentity) -> bytes:
    lines = (
        f"version={_VERSION}",
        f"cluster.id={identity.cluster_id}",
        f"node.id={identity.node_id}",
        f"directory.id={identity.directory_id}",
    )
    return ("\n".join(lines) + "\n").encode()


def _new_id() -> str:
    """Return a random id; not one that begins with a hyphen, which command lines would take for an option."""
    while True:
        text = base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode("ascii")
        if not text.startswith("-"):
            return text
