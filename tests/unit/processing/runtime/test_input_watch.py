"""What is noticed in fetched records although no step fails: keys in foreign partitions, times far ahead."""

from __future__ import annotations

import logging

import pytest

import streamcore as sc
from streamcore.model import FetchedColumns, TopicPartition
from streamcore.partitioning import partition_of_key
from streamcore.processing.runtime.input_watch import SAMPLED_KEYS, InputWatch
from streamcore.processing.runtime.inputs import RecordQueue
from streamcore.processing.topology.partitions import resolve_partitions

DAY_MS = 86_400_000


def watch_of(app: sc.App, *, ahead_ms_max: int | None = DAY_MS) -> InputWatch:
    plan = app.plan()
    return InputWatch(plan.sub_topologies, resolve_partitions(plan, {}), ahead_ms_max=ahead_ms_max)


def counting(*, partitions: int = 4) -> sc.App:
    app = sc.App("app")
    app.topic("events", key=str, value=bytes, partitions=partitions).tumbling("1m").count("per-minute")
    return app


def filled(
    app: sc.App, keys: list[bytes | None], *, partition: int = 0, time_ms: int = 0
) -> tuple[RecordQueue, FetchedColumns]:
    source = TopicPartition("events", partition)
    run = FetchedColumns(
        keys=keys,
        values=[b"v"] * len(keys),
        timestamps_ms=[time_ms] * len(keys),
        partition=source,
        offsets=list(range(len(keys))),
        next_offset=len(keys),
    )
    queue = RecordQueue(source, app.declaration.topics["events"], 0)
    queue.fill(run)
    return queue, run


def key_in(partition: int) -> bytes:
    return next(key for key in map(b"k%d".__mod__, range(100)) if partition_of_key(key, 4) == partition)


def test_keys_in_foreign_partitions_are_counted_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    app = counting()
    watch = watch_of(app)

    for _ in range(2):
        watch.look(*filled(app, [key_in(1)] * 1_000, partition=0), now_ms=0)

    assert watch.foreign_keys == {"events": 2 * SAMPLED_KEYS}
    assert len(caplog.records) == 1
    assert "murmur2" in caplog.text
    assert f"partition=events-0 key={key_in(1)!r} expected_partition=1" in caplog.text


def test_keys_where_murmur2_puts_them_and_records_without_key_are_nothing_to_tell() -> None:
    app = counting()
    watch = watch_of(app)

    for partition in range(4):
        watch.look(*filled(app, [key_in(partition), None], partition=partition), now_ms=0)
    watch.look(*filled(app, []), now_ms=0)

    assert watch.foreign_keys == {}


def test_keys_do_not_matter_without_a_table_or_with_one_partition() -> None:
    stateless = sc.App("app")
    stateless.topic("events", key=str, value=bytes, partitions=4).map(bytes.upper, value=bytes).to("out")

    for app in (stateless, counting(partitions=1)):
        watch = watch_of(app)
        watch.look(*filled(app, [key_in(1)], partition=0), now_ms=0)
        assert watch.foreign_keys == {}


def test_a_time_far_ahead_that_closes_windows_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    app = counting()
    watch = watch_of(app)

    for _ in range(2):
        watch.look(*filled(app, [None], time_ms=10 * DAY_MS), now_ms=8 * DAY_MS)

    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "max_ahead" in caplog.text
    assert "time=1970-01-11T00:00:00Z clock=1970-01-09T00:00:00Z" in caplog.text


@pytest.mark.parametrize(("ahead_ms_max", "now_ms"), [(DAY_MS, 9 * DAY_MS), (None, 0)])
def test_a_time_that_is_near_or_beside_a_clock_of_a_test_is_not_logged(
    ahead_ms_max: int | None, now_ms: int, caplog: pytest.LogCaptureFixture
) -> None:
    app = counting()

    watch_of(app, ahead_ms_max=ahead_ms_max).look(*filled(app, [None], time_ms=10 * DAY_MS), now_ms=now_ms)

    assert caplog.records == []
