"""The transaction index of one segment: the aborted transactions whose abort marker is in the segment.

A reader of committed data gets this list with the stored batches and drops the batches of the listed
transactions, so the log does not decode batches to hide aborted records.

File := entry*    entry := version i16 (= 0) | producer id i64 | first offset i64 | last offset i64
                           | last stable offset i64, big-endian

``last offset`` is the marker's offset. ``last stable offset`` is the last stable offset right after the
abort: a reader that stops at or before it needs no later entry.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from streamcore.errors import CorruptIndexError, UnsupportedVersionError, with_facts
from streamcore.log.records.decode import AbortedTransaction
from streamcore.log.storage.producers.producer_states import EndedTransaction
from streamcore.model import Offset, ProducerId

ENTRY_BYTES = 34
VERSION = 0
_ENTRY = struct.Struct(">hqqqq")


class AbortedEntry(NamedTuple):
    """One aborted transaction of a producer: its records and its marker are in ``[first, last]``."""

    producer_id: ProducerId
    first_offset: Offset
    last_offset: Offset
    last_stable: Offset


def aborted_entry(ended: EndedTransaction, first_open: Offset | None) -> AbortedEntry:
    """Return the entry of a transaction that was just aborted; the earliest open one begins at
    ``first_open``.
    """
    last_stable = ended.last_offset + 1 if first_open is None else first_open
    return AbortedEntry(ended.producer_id, ended.first_offset, ended.last_offset, last_stable)


def encode_entries(entries: Iterable[AbortedEntry]) -> bytes:
    """Return the bytes of the index file."""
    return b"".join(_ENTRY.pack(VERSION, *entry) for entry in entries)


def decode_entries(data: bytes, *, base_offset: Offset) -> list[AbortedEntry]:
    """Decode an index file.

    Raises:
        CorruptIndexError: the file is cut off.
        UnsupportedVersionError: a newer program wrote it.
    """
    if len(data) % ENTRY_BYTES:
        raise CorruptIndexError(with_facts("a transaction index is cut off", base_offset=base_offset))
    entries: list[AbortedEntry] = []
    for version, *fields in _ENTRY.iter_unpack(data):
        if version > VERSION or version < 0:
            raise UnsupportedVersionError(
                with_facts(
                    "a transaction index has a newer format than this program reads: upgrade the program",
                    base_offset=base_offset,
                    version=version,
                )
            )
        entries.append(AbortedEntry(*fields))
    return entries


def overlapping(
    indexes: Iterable[Sequence[AbortedEntry]], *, start: Offset, end: Offset
) -> tuple[AbortedTransaction, ...]:
    """Return the aborted transactions that a reader of ``[start, end)`` must know, by first offset.

    Args:
        indexes: of the segment that holds ``start`` and of those after it, in order; consumed only as far as
            needed.
    """
    found: list[AbortedTransaction] = []
    for entries in indexes:
        for entry in entries:
            if entry.last_offset >= start and entry.first_offset < end:
                found.append(AbortedTransaction(entry.producer_id, entry.first_offset))
            if entry.last_stable >= end:
                return _by_first_offset(found)
    return _by_first_offset(found)


def _by_first_offset(found: list[AbortedTransaction]) -> tuple[AbortedTransaction, ...]:
    return tuple(sorted(found, key=lambda aborted: aborted.first_offset))
