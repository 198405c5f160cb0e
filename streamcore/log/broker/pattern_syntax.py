"""Reads a regular expression, in RE2's syntax, into a tree of what it matches.

A character, ``.`` and every class is the set of those of ``ALPHABET`` that it matches, which are all that a
topic's name can have. Of other characters, which transactional ids may have, ``.`` and what is negated
match all, and the rest what it names. What RE2 does not have (backreferences, looking ahead or behind,
possessive repetitions) is refused, and so are its word boundaries.
"""

from __future__ import annotations

import string
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

OTHER: Final = "\U0010ffff"
"""Stands in a set for every character that is not in ``ALPHABET``."""
ALPHABET: Final = frozenset(map(chr, range(32, 127))) | {OTHER}
"""The characters that are told apart; others only where an expression names them."""

_REPEAT_MAX: Final = 1_000
_DEPTH_MAX: Final = 100
_DIGITS: Final = frozenset(string.digits)
_WORD: Final = frozenset(string.ascii_letters + string.digits + "_")
_SPACE: Final = frozenset(" \t\n\r\f\v")
_CLASSES: Final = {"d": _DIGITS, "w": _WORD, "s": _SPACE}
_POSIX: Final = {
    "alnum": frozenset(string.ascii_letters + string.digits),
    "alpha": frozenset(string.ascii_letters),
    "ascii": frozenset(map(chr, range(128))),
    "blank": frozenset(" \t"),
    "cntrl": frozenset(map(chr, (*range(32), 127))),
    "digit": _DIGITS,
    "graph": frozenset(map(chr, range(33, 127))),
    "lower": frozenset(string.ascii_lowercase),
    "print": frozenset(map(chr, range(32, 127))),
    "punct": frozenset(string.punctuation),
    "space": _SPACE,
    "upper": frozenset(string.ascii_uppercase),
    "word": _WORD,
    "xdigit": frozenset(string.hexdigits),
}
_CONTROLS: Final = {"a": "\a", "f": "\f", "t": "\t", "n": "\n", "r": "\r", "v": "\v"}
_CATEGORIES: Final = frozenset("LMNPSZC")


class PatternError(ValueError):
    """A text is not a regular expression that is understood; says why."""


@dataclass(frozen=True, slots=True)
class Chars:
    """One character, of these."""

    chars: frozenset[str]


@dataclass(frozen=True, slots=True)
class Edge:
    """The beginning or the end of the name."""

    is_end: bool


