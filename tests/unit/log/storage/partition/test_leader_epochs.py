"""Leader epochs: where each ends, when one begins, and what is left of them when files are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamcore.errors import CorruptDataError, CorruptIndexError, UnknownTopicError, UnsupportedVersionError
from streamcore.log.records.batch import parse_header
from streamcore.log.storage.files import read_whole, write_whole
from streamcore.log.storage.partition.leader_epochs import (
    UNKNOWN_END,
    EpochEnd,
    LeaderEpochs,
    decode_epochs,
    encode_epochs,
)
from streamcore.log.storage.partition.leadership import EPOCHS_NAME, START_EPOCH_NAME
from streamcore.model import Isolation
from tests.support.partition_fixture import NOW_MS, ROOT, OnePartition

EPOCHS_PATH = ROOT / "t-0" / EPOCHS_NAME
START_PATH = ROOT / START_EPOCH_NAME


# --- where an epoch ends ----------------------------------------------------------------------------

BATCHES = st.lists(st.tuples(st.integers(0, 2), st.integers(1, 5)), max_size=12)
"""Batches: by how much the epoch has grown since the one before, and how many records."""


def stamped(batches: list[tuple[int, int]]) -> tuple[list[int], LeaderEpochs]:
    """The epoch of each offset, and what was noted of them."""
    epoch, by_offset, epochs = 0, list[int](), LeaderEpochs()
    for growth, count in batches:
        epoch += growth
        epochs.note(epoch, len(by_offset))
        by_offset += [epoch] * count
    return by_offset, epochs


def end_by_looking(by_offset: list[int], log_start: int, wanted: int, current: int) -> EpochEnd:
    if wanted > current:
        return UNKNOWN_END
    log_end = len(by_offset)
    kept = by_offset[log_start:]
    end = next((at for at in range(log_start, log_end) if by_offset[at] > wanted), log_end)
    if wanted == current:
        return EpochEnd(current, end)
    return EpochEnd(max((epoch for epoch in kept if epoch <= wanted), default=wanted), end)


@given(BATCHES, st.integers(0, 30), st.integers(0, 2), st.integers(0, 30), st.integers(0, 60))
def test_an_epoch_ends_where_the_stamps_say(
    batches: list[tuple[int, int]], wanted: int, ahead: int, cut_end: int, cut_start: int
) -> None:
    by_offset, epochs = stamped(batches)
    epochs.cut_end(cut_end)
    del by_offset[cut_end:]
    log_start = min(cut_start, len(by_offset))
    epochs.cut_start(log_start)
    current = max(by_offset, default=0) + ahead
    expected = end_by_looking(by_offset, log_start, wanted, current)

    found = epochs.end_of(wanted, current=current, log_end=len(by_offset))

    if log_start < len(by_offset):
        assert found == expected
    else:  # nothing is left: the last epoch is known to have been, and ends where the log does
        assert found.end_offset == expected.end_offset
    for offset in range(log_start, len(by_offset)):
        assert epochs.epoch_at(offset) == by_offset[offset]


@given(BATCHES)
def test_the_file_is_read_back(batches: list[tuple[int, int]]) -> None:
    _, epochs = stamped(batches)

    assert decode_epochs(encode_epochs(epochs), EPOCHS_PATH).starts == epochs.starts


def test_the_highest_epoch_is_known_although_its_records_are_gone() -> None:
    epochs = LeaderEpochs([(0, 0), (4, 10)])

    epochs.cut_end(10)

    assert (epochs.starts, epochs.highest) == ([(0, 0)], 4)


DAMAGED = [b"", b"0", b"0\n1\n", b"0\n1\n0 0", b"0\n2\n0 0\n", b"0\n2\n1 0\n0 5\n", b"0\n1\nx 0\n", b"\xff"]


@pytest.mark.parametrize("data", DAMAGED)
def test_a_damaged_file_raises_an_error_about_damage(data: bytes) -> None:
    with pytest.raises(CorruptIndexError):
        decode_epochs(data, EPOCHS_PATH)


def test_a_file_of_a_newer_format_is_refused() -> None:
    with pytest.raises(UnsupportedVersionError):
        decode_epochs(b"1\n0\n", EPOCHS_PATH)


# --- when one begins --------------------------------------------------------------------------------


def stored_stamps(one: OnePartition) -> list[int]:
    """The epoch that each batch is stamped with."""
    stamps: list[int] = []
    offset = one.log.offsets.log_start
    while offset < one.log.offsets.high_watermark:
        result = one.log.read(offset, bytes_max=1, isolation=Isolation.READ_UNCOMMITTED)
        stamps.append(parse_header(result.data).leader_epoch)
        offset = result.next_offset
    return stamps


def append_one(one: OnePartition) -> None:
    one.append(b"x")
    one.log.sync()


def test_each_unclean_start_begins_an_epoch_and_a_clean_one_does_not() -> None:
    one = OnePartition()
    append_one(one)
    one.crash()
    append_one(one)
    one.reopen()
    append_one(one)
    one.leave()
    append_one(one)

    assert stored_stamps(one) == [0, 1, 1, 2]
    assert one.log.leader_epoch == 2
    assert [one.log.end_of_epoch(epoch) for epoch in range(4)] == [(0, 1), (1, 3), (2, 4), UNKNOWN_END]


def test_no_epoch_is_begun_twice_although_nothing_was_written_in_it() -> None:
    one = OnePartition()
    append_one(one)

    epochs = [one.crash().leader_epoch for _ in range(3)]

    assert epochs == [1, 2, 3]
    assert one.log.end_of_epoch(1) == (0, 1)


@pytest.mark.parametrize("seed", range(30))
def test_a_reader_past_the_end_after_a_crash_receives_the_end(seed: int) -> None:
    one = OnePartition(flush="relaxed", seed=seed)
    append_one(one)
    for _ in range(20):
        one.append(b"seen, not synced")
    position, epoch = one.log.offsets.high_watermark, one.log.leader_epoch

    one.crash()
    left = one.log.offsets.log_end
    for _ in range(25):
        one.append(b"other")

    end = one.log.end_of_epoch(epoch)
    assert end == (epoch, left)
    assert (end.end_offset < position) == (left < 21)


def test_a_new_topic_begins_in_the_epoch_of_the_log() -> None:
    one = OnePartition()
    one.crash()

    one.manager.create_topic("new", 1, {})

    assert {log.leader_epoch for log in one.manager.catalog.all_logs()} == {1}


def test_an_unclean_start_of_a_log_without_topics_begins_nothing() -> None:
    one = OnePartition()
    one.manager.delete_topic("t")
    with pytest.raises(UnknownTopicError):
        one.crash()

    one.manager.create_topic("t", 1, {})

    assert one.log.leader_epoch == 0


# --- what is left -----------------------------------------------------------------------------------


def test_the_epochs_of_a_partition_stand_in_kafkas_file_after_a_stop() -> None:
    one = OnePartition()
    append_one(one)
    append_one(one)
    one.crash()
    append_one(one)

    one.manager.close()

    assert read_whole(one.disk, EPOCHS_PATH) == b"0\n2\n0 0\n1 2\n"
    assert read_whole(one.disk, START_PATH) == b"0\n1\n"


def two_epochs(segment_bytes: str) -> OnePartition:
    """A log with segments before and after the begin of an epoch, and one with it inside."""
    one = OnePartition(segment_bytes=segment_bytes)
    for _ in range(5):
        append_one(one)
    one.crash()
    for _ in range(5):
        append_one(one)
    return one


@pytest.mark.parametrize("segment_bytes", ["100", "300", "100000"])
@pytest.mark.parametrize("content", [None, b"", b"0\n9\n"])
@pytest.mark.parametrize("is_clean", [True, False])
def test_epochs_are_taken_from_the_batches_where_the_file_is_of_no_use(
    segment_bytes: str, content: bytes | None, is_clean: bool
) -> None:
    one = two_epochs(segment_bytes)
    one.manager.close()
    if content is None:
        one.disk.remove(EPOCHS_PATH)
    else:
        write_whole(one.disk, EPOCHS_PATH, content)

    log = one.leave() if is_clean else one.crash()

    assert [log.end_of_epoch(epoch) for epoch in (0, 1)] == [(0, 5), (1, 10)]


@pytest.mark.parametrize("segment_bytes", ["100", "300", "100000"])
def test_epochs_survive_crashes_wherever_they_begin(segment_bytes: str) -> None:
    one = two_epochs(segment_bytes)

    log = one.crash()

    assert [log.end_of_epoch(epoch) for epoch in (0, 1, 2)] == [(0, 5), (1, 10), (2, 10)]


def test_epochs_that_another_program_has_begun_are_gone_on_from() -> None:
    one = OnePartition()
    append_one(one)
    one.manager.close()
    write_whole(one.disk, EPOCHS_PATH, b"0\n2\n0 0\n7 1\n")

    log = one.leave()
    append_one(one)

    assert stored_stamps(one) == [0, 7]
    assert log.leader_epoch == 7
    # Records of that epoch may have been there, and be lost, so its number is not used again.
    assert one.crash().leader_epoch == 8


def test_retention_leaves_the_epoch_of_what_is_left() -> None:
    one = two_epochs("100")

    one.log.delete_records_before(7)
    one.reopen()

    assert read_whole(one.disk, EPOCHS_PATH) == b"0\n1\n1 7\n"
    assert one.log.end_of_epoch(1) == (1, 10)
    assert one.log.epoch_at(7) == 1


def test_the_epoch_is_kept_of_a_log_of_which_all_is_deleted() -> None:
    one = two_epochs("100000")

    one.log.delete_records_before(10)
    one.reopen()
    one.reopen()

    assert read_whole(one.disk, EPOCHS_PATH) == b"0\n1\n1 10\n"
    assert one.log.end_of_epoch(1) == (1, 10)


def test_compaction_leaves_epochs_whose_records_are_all_gone() -> None:
    settings = {"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0"}
    one = OnePartition(segment_bytes="100")
    for _ in range(3):
        append_one(one)
        append_one(one)
        one.crash()
    append_one(one)

    one.manager.set_topic_config("t", settings)
    one.manager.maintain()
    one.reopen()

    assert stored_stamps(one) == [2, 3]
    assert [one.log.end_of_epoch(epoch) for epoch in range(4)] == [(0, 2), (1, 4), (2, 6), (3, 7)]


def test_a_start_epoch_that_cannot_be_read_is_not_guessed() -> None:
    one = OnePartition()
    one.crash()

    for content in (b"", b"0\nx\n", b"0\n1"):
        write_whole(one.disk, START_PATH, content)
        with pytest.raises(CorruptDataError):
            one.leave()
    write_whole(one.disk, START_PATH, b"1\n1\n")
    with pytest.raises(UnsupportedVersionError):
        one.leave()


def test_the_epoch_of_the_next_record_is_the_one_that_is_written_in() -> None:
    one = OnePartition()
    append_one(one)
    one.crash()

    assert [one.log.epoch_at(offset) for offset in (0, 1)] == [0, 1]
    assert one.clock.now_ms() == NOW_MS
