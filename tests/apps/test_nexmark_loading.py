"""Loading Nexmark's events: all or nothing, each in the topic and partition of its key, as the line says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

import streamcore as sc
from apps.nexmark import q12
from apps.nexmark.generator import Recipe, event_lines
from apps.nexmark.loading import SIDE_ROWS, create_topics, load_lines
from streamcore.partitioning import partition_of_key

TOPICS = ("person", "auction", "bid", "nexmark-side")


def create(log: sc.Log) -> None:
    for topic in TOPICS:
        log.create_topic(topic, partitions=1, config={"retention.ms": "-1"})


def records_in(log: sc.Log, topic: str) -> list[sc.Record[Any, Any]]:
    found = []
    with log.consumer(topic, start="earliest") as consumer:
        while records := consumer.poll(timeout="0ms"):
            found += records
    return found


def test_a_line_becomes_a_value_in_the_topic_and_partition_of_its_key(tmp_path: Path) -> None:
    lines = list(event_lines(Recipe(), 150))
    with sc.connect(tmp_path, durability="relaxed") as log:
        create(log)
        create_topics(log, q12, 2)

        count = load_lines(log, (line.encode() + b"\n" for line in lines))

        found = [records_in(log, topic) for topic in TOPICS]
    assert count == 150
    assert [len(records) for records in found] == [3, 9, 138, SIDE_ROWS]
    assert sorted(record.value.decode() for records in found[:3] for record in records) == sorted(lines)
    for record in found[2]:
        event = msgspec.json.decode(record.value)
        assert record.key == b"%d" % event["auction"]
        assert record.partition == partition_of_key(record.key, 2)
        assert record.timestamp_ms == event["dateTime"]


def test_a_load_may_take_as_long_as_a_transaction_may_be_open(tmp_path: Path) -> None:
    timeouts_ms: list[int] = []

    def lines() -> Iterator[bytes]:
        found = log.embedded.node.broker.describe_transaction("nexmark-load")
        assert found is not None
        timeouts_ms.append(found.timeout_ms)
        yield from (line.encode() for line in event_lines(Recipe(), 50))

    with sc.connect(tmp_path, durability="relaxed") as log:
        create(log)
        load_lines(log, lines())

    assert timeouts_ms == [15 * 60_000]


def test_a_second_load_adds_events_and_no_second_side_table(tmp_path: Path) -> None:
    lines = [line.encode() for line in event_lines(Recipe(), 100)]
    with sc.connect(tmp_path, durability="relaxed") as log:
        create(log)
        load_lines(log, lines[:60])

        load_lines(log, [*lines[60:], b"\n"])

        assert [len(records_in(log, topic)) for topic in TOPICS] == [2, 6, 92, SIDE_ROWS]


def test_a_line_that_is_no_event_is_named_and_nothing_is_loaded(tmp_path: Path) -> None:
    lines = [line.encode() for line in event_lines(Recipe(), 100)]
    no_kind, no_auction = b'{"event_type":3,"id":1,"dateTime":5}', b'{"event_type":2,"dateTime":5}'
    with sc.connect(tmp_path, durability="relaxed") as log:
        create(log)

        for wrong in (b"", b"{", b"[]", no_kind, no_auction):
            with pytest.raises(sc.UsageError, match="line=61 "):
                load_lines(log, [*lines[:60], wrong, *lines[60:]])

        assert [records_in(log, topic) for topic in TOPICS] == [[], [], [], []]
        assert load_lines(log, lines) == 100


def test_topics_with_events_keep_their_partitions(tmp_path: Path) -> None:
    with sc.connect(tmp_path, durability="relaxed") as log:
        create(log)
        load_lines(log, [line.encode() for line in event_lines(Recipe(), 50)])

        create_topics(log, q12, 1)
        with pytest.raises(sc.UsageError, match="partitions=1 wanted=4"):
            create_topics(log, q12, 4)
