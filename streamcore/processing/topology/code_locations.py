"""The lines of the user's program that errors name: where something was declared, where an error was raised.

A public call that declares something is marked with ``declares``: its errors end with ``at=FILE:LINE``,
the line outside of this package that made the call.
"""

from __future__ import annotations

import functools
import os
import re
import sys
import sysconfig
import traceback
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

from streamcore.errors import StreamCoreError, TopologyError, UsageError, fact_text

F = TypeVar("F", bound=Callable[..., Any])

_PACKAGE: Final = "streamcore"
_HAS_FACTS = re.compile(r": [a-z_]+=")
_NAMES_STEP = re.compile(r" (step|table|store|topic|agent|timer|command|hook|stream|app)=")
"""The facts by which an error says what was declared."""
_LETTERS_MAX: Final = 80


def caller_location() -> str:
    """Return the file and line that called this package: ``FILE:LINE``."""
    frame: types.FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] == _PACKAGE:
        frame = frame.f_back
    if frame is None:
        return "unknown"
    file = frame.f_code.co_filename
    here = os.getcwd() + os.sep
    return f"{file.removeprefix(here)}:{frame.f_lineno}"


def error_location(error: BaseException) -> str:
    """Return the location in the user's code where an error was raised: ``FILE:LINE``.

    It is the innermost frame that is neither this package's, nor the standard library's, nor an installed
    library's; the innermost of all if there is no such frame.
    """
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not frame.filename.startswith((*_LIBRARIES, "<"))]
    found = own or frames
    return f"{found[-1].filename}:{found[-1].lineno}" if found else "unknown"


def _library_folders() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    folders = {paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    folders.add(str(Path(__file__).resolve().parents[2]))
    return tuple(folder + os.sep for folder in folders)


_LIBRARIES: Final = _library_folders()


def declares(function: F) -> F:
    """Mark a public call that declares something: its errors name the user's file and line.

    Missing and unknown arguments raise ``TopologyError``, too.
    """

    @functools.wraps(function)
    def call(*arguments: Any, **named: Any) -> Any:
        try:
            return function(*arguments, **named)
        except UsageError as error:
            if _NAMES_STEP.search(str(error)) is None and not _is_called_from_package():
                add_fact(error, "step", _step_of(function, arguments))
            add_fact(error, "at", caller_location())
            raise
        except TypeError as error:
            # Raised by the call itself, not inside the function: its arguments do not fit.
            if error.__traceback__ is None or error.__traceback__.tb_next is not None:
                raise
            # Python names the class that defines the method, which is none that users write.
            reason = str(error).replace(function.__qualname__, function.__name__)
            facts = fact_text(reason=reason, step=_step_of(function, arguments), at=caller_location())
            message = f"the arguments do not fit: {facts}"
            raise TopologyError(message) from None

    return call  # type: ignore[return-value]


def _is_called_from_package() -> bool:
    """Whether another call of this package, and not the user, made the call that ``declares`` marks."""
    caller = sys._getframe(2).f_globals.get("__name__", "")
    return bool(caller.partition(".")[0] == _PACKAGE)


def _step_of(function: Callable[..., Any], arguments: tuple[Any, ...]) -> str:
    """Return a call as the user reads it: the name of the stream or table, and that of the method."""
    name = function.__name__
    if "." not in function.__qualname__ or not arguments:
        return f"sc.{name}"
    receiver = arguments[0]
    if name == "__init__":
        return f"sc.{type(receiver).__name__}"
    found = getattr(receiver, "name", None)
    return f"{found if isinstance(found, str) else type(receiver).__name__.lower()}.{name}"


def add_fact(error: StreamCoreError, name: str, value: object) -> None:
    """Add a fact to an error's message, before its location, unless the message has a fact of this name."""
    message = str(error)
    text, has_location, location = message.rpartition(" at=")
    if f" {name}=" in message:
        return
    if has_location and " " not in location:
        separator = " " if _HAS_FACTS.search(text) else ": "
        message = f"{text}{separator}{fact_text(**{name: value})} at={location}"
        error.args = (message, *error.args[1:])
    else:
        separator = " " if _HAS_FACTS.search(message) else ": "
        error.args = (f"{message}{separator}{fact_text(**{name: value})}", *error.args[1:])


def shown(value: object) -> str:
    """Return a wrong argument as errors show it: short, on one line."""
    if isinstance(value, types.FunctionType | types.MethodType | types.BuiltinFunctionType | type):
        return getattr(value, "__name__", repr(value))
    text = " ".join(repr(value).split())
    return text if len(text) <= _LETTERS_MAX else f"{text[:_LETTERS_MAX]}..."
