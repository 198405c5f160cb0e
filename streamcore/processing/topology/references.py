"""The records that the steps of a foreign-key join send each other, and what the steps keep.

A row of the left table *refers* to the row of the right table that its foreign key names. The two rows are
in different partitions, so a change of a left row sends a ``Reference`` to the task of the right row. That
task keeps it, answers with the right row, and answers again whenever the right row changes. Left rows and
answers meet in one topic, keyed as the left table::

    left row ──▶ Reference, by foreign key ──▶ right row: an answer now, and for each change
        │                                          │
        └───▶ Note: the row itself ──▶ one topic, by the key of the left row ◀── Note: an answer

A row and its reference carry a *stamp*, the hash of the foreign key and the value. An answer repeats the
stamp of the reference, and counts only while the newest left row has it: an answer for an older value can
come late, from the task of another foreign key (KIP-213). A row is written to the topic in the same
transaction as its reference, so no answer overtakes it.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

import msgspec

from streamcore.serde import Serde, packed_serde
from streamcore.state.keys import key_codec

STAMP_BYTES: Final = 16
PAIRS: Final = key_codec(tuple[bytes, bytes])
"""The codec of the places of references: bytes of the foreign key, bytes of the left row's key."""


class Reference(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A left row refers to the right row whose key the record has, or does so no longer."""

    row_key: bytes
    """The key of the left row, as stores write it."""
    stamp: bytes
    """The stamp of the left row; empty if it no longer refers to the right row."""


class Note(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A left row, or the answer to its reference; the key of the record is that of the left row."""

    is_row: bool
    stamp: bytes
    """The stamp of the row; empty for a row that refers to no other. Of an answer, that of the reference."""
    data: bytes | None
    """The encoded value of the left row or of the right one; ``None`` if there is no such row."""


class ReferringRow(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A left row that refers to a right one, as it waits for answers."""

    stamp: bytes
    data: bytes
    """The encoded value."""


REFERENCES: Final[Serde[Reference]] = packed_serde(Reference, "references of a join")
NOTES: Final[Serde[Note]] = packed_serde(Note, "rows and answers of a join")
REFERRING_ROWS: Final[Serde[ReferringRow]] = packed_serde(ReferringRow, "rows of a join")


def stamp_of(foreign_key: bytes, data: bytes) -> bytes:
    """Return the stamp of a left row with an encoded foreign key and value."""
    hashed = b"%b%b%b" % (len(foreign_key).to_bytes(4, "big"), foreign_key, data)
    return blake2b(hashed, digest_size=STAMP_BYTES).digest()
