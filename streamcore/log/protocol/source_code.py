"""The source code of a function that is generated at run time, and its compilation."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any


class SourceCode:
    """Collects the lines of a function for one version of a message, and the objects that they name."""

    def __init__(self, version: int, is_flexible: bool) -> None:
        self.version = version
        self.is_flexible = is_flexible
        self._lines: list[str] = []
        self._depth = 0
        self._names: dict[str, object] = {}
        self._count = 0

    def line(self, text: str) -> None:
        """Add a line at the present indentation."""
        self._lines.append("    " * self._depth + text)

    @contextmanager
    def block(self, head: str) -> Iterator[None]:
        """Add a line that opens a block."""
        self.line(head)
        self._depth += 1
        yield
        self._depth -= 1

    def new(self, prefix: str) -> str:
        """Return a local name that is not in use."""
        self._count += 1
        return f"{prefix}{self._count}"

    def known(self, prefix: str, value: object) -> str:
        """Return a global name for an object; the same object has the same name."""
        for name, other in self._names.items():
            if other is value:
                return name
        name = f"{prefix}_{len(self._names)}"
        self._names[name] = value
        return name

    def function(self, name: str, parameters: str) -> Callable[..., Any]:
        """Compile the function with the collected lines as its body."""
        source = f"def {name}({parameters}):\n" + "\n".join("    " + line for line in self._lines)
        namespace: dict[str, Any] = dict(self._names)
        exec(compile(source, f"<{name} version {self.version}>", "exec"), namespace)
        function: Callable[..., Any] = namespace[name]
        return function


@cache
def fixed(layout: str) -> struct.Struct:
    """Return the struct of adjacent numbers of fixed size, by their letters."""
    return struct.Struct(">" + layout)
