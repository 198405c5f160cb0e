"""Names that match a regular expression: topics that members subscribe to, and transactional ids.

Kafka uses RE2, whose time is linear in the text for every expression, so that a client cannot keep the broker
busy. This module uses the same engine (``google-re2``). A name is matched as a whole.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

from streamcore.log.broker.api_errors import ApiError, ErrorName

PATTERN_LENGTH_MAX: Final = 4_096
"""The maximum length of an expression in characters."""

_MEMORY_BYTES_MAX: Final = 1024 * 1024
"""The maximum memory of a compiled expression; RE2 refuses one that needs more."""
_COMPILED_KEPT: Final = 64


class NamePattern:
    """A compiled regular expression."""

    __slots__ = ("_compiled",)

    def __init__(self, compiled: Any) -> None:
        """``compiled`` is RE2's object."""
        self._compiled = compiled

    def matches(self, name: str) -> bool:
        """Whether a name matches as a whole."""
        return self._compiled.fullmatch(name) is not None


@lru_cache(_COMPILED_KEPT)
def compile_pattern(text: str) -> NamePattern:
    """Compile a regular expression in RE2's syntax.

    Raises:
        Refused: ``INVALID_REGULAR_EXPRESSION``: RE2 does not accept it, or it is too long or too large.
    """
    import re2  # imported at the first pattern: most logs have none

    if len(text) > PATTERN_LENGTH_MAX:
        reason = f"it has more than {PATTERN_LENGTH_MAX:,} characters"
        raise ApiError(ErrorName.INVALID_REGULAR_EXPRESSION, because=reason)
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MEMORY_BYTES_MAX
    try:
        return NamePattern(re2.compile(text, options=options))
    except (re2.error, UnicodeEncodeError) as error:
        reason = error.args[0].decode("utf-8", "replace") if isinstance(error, re2.error) else str(error)
        raise ApiError(ErrorName.INVALID_REGULAR_EXPRESSION, because=reason) from error
