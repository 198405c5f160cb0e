"""Kafka Streams counts words exactly once, also when it is killed in the middle."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.interop.conftest import Client
from tests.interop.log_view import LogView
from tests.interop.peers import STREAMS
from tests.interop.programs import wait_until

pytestmark = pytest.mark.interop

_LINE_COUNT = 600
_WORDS = ("log", "topic", "offset", "record", "batch", "segment", "table", "stream")


@pytest.mark.shows(STREAMS.name, "count")
def test_each_word_is_counted_once_although_the_counter_is_killed(
    broker: str, name: str, client_of: Callable[[str], Client], tmp_path: Path
) -> None:
    client = client_of(STREAMS.name)
    log = LogView(broker)
    source, sink = f"{name}-source", f"{name}-sink"
    log.create_topic(source, 2)
    log.create_topic(sink, 2)
    chosen = random.Random(7)
    lines = [" ".join(chosen.choices(_WORDS, k=5)) for _ in range(_LINE_COUNT)]
    arguments = {"application": name, "source": source, "sink": sink, "state": str(tmp_path / "state")}

    first = client.start(broker, "count", **arguments)
    for start in range(0, _LINE_COUNT // 2, 10):
        log.append(source, start // 10 % 2, *lines[start : start + 10])
    wait_until(lambda: bool(log.committed_records(sink)), first.complaint)
    log.append(source, 0, *lines[_LINE_COUNT // 2 :])
    first.kill()
    counted_before = len(log.committed_records(sink))
    second = client.start(broker, "count", **arguments)
    word_count = 5 * _LINE_COUNT
    wait_until(
        lambda: len(log.committed_records(sink)) >= word_count,
        lambda: f"{len(log.committed_records(sink))} {second.facts[-3:]} {second.complaint()}",
    )
    second.stop()

    counts: dict[str | None, list[str | None]] = defaultdict(list)
    for word, count in log.committed_records(sink):
        counts[word].append(count)
    plain = Counter(" ".join(lines).split())
    assert counts == {word: [str(n + 1) for n in range(plain[word])] for word in plain}
    assert counted_before < word_count, "killed too late to show anything"
    assert not first.found("failed") + second.found("failed")
