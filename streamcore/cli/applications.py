"""Find the application that ``MODULE:APP`` names; the module is imported from the current directory, too."""

from __future__ import annotations

import importlib
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

import click

from streamcore.errors import StreamCoreError, TopologyError, UsageError, with_facts

if TYPE_CHECKING:
    from streamcore.processing.dsl.app import App

application_argument = click.argument("application", metavar="MODULE:APP")


def load_app(where: str) -> App:
    """Import the module and return the application in it.

    Raises:
        UsageError: the module does not exist or fails when it is imported, or it has no application of that
        name.
        TopologyError: the declarations of the application contradict each other.
    """
    from streamcore.processing.dsl.app import App

    module_name, colon, name = where.partition(":")
    if not colon or not module_name or not name or "/" in module_name or module_name.endswith(".py"):
        raise UsageError(
            with_facts(
                "name the application as MODULE:APP, with dots, for example apps.flights:app", given=where
            )
        )
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    found: object = _module(module_name)
    for part in name.split("."):
        if not hasattr(found, part):
            raise UsageError(
                with_facts(
                    "the module has no such name", module=module_name, name=name, apps=_apps_of(module_name)
                )
            )
        found = getattr(found, part)
    if not isinstance(found, App):
        raise UsageError(
            with_facts(
                "this is not an application, name an sc.App",
                module=module_name,
                name=name,
                type=type(found).__name__,
                apps=_apps_of(module_name),
            )
        )
    return found


def raised_at(error: BaseException) -> str:
    """Return the location in the code where an error was raised: ``FILE:LINE``."""
    frames = traceback.extract_tb(error.__traceback__)
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "unknown"


def _module(name: str) -> object:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise UsageError(
                with_facts(
                    "there is no such module here or on the Python path; start in the folder from which "
                    "it is imported",
                    module=name,
                    missing=error.name,
                    folder=Path.cwd(),
                )
            ) from error
        raise _import_failed(name, error) from error
    except TopologyError:
        raise
    except Exception as error:
        raise _import_failed(name, error) from error


def _import_failed(module: str, error: Exception) -> StreamCoreError:
    return UsageError(
        with_facts(
            "the module fails while it is imported",
            module=module,
            error=f"{type(error).__name__}: {error}",
            at=raised_at(error),
        )
    )


def _apps_of(module: str) -> str:
    """Return the applications of a module, for an error's text."""
    from streamcore.processing.dsl.app import App

    names = [name for name, value in vars(sys.modules[module]).items() if isinstance(value, App)]
    return ",".join(f"{module}:{name}" for name in names) or "none"
