"""Finds which tables a user's function refers to, so that its task owns them.

It looks at the names that the compiled function uses, in its globals and its closure, and does the
same for the functions and modules found there. What it cannot see (a table reached through an object)
is named with ``tables=`` at the agent; using it all the same is an error that says so.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Iterator
from typing import Any

from streamcore.processing.dsl.app_table import AppTable
from streamcore.processing.topology.nodes import StoreSpec

_DEPTH_MAX = 5


def tables_used_by(function: Callable[..., Any]) -> tuple[StoreSpec, ...]:
    """The stores of the tables that a function refers to, in the order of their names."""
    found: dict[int, StoreSpec] = {}
    for value in _referred(function, set(), 0):
        found[id(value.store)] = value.store
    return tuple(sorted(found.values(), key=lambda store: store.name))


def _referred(function: Any, seen: set[int], depth: int) -> Iterator[AppTable[Any, Any]]:
    function = inspect.unwrap(getattr(function, "func", function))
    function = getattr(function, "__func__", function)
    if not isinstance(function, types.FunctionType) or id(function) in seen or depth > _DEPTH_MAX:
        return
    seen.add(id(function))
    names = set(_names(function.__code__))
    values = [function.__globals__[name] for name in sorted(names) if name in function.__globals__]
    for cell in function.__closure__ or ():
        try:
            values.append(cell.cell_contents)
        except ValueError:  # the name is bound after the function
            continue
    for value in values:
        if isinstance(value, AppTable):
            yield value
        elif isinstance(value, types.ModuleType):
            yield from (table for table in vars(value).values() if isinstance(table, AppTable))
        else:
            yield from _referred(value, seen, depth + 1)


def _names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)
