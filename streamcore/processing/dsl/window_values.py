"""The values of the windows that hold an event, of one key of a hopping table.

Arithmetic and ``map`` apply to each window by itself::

    counts[key] += 1
    highest[key] = highest[key].map(max, price)
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, NoReturn, TypeVar

from streamcore.errors import UsageError, fact_text
from streamcore.model import Windowed

V = TypeVar("V")
T = TypeVar("T")


class WindowValues(Generic[V]):
    """The value of a key in each window that holds the event, by the start of the window.

    It is what ``table[key]`` of a hopping table returns, and what can be assigned to it. It never changes.
    """

    __slots__ = ("_table", "_values", "_windows")

    def __init__(self, table: str, windows: Sequence[Windowed[Any]], values: Sequence[V]) -> None:
        self._table = table
        self._windows = windows
        self._values = values

    def __repr__(self) -> str:
        return f"<WindowValues of {self._table!r} {dict(self.items())!r}>"

    def items(self) -> Iterator[tuple[Windowed[Any], V]]:
        """Return the windows with their values, earliest first."""
        return iter(zip(self._windows, self._values, strict=True))

    def values(self) -> list[V]:
        """Return the values, that of the earliest window first."""
        return list(self._values)

    def newest(self) -> V:
        """Return the value of the window that starts last."""
        return self._values[-1]

    def map(self, function: Callable[..., T], *arguments: object) -> WindowValues[T]:
        """Return what ``function(value, *arguments)`` makes of each value."""
        made = [function(value, *arguments) for value in self._values]
        return WindowValues(self._table, self._windows, made)

    def __len__(self) -> int:
        """Return the number of windows."""
        return len(self._windows)

    def __bool__(self) -> NoReturn:
        """Raise ``UsageError``: several values are neither true nor false."""
        self._refuse()

    def __eq__(self, other: object) -> NoReturn:
        """Raise ``UsageError``: several values are not equal to one."""
        self._refuse()

    def __lt__(self, other: object) -> NoReturn:
        """Raise ``UsageError``: several values are in no order with one."""
        self._refuse()

    def __gt__(self, other: object) -> NoReturn:
        """Raise ``UsageError``: several values are in no order with one."""
        self._refuse()

    def __le__(self, other: object) -> NoReturn:
        """Raise ``UsageError``: several values are in no order with one."""
        self._refuse()

    def __ge__(self, other: object) -> NoReturn:
        """Raise ``UsageError``: several values are in no order with one."""
        self._refuse()

    __hash__ = None  # type: ignore[assignment]

    def _refuse(self) -> NoReturn:
        raise UsageError(
            "an event is in several windows of a hopping table, and table[key] has the values of all; ask "
            "for that of the newest window, table[key].newest(), or for each, table[key].values(): "
            + fact_text(table=self._table)
        )

    def _with(self, other: Any, function: Callable[[Any, Any], Any]) -> WindowValues[Any]:
        """Combine each value with another one, or with the value of the same window."""
        if not isinstance(other, WindowValues):
            return self.map(lambda value: function(value, other))
        others = {window.start_ms: value for window, value in other.items()}
        if list(others) != [window.start_ms for window in self._windows]:
            raise UsageError(
                "the values are those of other windows; combine values of one event, of tables with equal "
                f"windows: {fact_text(table=self._table, other=other._table)}"
            )
        pairs = zip(self._values, others.values(), strict=True)
        return WindowValues(self._table, self._windows, [function(mine, theirs) for mine, theirs in pairs])

    def __add__(self, other: Any) -> WindowValues[V]:
        return self._with(other, operator.add)

    def __radd__(self, other: Any) -> WindowValues[V]:
        return self._with(other, lambda value, left: left + value)

    def __sub__(self, other: Any) -> WindowValues[V]:
        return self._with(other, operator.sub)

    def __rsub__(self, other: Any) -> WindowValues[V]:
        return self._with(other, lambda value, left: left - value)

    def __mul__(self, other: Any) -> WindowValues[V]:
        return self._with(other, operator.mul)

    def __rmul__(self, other: Any) -> WindowValues[V]:
        return self._with(other, lambda value, left: left * value)

    def __truediv__(self, other: Any) -> WindowValues[Any]:
        return self._with(other, operator.truediv)

    def __floordiv__(self, other: Any) -> WindowValues[V]:
        return self._with(other, operator.floordiv)

    def __mod__(self, other: Any) -> WindowValues[V]:
        return self._with(other, operator.mod)

    def __pow__(self, other: Any) -> WindowValues[V]:
        return self._with(other, operator.pow)

    def __or__(self, other: Any) -> WindowValues[V]:
        return self._with(other, operator.or_)

    def __and__(self, other: Any) -> WindowValues[V]:
        return self._with(other, operator.and_)

    def __xor__(self, other: Any) -> WindowValues[V]:
        return self._with(other, operator.xor)

    def __neg__(self) -> WindowValues[V]:
        return self.map(operator.neg)
