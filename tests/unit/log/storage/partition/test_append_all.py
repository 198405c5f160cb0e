"""Many batches in one call are decided as one by one, and written in one piece."""

from __future__ import annotations

import random
from typing import Any

import pytest

from streamcore.errors import CorruptBatchError, OutOfOrderSequenceError, StorageError, StreamCoreError
from streamcore.log.records.builder import encode_batch
from streamcore.log.storage.partition.partition_replies import BatchAppended
from streamcore.log.storage.segment.log_files import FileKind
from tests.support.partition_fixture import NOW_MS, OnePartition


def batch(
    value: bytes = b"v", *, producer_id: int = -1, sequence: int = 0, time_ms: int = NOW_MS
) -> bytearray:
    is_plain = producer_id < 0
    return encode_batch(
        [b"k"],
        [value],
        [time_ms],
        producer_id=producer_id,
        producer_epoch=-1 if is_plain else 0,
        base_sequence=-1 if is_plain else sequence,
    )


def damaged() -> bytearray:
    changed = batch()
    changed[-1] ^= 1
    return changed


def test_batches_stand_in_the_order_in_which_they_were_given() -> None:
    one = OnePartition()

    results = one.log.append_all([batch(b"a"), batch(b"b"), batch(b"c")], now_ms=NOW_MS)
    one.log.sync()

    assert results == [BatchAppended(0, 0, -1), BatchAppended(1, 1, -1), BatchAppended(2, 2, -1)]
    assert one.values() == [b"a", b"b", b"c"]


def test_neighbours_are_one_call_of_the_file_system() -> None:
    one = OnePartition()
    one.append(b"first")
    before = one.disk.operation_count

    one.log.append_all([batch() for _ in range(20)], now_ms=NOW_MS)

    assert one.disk.operation_count == before + 1


def test_a_refused_batch_does_not_affect_the_other_batches() -> None:
    one = OnePartition()

    first, refused, last = one.log.append_all([batch(b"a"), damaged(), batch(b"b")], now_ms=NOW_MS)
    one.log.sync()

    assert first == BatchAppended(0, 0, -1)
    assert isinstance(refused, CorruptBatchError)
    assert last == BatchAppended(1, 1, -1)
    assert one.values() == [b"a", b"b"]


def test_a_producers_batches_follow_each_other_and_repeat_within_one_call() -> None:
    one = OnePartition()
    batches = [batch(producer_id=7, sequence=sequence) for sequence in (0, 1, 1, 3, 2)]

    first, second, repeated, early, third = one.log.append_all(batches, now_ms=NOW_MS)

    assert (first, second) == (BatchAppended(0, 0, -1), BatchAppended(1, 1, -1))
    assert repeated == BatchAppended(1, 1, -1, is_duplicate=True)
    assert isinstance(early, OutOfOrderSequenceError)
    assert third == BatchAppended(2, 2, -1)


def test_a_write_that_fails_refuses_the_batches_that_were_written_together_and_no_offset_is_lost() -> None:
    one = OnePartition()
    one.append(b"before")
    one.disk.fill_after(100)

    refused = one.log.append_all([batch(producer_id=7), batch(b"b")], now_ms=NOW_MS)
    one.disk.fill_after(None)
    written = one.log.append_all([batch(b"a", producer_id=7), batch(b"b")], now_ms=NOW_MS)
    one.log.sync()

    assert all(isinstance(each, StorageError) for each in refused)
    assert written == [BatchAppended(1, 1, -1), BatchAppended(2, 2, -1)]
    assert one.values() == [b"before", b"a", b"b"]


@pytest.mark.parametrize("seed", range(30))
def test_grouped_batches_give_the_same_files_and_answers_as_single_ones(seed: int) -> None:
    choose = random.Random(seed)
    config: dict[str, Any] = {
        "flush": "durable",
        "segment_bytes": str(choose.choice((400, 1_000, 100_000))),
        "segment_index_bytes": str(choose.choice((12, 60, 100_000))),
        "index_interval_bytes": str(choose.choice((0, 150, 4096))),
        "segment_ms": str(choose.choice((20, 10_000))),
        "segment_jitter_ms": str(choose.choice((0, 10))),
        "message_timestamp_type": choose.choice(("CreateTime", "LogAppendTime")),
        "compression_type": choose.choice(("producer", "gzip")),
    }
    together, alone = (
        OnePartition(**config),
        OnePartition(**config),
    )
    sequences = dict.fromkeys(range(3), 0)
    for _ in range(8):
        batches: list[bytearray] = []
        for _ in range(choose.randrange(1, 9)):
            kind = choose.random()
            time_ms = NOW_MS + choose.randrange(30)
            if kind < 0.1:
                batches.append(damaged())
            elif kind < 0.5:
                batches.append(batch(bytes(choose.randrange(120)), time_ms=time_ms))
            else:
                producer_id = choose.randrange(3)
                sequence = sequences[producer_id] + choose.choice((0, 0, 0, 0, -1, 2))
                sequences[producer_id] += sequence == sequences[producer_id]
                if sequence >= 0:
                    batches.append(batch(producer_id=producer_id, sequence=sequence, time_ms=time_ms))
        copies = [bytearray(each) for each in batches]

        results = together.log.append_all(batches, now_ms=NOW_MS)

        assert list(map(described, results)) == [described(append_alone(alone, each)) for each in copies]
    assert contents(together) == contents(alone)
    assert together.reopen().offsets == alone.reopen().offsets
    assert contents(together) == contents(alone)


def append_alone(one: OnePartition, data: bytearray) -> BatchAppended | StreamCoreError:
    try:
        return one.log.append(data, now_ms=NOW_MS)
    except StreamCoreError as error:
        return error


def described(result: BatchAppended | StreamCoreError) -> object:
    return (type(result), str(result)) if isinstance(result, StreamCoreError) else result


def contents(one: OnePartition) -> dict[str, bytes]:
    one.log.sync()
    folder = one.log.directory
    kinds = [f".{kind.value}" for kind in FileKind]
    found: dict[str, bytes] = {}
    for name in one.disk.list_directory(folder):
        if any(name.endswith(kind) for kind in kinds):
            file = one.disk.open(folder / name)
            found[name] = bytes(file.read_at(0, file.size()))
    return found
