"""What becomes of each batch in a round of compaction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from streamcore.log.records.batch import BatchHeader, parse_header, patch_offsets
from streamcore.log.records.builder import encode_batch, encode_marker, rewrite_batch
from streamcore.log.records.decode import BatchRecord, batch_records
from streamcore.log.storage.compaction.compaction_plan import NewestOffsets
from streamcore.log.storage.compaction.compaction_round import (
    CompactionRound,
    Drop,
    Keep,
    Outcome,
    ProducerEnd,
    Rewrite,
)

NOW_MS = 1_000_000
RETENTION_MS = 500


class Span(NamedTuple):
    producer_id: int
    first_offset: int
    last_offset: int


class Batch(NamedTuple):
    header: BatchHeader
    records: list[BatchRecord]


def parsed(data: bytearray, base_offset: int = 0) -> Batch:
    patch_offsets(data, base_offset, 0)
    header = parse_header(data)
    return Batch(header, batch_records(data, 0, header))


def batch(
    base_offset: int, *rows: tuple[bytes | None, bytes | None], producer: int = -1, txn: bool = False
) -> Batch:
    data = encode_batch(
        [key for key, _ in rows],
        [value for _, value in rows],
        [NOW_MS] * len(rows),
        producer_id=producer,
        producer_epoch=0 if producer >= 0 else -1,
        base_sequence=0 if producer >= 0 else -1,
        transactional=txn,
    )
    return parsed(data, base_offset)


def marker(offset: int, producer: int, *, commit: bool) -> Batch:
    return parsed(encode_marker(producer, 0, commit, 0, NOW_MS), offset)


def with_horizon(source: Batch, horizon_ms: int) -> Batch:
    data = rewrite_batch(source.header, source.records, compression=0, delete_horizon_ms=horizon_ms)
    return parsed(data, source.header.base_offset)


def newest_of(*batches: Batch) -> NewestOffsets:
    newest = NewestOffsets(bytes_max=10**6)
    for header, records in batches:
        for record in records:
            if record.key is not None:
                newest.note(record.key, record.offset)
        newest.end_offset = header.end_offset
    return newest


def round_of(
    newest: NewestOffsets,
    *aborted: Span,
    producers: Mapping[int, ProducerEnd] | None = None,
    group_end: int = 10**6,
    oldest_snapshot: int | None = None,
) -> CompactionRound:
    return CompactionRound(
        newest,
        aborted,
        producers or {},
        group_ends=[group_end],
        oldest_snapshot=oldest_snapshot,
        now_ms=NOW_MS,
        delete_retention_ms=RETENTION_MS,
    )


def kept_offsets(outcome: Outcome) -> list[int]:
    assert isinstance(outcome, Rewrite)
    return [record.offset for record in outcome.records]


def test_only_the_newest_record_of_a_key_stays_and_offsets_do_not_change() -> None:
    first, second = batch(0, (b"a", b"1"), (b"b", b"1"), (b"c", b"1")), batch(3, (b"a", b"2"))
    cleaning = round_of(newest_of(first, second))

    assert kept_offsets(cleaning.data(*first)) == [1, 2]
    assert cleaning.data(*second) == Keep()


def test_a_batch_without_any_newest_record_goes() -> None:
    first, second = batch(0, (b"a", b"1")), batch(1, (b"a", b"2"))

    assert round_of(newest_of(first, second)).data(*first) == Drop()


def test_a_record_without_a_key_goes() -> None:
    source = batch(0, (None, b"1"), (b"a", b"1"))

    assert kept_offsets(round_of(newest_of(source)).data(*source)) == [1]


def test_records_past_the_known_keys_are_kept() -> None:
    known, unknown = batch(0, (b"a", b"1")), batch(1, (b"a", b"2"), (None, b"x"))

    assert round_of(newest_of(known)).data(*unknown) == Keep()


def test_a_tombstone_gets_a_horizon_is_kept_until_then_and_goes_after_it() -> None:
    fresh = batch(0, (b"a", None))
    newest = newest_of(fresh)

    outcome = round_of(newest).data(*fresh)

    assert isinstance(outcome, Rewrite)
    assert outcome.delete_horizon_ms == NOW_MS + RETENTION_MS
    assert round_of(newest).data(*with_horizon(fresh, NOW_MS + 1)) == Keep()
    assert round_of(newest).data(*with_horizon(fresh, NOW_MS)) == Drop()


def test_a_tombstone_whose_key_was_written_again_goes_at_once() -> None:
    tombstone, value = batch(0, (b"a", None)), batch(1, (b"a", b"2"))

    assert round_of(newest_of(tombstone, value)).data(*tombstone) == Drop()


def test_aborted_records_go_at_once_and_do_not_replace_older_ones() -> None:
    good = batch(0, (b"a", b"1"))
    aborted = batch(1, (b"a", b"2"), producer=7, txn=True)
    end = marker(2, 7, commit=False)
    newest = newest_of(good)
    newest.end_offset = 3
    cleaning = round_of(newest, Span(7, 1, 2))

    assert cleaning.data(*good) == Keep()
    assert cleaning.data(*aborted) == Drop()
    assert cleaning.marker(*end, is_commit=False) == Keep()


def test_a_producers_committed_records_are_not_taken_for_its_aborted_ones() -> None:
    first = batch(0, (b"a", b"1"), producer=7, txn=True)
    second = batch(2, (b"a", b"2"), producer=7, txn=True)
    third = batch(4, (b"c", b"3"), producer=7, txn=True)
    newest = newest_of(first, third)
    cleaning = round_of(newest, Span(7, 2, 3))

    assert cleaning.data(*first) == Keep()
    assert cleaning.marker(*marker(1, 7, commit=True), is_commit=True) == Keep()
    assert cleaning.data(*second) == Drop()
    assert cleaning.marker(*marker(3, 7, commit=False), is_commit=False) == Keep()
    assert cleaning.data(*third) == Keep()


def test_a_marker_without_data_gets_a_horizon_and_goes_after_it() -> None:
    for commit in (True, False):
        end = marker(5, 7, commit=commit)
        newest = newest_of(end)

        outcome = round_of(newest).marker(*end, is_commit=commit)

        assert isinstance(outcome, Rewrite)
        assert outcome.delete_horizon_ms == NOW_MS + RETENTION_MS
        assert kept_offsets(outcome) == [5]
        kept, gone = with_horizon(end, NOW_MS + 1), with_horizon(end, NOW_MS)
        assert round_of(newest).marker(*kept, is_commit=commit) == Keep()
        assert round_of(newest).marker(*gone, is_commit=commit) == Drop()


def test_a_marker_stays_while_a_recovery_may_begin_before_it() -> None:
    end = marker(5, 7, commit=True)
    spent = with_horizon(end, NOW_MS)

    assert round_of(newest_of(end), oldest_snapshot=5).marker(*spent, is_commit=True) == Keep()
    assert round_of(newest_of(end), oldest_snapshot=6).marker(*spent, is_commit=True) == Drop()


def test_the_last_batch_of_a_known_producer_keeps_its_header() -> None:
    first = batch(0, (b"a", b"1"), producer=7)
    second = batch(1, (b"a", b"2"), producer=7)
    third = batch(2, (b"a", b"3"))
    newest = newest_of(first, second, third)
    cleaning = round_of(newest, producers={7: ProducerEnd(1, 0)})

    assert cleaning.data(*first) == Drop()
    assert cleaning.data(*second) == Rewrite(())


def test_a_batch_that_is_empty_already_is_not_written_anew() -> None:
    source = batch(0, (b"a", b"1"), producer=7)
    emptied = parsed(rewrite_batch(source.header, [], compression=0))
    newest = newest_of(source, batch(1, (b"a", b"2")))

    assert round_of(newest, producers={7: ProducerEnd(0, 0)}).data(*emptied) == Keep()
    assert round_of(newest, producers={7: ProducerEnd(9, 0)}).data(*emptied) == Drop()


def test_the_last_batch_of_each_new_segment_keeps_its_header() -> None:
    first, second = batch(0, (b"a", b"1")), batch(1, (None, b"x"))
    cleaning = round_of(newest_of(first, second), group_end=2)

    assert cleaning.data(*first) == Keep()
    assert cleaning.data(*second) == Rewrite(())


def test_a_marker_with_the_only_trace_of_a_producers_epoch_keeps_its_header() -> None:
    spent = with_horizon(marker(5, 7, commit=True), NOW_MS)
    newest = newest_of(spent)
    producers = {7: ProducerEnd(None, 0)}

    assert round_of(newest, producers=producers).marker(*spent, is_commit=True) == Rewrite(())
    assert round_of(newest, producers=producers).emptied_marker(spent.header) == Keep()
    assert round_of(newest).emptied_marker(spent.header) == Drop()