@dataclass(frozen=True, slots=True)
class Sequence:
    """One part after the other."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """One of the parts."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """A part, ``least`` times or more; ``most`` times at most, if that is said."""

    part: Node
    least: int
    most: int | None


Node: TypeAlias = Chars | Edge | Sequence | Choice | Repeat


def parse_pattern(text: str) -> Node:
    """Read a regular expression. Raises ``PatternError``."""
    reader = _PatternReader(text)
    node = reader.choice()
    if not reader.is_at_end:
        raise PatternError("a ) closes nothing")
    return node


class _PatternReader:
    """Takes the parts of an expression off its front."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._place = 0
        self._depth = 0
        self._ignores_case = False

    @property
    def is_at_end(self) -> bool:
        """Whether everything was read."""
        return self._place >= len(self._text)

    def choice(self) -> Node:
        """Parts with ``|`` between them, up to a ``)`` or the end."""
        self._depth += 1
        if self._depth > _DEPTH_MAX:
            raise PatternError("groups are nested too deeply")
        ignores_case = self._ignores_case
        parts = [self._sequence()]
        while self._take_if("|"):
            parts.append(self._sequence())
        self._ignores_case = ignores_case
        self._depth -= 1
        return parts[0] if len(parts) == 1 else Choice(tuple(parts))

    def _sequence(self) -> Node:
        parts: list[Node] = []
        while not self.is_at_end and self._peek() not in "|)":
            if self._take_if("\\Q"):
                end = self._text.find("\\E", self._place)
                quoted = self._text[self._place : end if end >= 0 else len(self._text)]
                self._place = min(len(self._text), self._place + len(quoted) + 2)
                parts.extend(self._literal(char) for char in quoted)
                continue
            part = self._atom()
            if part is not None:
                parts.append(self._repeated(part))
        return parts[0] if len(parts) == 1 else Sequence(tuple(parts))

    def _repeated(self, part: Node) -> Node:
        bounds = self._bounds()
        if bounds is None:
            return part
        self._take_if("?")  # as little as possible: the same names match
        if self._bounds() is not None:
            raise PatternError("a repetition is repeated: put it in a group")
        least, most = bounds
        if least > _REPEAT_MAX or (most is not None and (most > _REPEAT_MAX or most < least)):
            raise PatternError("a repetition has impossible bounds")
        return Repeat(part, least, most)

    def _bounds(self) -> tuple[int, int | None] | None:
        for sign, bounds in (("*", (0, None)), ("+", (1, None)), ("?", (0, 1))):
            if self._take_if(sign):
                return bounds
        if self.is_at_end or self._peek() != "{":
            return None
        end = self._text.find("}", self._place)
        least, comma, most = self._text[self._place + 1 : max(end, 0)].partition(",")
        if end < 0 or not _is_number(least) or not (most == "" or _is_number(most)):
            return None  # a brace that begins no repetition stands for itself
        self._place = end + 1
        if not comma:
            return int(least), int(least)
        return int(least), int(most) if most else None

    def _atom(self) -> Node | None:
        char = self._take()
        match char:
            case "(":
                return self._group()
            case "[":
                return Chars(self._bracket())
            case ".":
                return Chars(ALPHABET)
            case "^":
                return Edge(is_end=False)
            case "$":
                return Edge(is_end=True)
            case "*" | "+" | "?":
                raise PatternError(f"there is nothing before {char} to repeat")
            case "\\":
                return self._escape()
            case _:
                return self._literal(char)

    def _group(self) -> Node | None:
        ignores_case = self._ignores_case
        if self._take_if("?"):
            for opening in ("P<", "<"):
                if self._take_if(opening):
                    name = self._take_until(">")
                    if not name.isidentifier():
                        raise PatternError("a group has an impossible name")
                    break
            else:
                if not self._flags():
                    return None
        node = self.choice()
        if not self._take_if(")"):
            raise PatternError("a ( is not closed")
        self._ignores_case = ignores_case
        return node

    def _flags(self) -> bool:
        """Flags of a group; false if they stand alone, for what follows them."""
        is_on = True
        while True:
            match self._take():
                case "i":
                    self._ignores_case = is_on
                case "m" | "s" | "U":
                    pass  # they make no difference to names, which have no lines
                case "-":
                    is_on = False
                case ":":
                    return True
                case ")":
                    return False
                case _:
                    raise PatternError("a group begins with what is not understood")

    def _escape(self) -> Node:
        char = self._take()
        match char:
            case "A":
                return Edge(is_end=False)
            case "z":
                return Edge(is_end=True)
            case _:
                return Chars(self._cased(self._escaped_set(char)))

    def _escaped_set(self, char: str) -> frozenset[str]:
        if char.lower() in _CLASSES:
            chars = _CLASSES[char.lower()]
            return ALPHABET - chars if char.isupper() else chars
        if char in "pP":
            return self._unicode_class(is_negated=char == "P")
        if char == "x":
            return frozenset(self._hexadecimal())
        if char in _CONTROLS:
            return frozenset(_CONTROLS[char])
        if char.isalnum() or not char.isascii():
            raise PatternError(f"\\{char} is not understood")
        return frozenset(char)

    def _unicode_class(self, *, is_negated: bool) -> frozenset[str]:
        name = self._take_until("}") if self._take_if("{") else self._take()
        if name.startswith("^"):
            name, is_negated = name[1:], not is_negated
        if name == "Latin":
            chars = _POSIX["alpha"]
        elif name[:1] in _CATEGORIES and len(name) <= 2:
            chars = frozenset(char for char in ALPHABET if unicodedata.category(char).startswith(name))
        else:
            raise PatternError(f"\\p{{{name}}} is not understood")
        return ALPHABET - chars if is_negated else chars

    def _hexadecimal(self) -> str:
        digits = self._take_until("}") if self._take_if("{") else self._take() + self._take()
        if not digits or not all(digit in string.hexdigits for digit in digits) or int(digits, 16) > 0x10FFFF:
            raise PatternError("\\x is not followed by a character's number")
        return chr(int(digits, 16))

    def _bracket(self) -> frozenset[str]:
        is_negated = self._take_if("^")
        chars: set[str] = set()
        is_first = True
        while is_first or not self._take_if("]"):
            is_first = False
            if self._take_if("[:"):
                chars |= self._posix_class()
                continue
            low = self._bracket_char()
            if isinstance(low, frozenset):
                chars |= low
            elif self._text[self._place : self._place + 1] == "-" and self._peek(1) not in ("]", ""):
                self._take()
                high = self._bracket_char()
                if isinstance(high, frozenset) or high < low:
                    raise PatternError("a range of characters has impossible bounds")
                chars |= {char for char in _CASED_ALPHABET if low <= char <= high}
            else:
                chars.add(low)
        cased = self._cased(frozenset(chars))
        return ALPHABET - cased if is_negated else cased

    def _bracket_char(self) -> str | frozenset[str]:
        char = self._take()
        if char != "\\":
            return char
        escaped = self._take()
        chars = self._escaped_set(escaped)
        is_single = len(chars) == 1 and escaped.lower() not in "dswp"
        return next(iter(chars)) if is_single else chars

    def _posix_class(self) -> frozenset[str]:
        is_negated = self._take_if("^")
        name = self._take_until(":]")
        if name not in _POSIX:
            raise PatternError(f"[:{name}:] is not understood")
        return ALPHABET - _POSIX[name] if is_negated else _POSIX[name]

    def _literal(self, char: str) -> Chars:
        return Chars(self._cased(frozenset(char)))

    def _cased(self, chars: frozenset[str]) -> frozenset[str]:
        if not self._ignores_case:
            return chars
        both: Callable[[str], tuple[str, str]] = lambda char: (char.lower(), char.upper())  # noqa: E731
        return frozenset(cased for char in chars for cased in both(char))

    def _peek(self, ahead: int = 0) -> str:
        place = self._place + ahead
        return self._text[place : place + 1]

    def _take(self) -> str:
        if self.is_at_end:
            raise PatternError("it ends in the middle")
        self._place += 1
        return self._text[self._place - 1]

    def _take_if(self, wanted: str) -> bool:
        if not self._text.startswith(wanted, self._place):
            return False
        self._place += len(wanted)
        return True

    def _take_until(self, end: str) -> str:
        place = self._text.find(end, self._place)
        if place < 0:
            raise PatternError(f"{end} is missing")
        taken = self._text[self._place : place]
        self._place = place + len(end)
        return taken


_CASED_ALPHABET: Final = tuple(sorted(ALPHABET))


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()
