"""Records that the user's code makes are checked where they are made."""

from __future__ import annotations

from typing import Any

import pytest

from streamcore.errors import (
    InvalidRecordError,
    InvalidTimestampError,
    SerdeError,
    UsageError,
    UserCodeError,
)
from streamcore.model import Record
from streamcore.processing.topology.made_records import (
    checked_headers,
    encoded,
    made_record,
    partition_without_key,
    wanted_partition,
)
from streamcore.processing.topology.specs import TopicSpec
from streamcore.serde import serde_for

record: Any = Record
"""The class, for fields of other types than it declares."""


def test_a_record_in_order_is_itself() -> None:
    made = Record("k", 1, 5, (("a", b"1"), ("b", None)))

    assert made_record(made) is made
    assert made_record(Record("k", 1, -1)).timestamp_ms == -1


@pytest.mark.parametrize(
    ("made", "error"),
    [
        (("k", 1), UserCodeError),
        (None, UserCodeError),
        (Record("k", 1, -2), InvalidTimestampError),
        (Record("k", 1, 10**15), InvalidTimestampError),
        (record("k", 1, "now"), UsageError),
        (record("k", 1, 5, (("a", "text"),)), InvalidRecordError),
    ],
    ids=repr,
)
def test_what_is_no_record_to_write_is_refused(made: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        made_record(made)


def test_headers_in_lists_become_pairs() -> None:
    headers: Any = [["a", b"1"], ("b", None)]

    assert made_record(Record("k", 1, 5, headers)).headers == (("a", b"1"), ("b", None))


@pytest.mark.parametrize(
    "headers",
    ["ab", {"a": b"1"}, [("a",)], [("a", b"1", b"2")], [(1, b"1")], [("\ud800", b"")], [("a", 1)], [5]],
)
def test_headers_are_pairs_of_text_that_can_be_written_and_bytes(headers: Any) -> None:
    with pytest.raises(InvalidRecordError, match=r"pairs of text and bytes.*given="):
        checked_headers(headers)


def test_a_key_or_value_of_another_type_is_named() -> None:
    topic = TopicSpec(name="t", key_serde=serde_for(str), value_serde=serde_for(int))

    assert encoded(topic, Record("k", None, 5)).value is None
    assert encoded(topic, Record("k", 7, 5)).value == b"7"
    with pytest.raises(SerdeError, match=r"this key is not of the topic's type: topic=t value=7"):
        encoded(topic, Record(7, 7, 5))
    with pytest.raises(SerdeError, match=r"this value is not .* value='seven'"):
        encoded(topic, Record("k", "seven", 5))


def test_a_record_that_was_read_goes_where_its_key_decides() -> None:
    assert wanted_partition("t", Record("k", 1, 5, partition=3), 4) == 3
    assert wanted_partition("t", Record("k", 1, 5, partition=3, offset=7), 4) == -1
    assert wanted_partition("t", Record("k", 1, 5), 4) == -1


@pytest.mark.parametrize("partition", [4, -2, True, "1"])
def test_a_partition_that_the_topic_does_not_have_is_refused(partition: Any) -> None:
    with pytest.raises(UsageError, match=r"no such partition.*topic=t .*partitions=4"):
        wanted_partition("t", Record("k", 1, 5, partition=partition), 4)


def test_records_without_a_key_are_spread_by_where_they_were_read() -> None:
    read = [
        Record[bytes | None, bytes | None](None, b"v", 5, topic="t", partition=1, offset=offset)
        for offset in range(8)
    ]

    assert [partition_without_key(each, 4) for each in read] == [1, 2, 3, 0, 1, 2, 3, 0]
