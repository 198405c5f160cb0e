"""The command ``streamcore``: the list of its commands, and the one place where errors become exit codes.

Each module of commands has ``register(app)``, which adds its command or its group. ``_MODULES`` lists the
modules in the order of the help page. A module imports the library inside its functions.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version
from typing import Annotated

import typer

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


def build_app() -> typer.Typer:
    """Build the command line from all modules of commands."""
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

    for name in _MODULES:
        import_module(f"streamcore.cli.{name}").register(app)
    return app


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: with 0, 1 for errors, 2 for a wrong command line, 130 for Ctrl-C."""
    open_missing_streams()
    app = build_app()
    words = sys.argv[1:] if arguments is None else arguments
    sys.exit(run_and_report(lambda: app(args=list(words), prog_name="streamcore", standalone_mode=False)))


def _print_version(wanted: bool) -> None:
    if wanted:
        print_line(f"streamcore {version('streamcore')}")
        raise typer.Exit


if __name__ == "__main__":
    main()
