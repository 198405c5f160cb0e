"""Committed positions as the replay of their records."""

from __future__ import annotations

from streamcore.log.broker.groups.committed_offsets import CommittedOffsets
from streamcore.log.broker.groups.records import StoredOffset
from streamcore.model import CommittedOffset, TopicPartition

FIRST = TopicPartition("t", 0)
SECOND = TopicPartition("t", 1)


def at(offset: int) -> StoredOffset:
    return StoredOffset(CommittedOffset(offset), 0)


def test_the_last_record_of_a_partition_counts() -> None:
    offsets = CommittedOffsets()

    offsets.replay("g", FIRST, at(5), at=0)
    offsets.replay("g", FIRST, at(3), at=1)

    assert offsets.of_group("g") == {FIRST: at(3)}


def test_a_pending_position_counts_only_after_its_commit_marker() -> None:
    offsets = CommittedOffsets()
    offsets.replay("g", FIRST, at(1), at=0)
    offsets.replay("g", FIRST, at(9), at=1, producer_id=7)

    before = offsets.of_group("g")
    unstable = (
        offsets.is_unstable("g", [FIRST]),
        offsets.is_unstable("g", [SECOND]),
        offsets.is_unstable("g", None),
    )
    offsets.replay_marker(7, True)

    assert before == {FIRST: at(1)}
    assert unstable == (True, False, True)
    assert offsets.of_group("g") == {FIRST: at(9)}
    assert not offsets.is_unstable("g", None)


def test_an_abort_marker_drops_pending_offsets_of_this_producer_only() -> None:
    offsets = CommittedOffsets()
    offsets.replay("g", FIRST, at(9), at=0, producer_id=7)
    offsets.replay("g", SECOND, at(8), at=1, producer_id=6)

    offsets.replay_marker(7, False)
    offsets.replay_marker(6, True)

    assert offsets.of_group("g") == {SECOND: at(8)}


def test_a_later_plain_commit_outlives_the_end_of_an_earlier_transaction() -> None:
    # Compaction keeps the record at 1; a restart after it must not see the one at 0 again.
    offsets = CommittedOffsets()
    offsets.replay("g", FIRST, at(5), at=0, producer_id=7)
    offsets.replay("g", FIRST, at(6), at=1)

    offsets.replay_marker(7, True)

    assert offsets.of_group("g") == {FIRST: at(6)}


def test_a_group_without_positions_is_forgotten() -> None:
    offsets = CommittedOffsets()
    offsets.replay("g", FIRST, at(5), at=0)

    offsets.replay("g", FIRST, None, at=1)

    assert offsets.groups() == set()
