"""The producer snapshot file, so that opening a partition need not read all of its batches.

File := version i16 (= 1) | crc u32 | count i32 | entry*                                 big-endian
entry := producer id i64 | epoch i16 | last sequence i32 | last offset i64 | offset delta i32
         | last seen i64 (ms) | coordinator epoch i32 | first offset of its open transaction i64 (-1: none)

The CRC-32C covers everything after it. ``<offset>.snapshot`` holds the states before the batch at
``offset``.

A producer may have several requests in flight when the log is closed, and sends all of them again. So each of
its remembered batches has an entry, the oldest first. Apache Kafka writes one entry for the last batch and,
of several with one producer id, uses the last: it reads these files as if they were its own.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

import google_crc32c

from streamcore.errors import CorruptIndexError, UnsupportedVersionError, with_facts
from streamcore.log.records.batch import NO_SEQUENCE, NO_TIMESTAMP
from streamcore.log.storage.producers.producer_states import BATCHES_KEPT, NotedBatch, ProducerState
from streamcore.model import Offset, ProducerId

VERSION = 1
_PREFIX = struct.Struct(">hI")
_COUNT = struct.Struct(">i")
_ENTRY = struct.Struct(">qhiqiqiq")
_NONE = -1


def encode_snapshot(states: Iterable[ProducerState]) -> bytes:
    """Return the bytes of the snapshot file."""
    entries = [entry for state in states for entry in _encode_entries(state)]
    body = _COUNT.pack(len(entries)) + b"".join(entries)
    return _PREFIX.pack(VERSION, google_crc32c.value(body)) + body


def decode_snapshot(data: bytes, *, offset: Offset) -> list[ProducerState]:
    """Decode a snapshot file.

    Raises:
        CorruptIndexError: it is damaged; an older snapshot, or the log itself, has the same facts.
        UnsupportedVersionError: a newer program wrote it.
    """
    if len(data) < _PREFIX.size + _COUNT.size:
        raise CorruptIndexError(with_facts("a producer snapshot is cut off", offset=offset))
    version, crc = _PREFIX.unpack_from(data)
    body = data[_PREFIX.size :]
    if google_crc32c.value(body) != crc:
        raise CorruptIndexError(with_facts("a producer snapshot fails its checksum", offset=offset))
    if version != VERSION:
        raise UnsupportedVersionError(
            with_facts(
                "a producer snapshot has another format than this program reads: upgrade the program",
                offset=offset,
                version=version,
            )
        )
    (count,) = _COUNT.unpack_from(body)
    if len(body) != _COUNT.size + count * _ENTRY.size:
        raise CorruptIndexError(with_facts("a producer snapshot has the wrong length", offset=offset))
    states: dict[ProducerId, ProducerState] = {}
    for fields in _ENTRY.iter_unpack(body[_COUNT.size :]):
        state = _decode_entry(fields)
        before = states.get(state.producer_id)
        if before is not None and before.epoch == state.epoch:
            batches = [*before.batches, *state.batches]
            state.batches.clear()
            state.batches.extend(batches[-BATCHES_KEPT:])
        states[state.producer_id] = state
    return list(states.values())


def _encode_entries(state: ProducerState) -> list[bytes]:
    return [_encode_entry(state, batch) for batch in state.batches or (None,)]


def _encode_entry(state: ProducerState, batch: NotedBatch | None) -> bytes:
    first_offset = state.transaction_first_offset
    return _ENTRY.pack(
        state.producer_id,
        state.epoch,
        batch.last_sequence if batch else NO_SEQUENCE,
        batch.last_offset if batch else _NONE,
        batch.last_offset - batch.base_offset if batch else 0,
        state.last_seen_ms,
        state.coordinator_epoch,
        first_offset if first_offset is not None else _NONE,
    )


def _decode_entry(fields: tuple[int, ...]) -> ProducerState:
    producer_id, epoch, last_sequence, last_offset, delta, last_seen_ms, coordinator_epoch, first = fields
    state = ProducerState(producer_id, epoch)
    if last_sequence != NO_SEQUENCE:
        first_sequence = (last_sequence - delta) & 0x7FFFFFFF
        state.batches.append(
            NotedBatch(first_sequence, last_sequence, last_offset - delta, last_offset, NO_TIMESTAMP)
        )
    state.coordinator_epoch = coordinator_epoch
    state.transaction_first_offset = first if first != _NONE else None
    state.last_seen_ms = last_seen_ms
    return state
