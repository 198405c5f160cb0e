"""Which names match a regular expression: of topics that members subscribe to, of transactional ids.

Kafka uses RE2, whose time is linear in the text, whatever the expression; a peer must not be able to keep the
broker busy. So an expression is compiled to a small machine of its own (Thompson's), which is in all places
of the expression at once and never goes back. What follows a set of places after a character is computed when
it is first met, and kept as long as there is room.

A name is matched as a whole.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, TypeAlias

from streamcore.log.broker.pattern_syntax import (
    ALPHABET,
    OTHER,
    Chars,
    Choice,
    Edge,
    Node,
    PatternError,
    Repeat,
    Sequence,
    parse_pattern,
)
from streamcore.log.broker.refusals import Refusal, Refused

PATTERN_LENGTH_MAX: Final = 4_096
_WORK_MAX: Final = 2_048
"""Parts of an expression, repetitions written out; each makes two steps at most."""
_KNOWN_MAX: Final = 4_096
_COMPILED_KEPT: Final = 256


@dataclass(frozen=True, slots=True)
class _Split:
    """Go on in both places."""

    first: int
    second: int


_Step: TypeAlias = Chars | Edge | _Split
"""A step of the machine; the place after the last one is the end of the expression."""
_Places: TypeAlias = frozenset[int]


@lru_cache(_COMPILED_KEPT)
def compile_pattern(text: str) -> NamePattern:
    """Compile a regular expression.

    Raises:
        Refused: ``INVALID_REGULAR_EXPRESSION``.
    """
    try:
        if len(text) > PATTERN_LENGTH_MAX:
            raise PatternError("it is too long")
        return NamePattern(_compiled(parse_pattern(text)))
    except PatternError as error:
        raise Refused(Refusal.INVALID_REGULAR_EXPRESSION, because=str(error)) from error


class NamePattern:
    """A compiled regular expression."""

    def __init__(self, steps: list[_Step]) -> None:
        self._steps = steps
        self._known: dict[tuple[_Places, str], _Places] = {}
        self._first = self._reached({0}, is_begin=True)

    def matches(self, name: str) -> bool:
        """Whether a name matches as a whole."""
        places = self._first
        for char in name:
            after = self._known.get((places, char))
            if after is None:
                after = self._after(places, char)
            if not after:
                return False
            places = after
        return len(self._steps) in self._reached(places, is_end=True)

    def _after(self, places: _Places, char: str) -> _Places:
        if len(self._known) >= _KNOWN_MAX:
            self._known.clear()
        steps = self._steps
        moved = {
            place + 1
            for place in places
            if place < len(steps) and isinstance(step := steps[place], Chars) and _has(step.chars, char)
        }
        after = self._known[places, char] = self._reached(moved)
        return after

    def _reached(self, places: Iterable[int], *, is_begin: bool = False, is_end: bool = False) -> _Places:
        """Where the machine is without another character."""
        reached: set[int] = set()
        waiting = list(places)
        while waiting:
            place = waiting.pop()
            if place in reached:
                continue
            reached.add(place)
            if place == len(self._steps):
                continue
            match self._steps[place]:
                case _Split(first, second):
                    waiting += (first, second)
                case Edge(wants_end):
                    if is_end if wants_end else is_begin:
                        waiting.append(place + 1)
                case Chars():
                    pass
        return frozenset(reached)


def _has(chars: frozenset[str], char: str) -> bool:
    return char in chars or (OTHER in chars and char not in ALPHABET)


def _compiled(node: Node) -> list[_Step]:
    compiler = _Compiler()
    compiler.compile(node)
    return compiler.steps


class _Compiler:
    """Writes the steps of an expression, repetitions written out."""

    def __init__(self) -> None:
        self.steps: list[_Step] = []
        self._work_left = _WORK_MAX

    def compile(self, node: Node) -> None:
        """Append the steps of a part. Raises ``PatternError`` if they are too many."""
        self._work_left -= 1
        if self._work_left < 0:
            raise PatternError("it is too large, with its repetitions written out")
        match node:
            case Chars() | Edge():
                self.steps.append(node)
            case Sequence(parts):
                for part in parts:
                    self.compile(part)
            case Choice(parts):
                self._compile_choice(parts)
            case Repeat(part, least, most):
                for _ in range(least):
                    self.compile(part)
                if most is None:
                    self._compile_endless(part)
                else:
                    self._compile_optional(part, most - least)

    def _compile_choice(self, parts: tuple[Node, ...]) -> None:
        ends = []
        for part in parts[:-1]:
            start = self._placeholder()
            self.compile(part)
            ends.append(self._placeholder())
            self.steps[start] = _Split(start + 1, len(self.steps))
        self.compile(parts[-1])
        for end in ends:
            self.steps[end] = _Split(len(self.steps), len(self.steps))

    def _compile_endless(self, part: Node) -> None:
        start = self._placeholder()
        self.compile(part)
        self.steps.append(_Split(start, start))
        self.steps[start] = _Split(start + 1, len(self.steps))

    def _compile_optional(self, part: Node, times: int) -> None:
        starts = []
        for _ in range(times):
            starts.append(self._placeholder())
            self.compile(part)
        for start in starts:
            self.steps[start] = _Split(start + 1, len(self.steps))

    def _placeholder(self) -> int:
        """Keep a place for a step that is known later."""
        self.steps.append(_Split(0, 0))
        return len(self.steps) - 1
