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

    def seen(self) -> dict[str, list[int]]:
        """All counts that a reader of committed records sees, by word."""
        found: dict[str, list[int]] = {word: [] for word in self.plain}
        for word, total in self.log.committed_records(self.sink):
            found[str(word)].append(int(str(total)))
        return found

    def each_once(self) -> dict[str, list[int]]:
        """The counts as they are if every word is counted once."""
        return {word: list(range(1, self.plain[word] + 1)) for word in self.plain}

    def is_complete(self) -> bool:
        """Whether every word of the source is counted."""
        return not self.difference()

    def difference(self) -> dict[str, tuple[int, int]]:
        """What was counted, and what should have been, where that is not the same."""
        last = {word: max(counts, default=0) for word, counts in self.seen().items()}
        return {word: (last[word], self.plain[word]) for word in self.plain if last[word] != self.plain[word]}

    def is_committed(self, group: str) -> bool:
        """Whether a group's positions are at the ends of the source and of what is repartitioned."""
        mine = [topic for topic in self.log.topics() if self.source in topic]
        repartitioned = [topic for topic in mine if topic.endswith("-repartition")]
        return bool(repartitioned) and all(
            self.log.committed(group, topic) == self.log.ends(topic)
            for topic in (self.source, *repartitioned)
        )


@pytest.mark.shows(QUIX.name, "table")
def test_quix_counts_each_word_once_although_it_is_killed(
    broker: str, name: str, client_of: Callable[[str], Client], tmp_path: Path
) -> None:
    client = client_of(QUIX.name)
    counting = Counting(LogView(broker), name)
    arguments = {"application": name, "source": counting.source, "sink": counting.sink}
    counting.feed(_FIRST_COUNT)

    first = client.start(broker, "count", **arguments, folder=str(tmp_path / "first"))
    wait_until(lambda: any(counting.seen().values()), first.complaint)
    first.kill()
    counting.feed(_SECOND_COUNT)
    second = client.start(broker, "count", **arguments, folder=str(tmp_path / "second"))
    wait_until(counting.is_complete, lambda: f"{counting.difference()} {second.complaint()}")
    second.stop()

    assert counting.seen() == counting.each_once()


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
    second = client.start(broker, "count", **arguments, folder=str(tmp_path / "second"))
    wait_until(lambda: at_first in second.found("restored"), lambda: f"{second.facts} {second.complaint()}")
    counting.feed(_SECOND_COUNT)
    wait_until(counting.is_complete, lambda: f"{counting.difference()} {second.complaint()}")
    second.stop()

    assert counting.seen() == counting.each_once()
