"""The shared nouns, and how errors are grouped by what a caller does about them."""

from __future__ import annotations

import inspect

import pytest

from streamcore import errors
from streamcore.errors import StreamCoreError, UsageError, fact_text, with_facts
from streamcore.model import FetchedColumns, Isolation, LogOffsets, Record, TopicPartition, Windowed


def test_facts_end_a_message_as_key_value_pairs() -> None:
    assert fact_text(topic="orders", partition=3) == "topic=orders partition=3"
    assert fact_text() == ""


def test_a_message_is_a_text_a_colon_and_facts() -> None:
    message = with_facts("create the topic first", text="a", topic="orders")

    assert message == "create the topic first: text=a topic=orders"


def test_every_error_raised_on_purpose_has_one_base_and_says_when_it_is_raised() -> None:
    found = [
        each for _, each in inspect.getmembers(errors, inspect.isclass) if each.__module__ == errors.__name__
    ]

    assert all(issubclass(each, StreamCoreError) for each in found)
    assert all(each.__doc__ for each in found)
    assert issubclass(errors.TopologyError, UsageError)


def test_visible_end_depends_on_the_isolation() -> None:
    offsets = LogOffsets(log_start=1, last_stable=4, high_watermark=6, log_end=9)

    assert offsets.visible_end(Isolation.READ_COMMITTED) == 4
    assert offsets.visible_end(Isolation.READ_UNCOMMITTED) == 6


@pytest.mark.parametrize("marks", [(-1, 0, 0, 0), (2, 1, 3, 4), (0, 3, 2, 4), (0, 1, 5, 4)])
def test_marks_in_another_order_cannot_be_built(marks: tuple[int, int, int, int]) -> None:
    with pytest.raises(AssertionError):
        LogOffsets(*marks)


def test_a_run_gives_its_rows_with_their_places() -> None:
    run = FetchedColumns(
        [b"a", None],
        [b"1", None],
        [10, 20],
        None,
        partition=TopicPartition("t", 2),
        offsets=[5, 7],
        next_offset=9,
    )

    assert len(run) == 2
    assert run.records() == [
        Record(b"a", b"1", 10, (), "t", 2, 5),
        Record(None, None, 20, (), "t", 2, 7),
    ]


def test_a_run_with_headers_gives_each_row_its_own() -> None:
    run = FetchedColumns(
        [None, None],
        [b"1", b"2"],
        [1, 2],
        [(("h", b"x"),), ()],
        partition=TopicPartition("t", 0),
        offsets=[0, 1],
        next_offset=2,
    )

    assert [record.headers for record in run.records()] == [(("h", b"x"),), ()]


def test_windows_of_a_key_sort_by_time() -> None:
    assert sorted([Windowed("b", 0, 5), Windowed("a", 5, 10), Windowed("a", 0, 5)]) == [
        Windowed("a", 0, 5),
        Windowed("a", 5, 10),
        Windowed("b", 0, 5),
    ]


def test_partitions_sort_and_show_as_tools_write_them() -> None:
    assert str(TopicPartition("orders", 10)) == "orders-10"
    assert sorted([TopicPartition("b", 0), TopicPartition("a", 10), TopicPartition("a", 9)])[0].partition == 9


def test_the_old_name_of_a_committed_offset_still_works_with_a_warning() -> None:
    import streamcore.model as model

    with pytest.warns(DeprecationWarning, match="CommittedOffset"):
        assert model.CommittedPosition is model.CommittedOffset
