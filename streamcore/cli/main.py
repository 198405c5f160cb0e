"""The command ``streamcore``: the list of its commands, and the one place where errors become exit codes.

Each module of commands has ``register(group)``, which adds its command or its group of commands. ``_MODULES``
lists the modules in the order of the help page. A module is imported when its command is called, and imports
the library inside its functions: a command loads what it needs and nothing else.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib import import_module

import click

from streamcore.cli.output import open_missing_streams, print_line, print_note, run_and_report
from streamcore.processing.runtime.collecting import COLLECTOR_PACE

_MODULES = (
    "worker",
    "serve",
    "app",
    "describe",
    "produce",
    "consume",
    "tables",
    "topics",
    "groups",
    "users",
    "acls",
    "log",
)


class _Commands(click.Group):
    """A group that imports the module of a command when the command is looked up."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in _MODULES and cmd_name not in self.commands:
            import_module(f"streamcore.cli.{cmd_name}").register(self)
        return super().get_command(ctx, cmd_name)


def _print_version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print_line(f"streamcore {version('streamcore')}")
        context.exit()


def _show_completion(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        from streamcore.cli.completion import completion_script

        print_line(completion_script(context.command))
        context.exit()


def _install_completion(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        from streamcore.cli.completion import install_completion

        print_note(f"wrote {install_completion(context.command)}; the next shell completes streamcore")
        context.exit()


def _action(
    name: str, callback: Callable[[click.Context, click.Parameter, bool], None], text: str
) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """Return a flag that does something instead of a command."""
    return click.option(
        name,
        is_flag=True,
        is_eager=True,
        expose_value=False,
        show_default=False,
        callback=callback,
        help=text,
    )


@click.group(
    "streamcore",
    cls=_Commands,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "max_content_width": 110,
        "show_default": True,
    },
)
@_action("--version", _print_version, "Print the version and exit.")
@_action("--install-completion", _install_completion, "Install the completion of your shell and exit.")
@_action("--show-completion", _show_completion, "Print the script of the completion and exit.")
def streamcore() -> None:
    """Stream processing on an embedded, durable, Kafka-format log."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: with 0, 1 for errors, 2 for a wrong command line, 130 for Ctrl-C."""
    open_missing_streams()
    words = sys.argv[1:] if arguments is None else list(arguments)
    # Imports make 60,000 objects, and all stay: the collector would search them for cycles 140 times.
    with COLLECTOR_PACE.held():
        code = run_and_report(lambda: streamcore.main(words, prog_name="streamcore", standalone_mode=False))
    sys.exit(code)


if __name__ == "__main__":
    main()
