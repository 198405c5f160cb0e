"""What a known difference is: where it shows, and whether one that was found is it.

The list is in ``differences``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, TypeAlias

from tests.differential.comparison import Difference
from tests.differential.trees import Tree

Expected: TypeAlias = str | int | bool | list[Any] | Callable[[Tree], bool] | None
"""A value, or whether a value is one of those that are meant."""


def anything(_: Tree) -> bool:
    """Any value."""
    return True


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """A place in answers, and what stands there."""

    api: str
    path: str = "*"
    """Without the keys of elements; ``*`` stands for anything, here as in the others."""
    scenario: str = "*"
    kafka: Expected = anything
    ours: Expected = anything

    def covers(self, difference: Difference) -> bool:
        """Whether a difference is of this place."""
        return (
            fnmatchcase(difference.api, self.api)
            and fnmatchcase(_literal(difference.place), _literal(self.path))
            and fnmatchcase(difference.scenario, self.scenario)
            and _is(self.kafka, difference.kafka)
            and _is(self.ours, difference.ours)
        )


def _literal(path: str) -> str:
    """A path in which brackets mean nothing to ``fnmatch``."""
    return path.replace("[]", "()")


def _is(expected: Expected, value: Tree) -> bool:
    return expected(value) if callable(expected) else bool(expected == value)


@dataclass(frozen=True, slots=True)
class Beyond:
    """A difference in behaviour that no answer shows, in the words of the page."""

    kafka: str
    ours: str
    why: str


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """A difference that is meant to be, in the words of the page."""

    apis: str
    kafka: str
    ours: str
    why: str
    places: tuple[Place, ...]
