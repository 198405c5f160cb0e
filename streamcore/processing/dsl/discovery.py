"""Finds the tables that a user's function names, so that its task owns them.

A function names a table where its code loads it by name: as a global, from an enclosing function, as an
attribute of a module (``tables.seen``), by an import inside the function, or as a default argument. The
functions that it names in the same way are searched, too, and the functions that these name, down to
five levels. Naming a module does not name the tables that the module holds.

A table that is reached in another way (through an object, a list, a function argument) is not found. Such a
table is declared, ``@app.agent(..., tables=[table])``; its use without the declaration raises an error that
says so.
"""

from __future__ import annotations

import dis
import functools
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

from streamcore.processing.dsl.app_table import AppTable
from streamcore.processing.dsl.table import Table, WindowedTable
from streamcore.processing.topology.nodes import StoreSpec

_DEPTH_MAX = 5
_BY_NAME = frozenset({"LOAD_GLOBAL", "LOAD_NAME"})
_FROM_OUTSIDE = frozenset({"LOAD_DEREF", "LOAD_CLASSDEREF", "LOAD_FROM_DICT_OR_DEREF"})
_ATTRIBUTE = frozenset({"LOAD_ATTR", "LOAD_METHOD"})
_FAST = frozenset({"LOAD_FAST", "LOAD_FAST_BORROW", "LOAD_FAST_CHECK"})
_NOTHING = object()


def tables_used_by(function: Callable[..., Any]) -> tuple[StoreSpec, ...]:
    """Return the stores of the tables that a function names, in the order of their names."""
    found: dict[int, StoreSpec] = {}
    for table in _named_by(function, set(), 0):
        found[id(table.store)] = table.store
    return tuple(sorted(found.values(), key=lambda store: store.name))


AnyTable = AppTable[Any, Any] | Table[Any, Any] | WindowedTable[Any, Any]


def _named_by(function: Any, seen: set[int], depth: int) -> Iterator[AnyTable]:
    given: list[Any] = []
    while isinstance(function, functools.partial):
        given += [*function.args, *function.keywords.values()]
        function = function.func
    function = getattr(function, "__func__", function)
    if not isinstance(function, types.FunctionType | type):
        function = getattr(type(function), "__call__", function)  # noqa: B004 - it is looked at, not called
    if isinstance(function, types.FunctionType) and id(function) not in seen and depth <= _DEPTH_MAX:
        seen.add(id(function))
        given += [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
        given.append(getattr(function, "__wrapped__", None))
        given += _loaded_by(function.__code__, function.__globals__, _enclosing(function))
    for value in given:
        if isinstance(value, AppTable | Table | WindowedTable):
            yield value
        elif callable(value) and _is_users(value):
            yield from _named_by(value, seen, depth + 1)


def _is_users(function: Any) -> bool:
    """Whether a function is neither Python's nor this package's: those never name a user's tables."""
    package = str(getattr(function, "__module__", None) or "").partition(".")[0]
    return package != "streamcore" and package not in sys.stdlib_module_names


def _enclosing(function: types.FunctionType) -> dict[str, Any]:
    """Return the variables of enclosing functions that a function uses, with their present values."""
    found = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            found[name] = cell.cell_contents
        except ValueError:  # the name is bound after the function
            continue
    return found


def _loaded_by(code: types.CodeType, names: dict[str, Any], enclosing: dict[str, Any]) -> Iterator[Any]:
    """Return what the code of a function loads by name; for a module, the attributes that follow its name."""
    local: dict[str, Any] = {}
    value: Any = _NOTHING
    imported: Any = _NOTHING
    constant: Any = None
    for instruction in dis.get_instructions(code):
        what, name = instruction.opname, instruction.argval
        if what in ("EXTENDED_ARG", "CACHE", "NOP"):
            continue
        if what in _ATTRIBUTE and isinstance(value, types.ModuleType):
            value = getattr(value, name, _NOTHING)
            continue
        if value is not _NOTHING:
            if what == "STORE_FAST":
                local[name] = value
            yield value
            value = _NOTHING
        if what == "LOAD_CONST":
            constant = name
        elif what == "IMPORT_NAME":
            # ``import a.b`` loads the module a, ``from a.b import c`` the module a.b: the constant is (c,).
            imported = _module(name if constant else name.partition(".")[0], names)
            value = _NOTHING if constant else imported
        elif what == "IMPORT_FROM":
            value = getattr(imported, name, _NOTHING)
        elif what in _BY_NAME:
            value = names.get(name, _NOTHING)
        elif what in _FROM_OUTSIDE:
            value = enclosing.get(name, _NOTHING)
        elif what in _FAST:
            value = local.get(name, _NOTHING)
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            yield from _loaded_by(inner, names, {**local, **enclosing})


def _module(name: str, names: dict[str, Any]) -> Any:
    """Return a module that a function imports, if it is loaded; relative names start at the function's
    package.
    """
    package = names.get("__package__") or ""
    for full in (name, f"{package}.{name}".strip(".")):
        if full in sys.modules:
            return sys.modules[full]
    return _NOTHING
