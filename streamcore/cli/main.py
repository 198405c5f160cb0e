"""The command ``streamcore``: the list of its commands, and the one place where errors become exit codes.

Each module of commands has ``register(app)``, which adds its command or its group. ``_MODULES`` lists the
modules in the order of the help page. A module imports the library inside its functions.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import cache
from importlib import import_module
from importlib.metadata import version
from typing import Annotated

import typer
from typer.main import get_command

from streamcore.cli.output import open_missing_streams, print_line, run_and_report

_MODULES = (
    "worker",
    "serve",
    "tables",
    "app",
    "describe",
    "topics",
    "produce",
    "consume",
    "groups",
    "users",
    "acls",
    "log",
)


def build_app(modules: Sequence[str] = _MODULES) -> typer.Typer:
    """Build the command line from modules of commands, by default from all."""
    app = typer.Typer(
        name="streamcore",
        help="Stream processing on an embedded, durable, Kafka-format log.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    @app.callback()
    def options(
        print_version: Annotated[
            bool,
            typer.Option(
                "--version", help="Print the version and exit.", is_eager=True, callback=_print_version
            ),
        ] = False,
    ) -> None:
        pass

    for name in modules:
        import_module(f"streamcore.cli.{name}").register(app)
    return app


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: with 0, 1 for errors, 2 for a wrong command line, 130 for Ctrl-C."""
    open_missing_streams()
    words = sys.argv[1:] if arguments is None else list(arguments)
    command = _command_of(words[0] if words else "")
    sys.exit(run_and_report(lambda: command(args=words, prog_name="streamcore", standalone_mode=False)))


@cache
def _command_of(first_word: str) -> Callable[..., object]:
    """The command line for a first word: the module of that word alone, because typer builds all slowly."""
    return get_command(build_app([first_word] if first_word in _MODULES else _MODULES))


def _print_version(wanted: bool) -> None:
    if wanted:
        print_line(f"streamcore {version('streamcore')}")
        raise typer.Exit


if __name__ == "__main__":
    main()
