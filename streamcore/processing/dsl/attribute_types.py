"""The types of what functions return, where an annotation or the function itself shows it.

A lambda has no annotation. One that only reads attributes of its argument, such as ``lambda order:
order.customer.name``, returns what the class of the stream's values declares for them. The function is not
called: its byte code is compared with that of such a lambda.
"""

from __future__ import annotations

import dis
import types
import typing
from collections.abc import Callable
from typing import Any, Final

from streamcore.processing.dsl.declaration import return_type, without_none

_IGNORED: Final = frozenset({"RESUME", "CACHE", "NOP", "PRECALL"})


def returned_type(function: Callable[..., Any], value_type: Any) -> Any:
    """Return the type of what a function returns, without ``None``; ``None`` if it is not known."""
    found = return_type(function)
    return attribute_type(function, value_type) if found is None else found


def attribute_type(function: Callable[..., Any], value_type: Any) -> Any:
    """Return the declared type of the attribute that a function returns; ``None`` if it does more."""
    found = without_none(value_type)
    names = _attributes_read(function)
    for name in names:
        try:
            found = without_none(typing.get_type_hints(found).get(name))
        except (NameError, TypeError, AttributeError):
            return None
    return found if names else None


def _attributes_read(function: Callable[..., Any]) -> list[str]:
    """Return the names in ``lambda value: value.first.second``; none for any other function."""
    if not isinstance(function, types.FunctionType) or function.__code__.co_argcount != 1:
        return []
    steps = [step for step in dis.get_instructions(function) if step.opname not in _IGNORED]
    if len(steps) < 3 or not steps[0].opname.startswith("LOAD_FAST"):
        return []
    if steps[-1].opname != "RETURN_VALUE" or any(step.opname != "LOAD_ATTR" for step in steps[1:-1]):
        return []
    return [str(step.argval) for step in steps[1:-1]]
