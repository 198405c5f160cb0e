"""``streamcore app MODULE:APP COMMAND …``: run a command of an application.

Each application has ``reset`` (``app_reset``) and ``replay-dead-letters`` (``app_dead_letters``), too.

The parameters of the command's function become arguments and options by their annotations, by Typer's rules.
A parameter that is annotated ``sc.Log`` is not on the command line: it receives the log.
"""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import click
import typer

from streamcore.cli.app_dead_letters import COMMAND as REPLAY
from streamcore.cli.app_dead_letters import add_replay
from streamcore.cli.app_reset import LogAddress, add_reset
from streamcore.cli.applications import application_argument, load_app, raised_at
from streamcore.cli.options import log_level_option, log_options, security_of
from streamcore.cli.program_log import show_logging
from streamcore.errors import StreamCoreError, TopologyError, UserCodeError, with_facts

if TYPE_CHECKING:
    from streamcore.processing.dsl.app import App

_SHARED = ("--data", "--broker", "--command-config", "--log-level")
"""The options of ``streamcore app`` itself; they stand before MODULE:APP, or anywhere behind it."""

_FOLDER = "streamcore_data_folder"
"""The name of the parameter of ``--data`` behind a command; long, so that no user's function has it."""


_TYPER_ERROR: type[Exception] = typer.BadParameter.__mro__[2]
"""``ClickException`` of the click that the installed Typer uses: its own copy, since Typer 0.26."""


def register(group: click.Group) -> None:
    """Add the command."""
    group.add_command(run_app_command)


@click.command(
    "app",
    # The words behind MODULE:APP belong to the application's own commands, --help included.
    context_settings={
        "allow_extra_args": True,
        "ignore_unknown_options": True,
        "allow_interspersed_args": False,
    },
)
@click.pass_context
@application_argument
@log_options
@log_level_option
def run_app_command(
    context: click.Context,
    application: str,
    data: Path,
    broker: str | None,
    command_config: Path | None,
    log_level: str | None,
) -> None:
    """Run a command of an application, reset it, or send its dead letters again.

    streamcore app MODULE:APP --help lists the commands of the application, such as apps.flights:app.
    """
    app = load_app(application)
    context.args, given = without_shared(app, context.args)
    data = Path(given.get("data", data))
    broker = given.get("broker", broker)
    if "command_config" in given:
        command_config = Path(given["command_config"])
    show_logging(given.get("log_level", log_level))
    address = LogAddress(data, broker or None, security_of(broker, command_config))
    if not app.commands and context.args[:1] not in ([], ["reset"], [REPLAY], ["-h"], ["--help"]):
        raise TopologyError(
            with_facts(
                f"the application has no commands but reset and {REPLAY}; declare some with @app.command()",
                app=app.app_id,
            )
        )
    commands = command_line(app, address)
    add_reset(commands, app, address)
    add_replay(commands, app, address)
    context.exit(_run(commands, context.args, f"streamcore app {application}"))


def _run(commands: typer.Typer, words: Sequence[str], program: str) -> int:
    """Run Typer's command line and return its exit code; raise its errors as those of click."""
    try:
        code = commands(args=words, prog_name=program, standalone_mode=False)
    except typer.Abort as error:
        raise click.Abort from error.__cause__
    except _TYPER_ERROR as error:
        raise _error_of_click(error, program) from error
    return code if isinstance(code, int) else 0


def _error_of_click(error: Any, program: str) -> Exception:
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
        return click.exceptions.Exit(2)
    context = getattr(error, "ctx", None)
    path = program if context is None else context.command_path
    return click.UsageError(error.format_message(), click.Context(click.Command(None), info_name=path))


def without_shared(app: App, words: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Take the options of ``streamcore app`` itself out of the words behind MODULE:APP.

    Behind the name of a command, an option that the command's function declares itself is not taken.

    Returns:
        The other words, and the values by parameter name.
    """
    rest: list[str] = []
    given: dict[str, str] = {}
    own: Collection[str] = ()
    is_behind = False
    left = list(words)
    while left:
        word = left.pop(0)
        flag, equals, value = word.partition("=")
        name = flag[2:].replace("-", "_")
        if word == "--":
            return [*rest, word, *left], given
        if flag in _SHARED and name not in own and (equals or left):
            given[name] = value if equals else left.pop(0)
            continue
        if not is_behind and not word.startswith("-"):
            is_behind = True
            function = app.commands.get(word)
            own = inspect.signature(function).parameters if function is not None else ()
        rest.append(word)
    return rest, given


def command_line(app: App, address: LogAddress) -> typer.Typer:
    """Return the command line of the commands that an application declares.

    Raises:
        TopologyError: a command has parameters that a command line cannot give.
    """
    found = typer.Typer(
        name=app.app_id,
        help=f"Commands of the application {app.app_id}.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    @found.callback()
    def options() -> None:
        pass

    for name, function in app.commands.items():
        _add_command(found, app, name, function, address)
    return found


def _add_command(
    found: typer.Typer, app: App, name: str, function: Callable[..., Any], address: LogAddress
) -> None:
    """Add a command, and check that a command line can give its parameters."""
    help_text = inspect.cleandoc(function.__doc__) if function.__doc__ else None
    alone = typer.Typer(add_completion=False)
    for group in (alone, found):
        group.command(name, help=help_text)(_as_command(app, name, function, address))
    try:
        typer.main.get_command(alone)
    except (RuntimeError, TypeError, AssertionError) as error:
        raise TopologyError(
            with_facts(
                "a command takes str, int, float, bool, Path, datetime, Enum, lists of them, and sc.Log "
                "for the log",
                command=name,
                error=error,
            )
        ) from error


def _as_command(
    app: App, name: str, function: Callable[..., Any], address: LogAddress
) -> Callable[..., None]:
    """Return the function with the signature that Typer reads: without its logs, with ``--data``."""
    from streamcore.log.connected_log import ConnectedLog

    try:
        hints = typing.get_type_hints(function, include_extras=True)
    except Exception as error:
        raise TopologyError(
            with_facts("the annotations of a command cannot be read", command=name, error=repr(error))
        ) from error
    parameters = inspect.signature(function).parameters
    logs = [parameter for parameter in parameters if hints.get(parameter) is ConnectedLog]
    given = [
        parameter.replace(annotation=hints.get(parameter.name, str), kind=inspect.Parameter.KEYWORD_ONLY)
        for parameter in parameters.values()
        if parameter.name not in logs
    ]
    if "data" not in parameters:
        option = Annotated[Path, typer.Option("--data", help="The data folder of the log.")]
        given.append(
            inspect.Parameter(
                _FOLDER, inspect.Parameter.KEYWORD_ONLY, default=address.data, annotation=option
            )
        )

    @functools.wraps(function)
    def command(**arguments: Any) -> None:
        from streamcore.processing.runtime.commands import CommandContext

        folder = arguments.pop(_FOLDER, address.data)
        with CommandContext(app, folder, broker=address.broker, security=address.security) as context:
            for log in logs:
                arguments[log] = context.log
            try:
                context.call(function, arguments)
            except (StreamCoreError, typer.Exit, typer.Abort, OSError):
                raise
            except Exception as error:
                raise UserCodeError(
                    with_facts(
                        "the command failed",
                        command=name,
                        error=f"{type(error).__name__}: {error}",
                        at=raised_at(error),
                    )
                ) from error

    del command.__wrapped__  # Without this, Typer would read the signature of the function.
    command.__signature__ = inspect.Signature(given)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in given}
    return command
