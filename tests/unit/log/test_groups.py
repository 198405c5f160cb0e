"""Where a reset of a group puts its committed offsets, and what a summary of a group says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from streamcore.clock import ManualClock
from streamcore.errors import UsageError
from streamcore.log.client.embedded.log import EmbeddedLog
from streamcore.log.client.group_log import DescribedGroup, MemberSummary
from streamcore.log.groups import reset_offsets, summarize
from streamcore.model import CommittedOffset, LogOffsets, RecordColumns, TopicPartition
from streamcore.testing.sim_disk import SimDisk

FIRST, SECOND = TopicPartition("t", 0), TopicPartition("t", 1)
DAY_MS = 86_400_000


@pytest.fixture
def log() -> Iterator[EmbeddedLog]:
    """Return a log with a record for each of ten days in the first partition, of which two are deleted."""
    log = EmbeddedLog.open(
        Path("/log"), clock=ManualClock(10 * DAY_MS), file_system=SimDisk(0), maintenance=False
    )
    log.create_topic("t", partitions=2)
    producer = log.producer_port()
    for day in range(10):
        producer.append_columns(FIRST, RecordColumns([b"k"], [b"v"], [day * DAY_MS])).result()
    producer.close()
    log.delete_records({FIRST: 2})
    yield log
    log.close()


@pytest.mark.parametrize(
    ("to", "offsets"),
    [
        ("earliest", {FIRST: 2, SECOND: 0}),
        ("latest", {FIRST: 10, SECOND: 0}),
        (5, {FIRST: 5, SECOND: 0}),
        (" 5 ", {FIRST: 5, SECOND: 0}),
        (0, {FIRST: 2, SECOND: 0}),
        (99, {FIRST: 10, SECOND: 0}),
        ("+1", {FIRST: 5}),
        ("-1", {FIRST: 3}),
        ("-9", {FIRST: 2}),
        ("+99", {FIRST: 10}),
        ("1970-01-04T00:00Z", {FIRST: 3, SECOND: 0}),
        (datetime(1970, 1, 4, 0, 0, 1, tzinfo=UTC), {FIRST: 4, SECOND: 0}),
        ("2d", {FIRST: 8, SECOND: 0}),
        (timedelta(days=2), {FIRST: 8, SECOND: 0}),
        ({FIRST: 7}, {FIRST: 7}),
        ({SECOND: 7}, {SECOND: 0}),
    ],
    ids=str,
)
def test_a_reset_stays_within_the_log(log: EmbeddedLog, to: Any, offsets: Mapping[Any, int]) -> None:
    found = reset_offsets(
        log, [FIRST, SECOND], to, committed={FIRST: CommittedOffset(4, "note")}, now_ms=10 * DAY_MS
    )

    assert found == {partition: CommittedOffset(offset) for partition, offset in offsets.items()}


def test_a_target_that_is_none_is_refused_with_those_that_there_are(log: EmbeddedLog) -> None:
    with pytest.raises(UsageError, match=r"earliest, latest, .*given='yesterday'"):
        reset_offsets(log, [FIRST], "yesterday", committed={}, now_ms=0)


def test_a_summary_has_the_lag_of_each_partition_that_is_committed_or_owned() -> None:
    third = TopicPartition("gone", 0)
    member = MemberSummary("m", None, "client", "host", (SECOND,))
    summary = summarize(
        DescribedGroup("g", "Stable", "range", 3, (member,)),
        {FIRST: CommittedOffset(4, "note"), third: CommittedOffset(9)},
        {FIRST: LogOffsets(0, 7, 8, 9), SECOND: LogOffsets(0, 5, 5, 5)},
    )

    assert [
        (found.partition, found.committed, found.log_end, found.lag, found.member_id, found.metadata)
        for found in summary.positions
    ] == [
        (third, 9, -1, None, None, ""),
        (FIRST, 4, 9, 3, None, "note"),
        (SECOND, None, 5, None, "m", ""),
    ]
    assert summary.lag == 3
