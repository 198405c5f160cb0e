"""Faust and Quix count words in tables, and restore these from their changelogs when a worker is killed."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.interop.conftest import Client
from tests.interop.log_view import LogView
from tests.interop.peers import FAUST, QUIX
from tests.interop.programs import wait_until

pytestmark = pytest.mark.interop

_WORDS = ("log", "topic", "offset", "record", "batch", "segment", "table", "stream")
_FIRST_COUNT, _SECOND_COUNT = 300, 200


class Counting:
    """A topic of words, the topic of their counts, and how it should come out."""

    def __init__(self, log: LogView, name: str) -> None:
        self.log = log
        self.source, self.sink = f"{name}-source", f"{name}-sink"
        self.plain: Counter[str] = Counter()
        self._chosen = random.Random(7)
        for topic in (self.source, self.sink):
            log.create_topic(topic, 2)

    def feed(self, count: int) -> None:
        words = self._chosen.choices(_WORDS, k=count)
        self.plain.update(words)
        for start in range(0, count, 10):
            self.log.append(self.source, start // 10 % 2, *words[start : start + 10])

    def seen(self) -> dict[str | None, list[int]]:
        """All counts that a reader of committed records sees, by word."""
        found: dict[str | None, list[int]] = {word: [] for word in self.plain}
        for word, total in self.log.committed_records(self.sink):
            found[word].append(int(total or 0))
        return found

    def is_complete(self) -> bool:
        """Whether every word of the source is counted."""
        return {word: max(counts, default=0) for word, counts in self.seen().items()} == self.plain

    def is_committed(self, group: str) -> bool:
        """Whether a group's positions are at the ends of the source and of what is repartitioned."""
        repartitioned = [topic for topic in self.log.topics(group) if topic.endswith("-repartition")]
        return bool(repartitioned) and all(
            self.log.committed(group, topic) == self.log.ends(topic)
            for topic in (self.source, *repartitioned)
        )


@pytest.mark.parametrize("keeps_folder", [True, False], ids=["its-files", "no-files"])
@pytest.mark.shows(QUIX.name, "table")
def test_quix_counts_each_word_once_although_it_is_killed(
    broker: str, name: str, client_of: Callable[[str], Client], tmp_path: Path, keeps_folder: bool
) -> None:
    client = client_of(QUIX.name)
    counting = Counting(LogView(broker), name)
    arguments = {"application": name, "source": counting.source, "sink": counting.sink}
    counting.feed(_FIRST_COUNT)

    first = client.start(broker, "count", **arguments, folder=str(tmp_path / "first"))
    wait_until(lambda: any(counting.seen().values()), first.complaint)
    first.kill()
    counting.feed(_SECOND_COUNT)
    folder = tmp_path / ("first" if keeps_folder else "second")
    second = client.start(broker, "count", **arguments, folder=str(folder))
    wait_until(counting.is_complete, lambda: f"{counting.seen()} {second.complaint()}")
    second.stop()

    expected = {word: list(range(1, counting.plain[word] + 1)) for word in counting.plain}
    assert counting.seen() == expected


@pytest.mark.shows(FAUST.name, "table")
def test_faust_goes_on_with_the_counts_it_had_when_it_was_killed(
    broker: str, name: str, client_of: Callable[[str], Client], tmp_path: Path
) -> None:
    client = client_of(FAUST.name)
    counting = Counting(LogView(broker), name)
    arguments = {"application": name, "source": counting.source, "sink": counting.sink}
    counting.feed(_FIRST_COUNT)

    first = client.start(broker, "count", **arguments, folder=str(tmp_path / "first"))
    # It works at least once: what is not committed when it is killed would be counted again.
    wait_until(lambda: counting.is_complete() and counting.is_committed(name), first.complaint)
    at_first = dict(counting.plain)
    first.kill()
    counting.feed(_SECOND_COUNT)
    second = client.start(broker, "count", **arguments, folder=str(tmp_path / "second"))
    wait_until(counting.is_complete, lambda: f"{counting.seen()} {second.complaint()}")
    second.stop()

    restored = [table for table in second.found("restored") if table]
    assert restored
    assert all(restored[0].get(word, 0) >= at_first[word] for word in at_first)
