"""The four marks of a partition, against their definition, after any appends, syncs and transactions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamcore.errors import OffsetOutOfRangeError
from streamcore.log.storage.partition.marks import Marks
from streamcore.log.storage.producers.producer_states import EndedTransaction
from streamcore.model import TopicPartition

PARTITION = TopicPartition("t", 0)

steps = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(0, 2)),
        st.tuples(st.just("end"), st.integers(0, 2)),
        st.tuples(st.just("show"), st.integers(0, 3)),
        st.tuples(st.just("cut"), st.integers(0, 3)),
    ),
    max_size=25,
)


@given(steps)
def test_no_undecided_record_is_before_the_last_stable_offset(steps: list[tuple[str, int]]) -> None:
    """Three producers append, end their transactions, and the log syncs and cuts its start in between."""
    marks = Marks(0, 0)
    log_end = shown = start = 0
    open_from: dict[int, int] = {}
    ended: list[EndedTransaction] = []
    for what, number in steps:
        if what == "append":
            open_from.setdefault(number, log_end)
            log_end += 1
            marks.append(log_end)
            marks.follow_transactions(min(open_from.values()))
        elif what == "end" and number in open_from:
            transaction = EndedTransaction(number, open_from.pop(number), log_end, True)
            ended.append(transaction)
            log_end += 1
            marks.append(log_end)
            marks.follow_transactions(min(open_from.values(), default=None), transaction)
        elif what == "show":
            shown = max(shown, log_end - number)
            marks.show(shown)
        elif what == "cut":
            start = max(start, min(shown, start + number))
            marks.cut_start(start)

        undecided = [*open_from.values(), *(each.first_offset for each in ended if each.last_offset >= shown)]
        assert marks.offsets.log_end == log_end
        assert marks.offsets.high_watermark == shown
        assert marks.offsets.log_start == start
        assert marks.offsets.last_stable == max(start, min([shown, *undecided]))


def test_a_read_starts_between_the_log_start_and_the_log_end() -> None:
    marks = Marks(5, 9)

    assert marks.ensure_readable(5, PARTITION) == marks.ensure_readable(9, PARTITION) == marks.offsets
    for offset in (4, 10):
        with pytest.raises(OffsetOutOfRangeError, match=f"offset={offset} log_start=5 log_end=9"):
            marks.ensure_readable(offset, PARTITION)


def test_records_are_deleted_only_once_they_are_visible() -> None:
    marks = Marks(0, 4)
    marks.append(6)

    marks.ensure_deletable(4, PARTITION)
    with pytest.raises(OffsetOutOfRangeError, match="high_watermark=4"):
        marks.ensure_deletable(5, PARTITION)
