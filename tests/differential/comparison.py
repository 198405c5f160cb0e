"""Compares what two brokers have answered in a scenario."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.differential.conversation import Step
from tests.differential.trees import Keyed, Tree

ABSENT = "absent"
_KEY = re.compile(r"\[[^\]]*\]")


@dataclass(frozen=True, slots=True)
class Difference:
    """One value that differs."""

    scenario: str
    step: int
    api: str
    version: int
    path: str
    kafka: Tree
    ours: Tree
    request: str

    @property
    def place(self) -> str:
        """The path without the keys of elements."""
        return _KEY.sub("[]", self.path)

    def __str__(self) -> str:
        asked = self.request if len(self.request) < 600 else self.request[:600] + " ..."
        return (
            f"{self.scenario}, step {self.step}: {self.api} version {self.version}, {self.path or 'answer'}\n"
            f"    Kafka: {self.kafka}\n    ours:  {self.ours}\n    asked: {asked}"
        )


def differences(scenario: str, kafka: Sequence[Step], ours: Sequence[Step]) -> list[Difference]:
    """What differs between two transcripts of a scenario."""
    found: list[Difference] = []
    for number, (theirs, own) in enumerate(zip(kafka, ours, strict=False), 1):
        for path, left, right in _compared("", theirs.answer, own.answer):
            found.append(Difference(scenario, number, own.api, own.version, path, left, right, own.request))
    shared = min(len(kafka), len(ours))
    if len(kafka) != len(ours) and not found:
        longer = (kafka if len(kafka) > shared else ours)[shared]
        sides = ("more steps", "over") if len(kafka) > shared else ("over", "more steps")
        found.append(Difference(scenario, shared + 1, longer.api, longer.version, "", *sides, longer.request))
    return found


def _compared(path: str, kafka: Tree, ours: Tree) -> Iterator[tuple[str, Tree, Tree]]:
    if isinstance(kafka, dict) and isinstance(ours, dict):
        for key in sorted(kafka.keys() | ours.keys()):
            inner = f"{path}[{key}]" if isinstance(kafka, Keyed) else f"{path}.{key}".removeprefix(".")
            yield from _compared(inner, kafka.get(key, ABSENT), ours.get(key, ABSENT))
    elif isinstance(kafka, list) and isinstance(ours, list) and len(kafka) == len(ours):
        for index, (left, right) in enumerate(zip(kafka, ours, strict=True)):
            yield from _compared(f"{path}[{index}]", left, right)
    elif kafka != ours:
        yield path, kafka, ours
