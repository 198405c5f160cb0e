"""What is noticed in fetched records although no step fails: keys in foreign partitions, times far ahead."""

from __future__ import annotations

import logging

import pytest

import streamcore as sc
from streamcore.model import FetchedColumns, TopicPartition
from streamcore.partitioning import partition_of_key
from streamcore.processing.runtime.input_watch import SAMPLED_KEYS, InputWatch
from streamcore.processing.topology.partitions import resolve_partitions

DAY_MS = 86_400_000


def watch_of(app: sc.App) -> InputWatch:
    plan = app.plan()
    return InputWatch(plan.sub_topologies, resolve_partitions(plan, {}))


def counting(*, partitions: int = 4) -> sc.App:
    app = sc.App("app")
    app.topic("events", key=str, value=bytes, partitions=partitions).tumbling("1m").count("per-minute")
    return app


def filled(keys: list[bytes | None], *, partition: int = 0) -> tuple[TopicPartition, FetchedColumns]:
    source = TopicPartition("events", partition)
    columns = FetchedColumns(
        keys=keys,
        values=[b"v"] * len(keys),
        timestamps_ms=[0] * len(keys),
        partition=source,
        offsets=list(range(len(keys))),
        next_offset=len(keys),
    )
    return source, columns


def key_in(partition: int) -> bytes:
    return next(key for key in map(b"k%d".__mod__, range(100)) if partition_of_key(key, 4) == partition)


def test_keys_in_foreign_partitions_are_counted_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    app = counting()
    watch = watch_of(app)

    for _ in range(2):
        watch.look(*filled([key_in(1)] * 1_000, partition=0), ahead=[], now_ms=0)

    assert watch.foreign_keys == {"events": 2 * SAMPLED_KEYS}
    assert len(caplog.records) == 1
    assert "murmur2" in caplog.text
    assert f"partition=events-0 key={key_in(1)!r} expected_partition=1" in caplog.text


def test_keys_where_murmur2_puts_them_and_records_without_key_are_nothing_to_tell() -> None:
    app = counting()
    watch = watch_of(app)

    for partition in range(4):
        watch.look(*filled([key_in(partition), None], partition=partition), ahead=[], now_ms=0)
    watch.look(*filled([]), ahead=[], now_ms=0)

    assert watch.foreign_keys == {}


def test_keys_do_not_matter_without_a_table_or_with_one_partition() -> None:
    stateless = sc.App("app")
    stateless.topic("events", key=str, value=bytes, partitions=4).map(bytes.upper, value=bytes).to("out")

    for app in (stateless, counting(partitions=1)):
        watch = watch_of(app)
        watch.look(*filled([key_in(1)], partition=0), ahead=[], now_ms=0)
        assert watch.foreign_keys == {}


def test_times_far_ahead_are_counted_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    watch = watch_of(counting())

    for _ in range(2):
        watch.look(*filled([None]), ahead=[10 * DAY_MS, 9 * DAY_MS], now_ms=7 * DAY_MS)

    assert watch.times_ahead == {"events": 4}
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "max_ahead" in caplog.text
    assert "time=1970-01-11T00:00:00Z clock=1970-01-08T00:00:00Z" in caplog.text
