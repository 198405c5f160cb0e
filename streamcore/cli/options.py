"""Options that commands share, and opening the log that they name."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from streamcore.errors import UsageError, with_facts

if TYPE_CHECKING:
    from streamcore.log.connected_log import ConnectedLog

Function = TypeVar("Function", bound=Callable[..., None])
"""The function of a command, to which options are added."""

DEFAULT_DATA = Path("streamcore-data")

_NEGATIVE = re.compile(r"-(\.?\d.*|Infinity)")

data_option = click.option(
    "--data",
    type=click.Path(path_type=Path),
    default=DEFAULT_DATA,
    envvar="STREAMCORE_DATA",
    help="The data folder of the embedded log.",
    show_envvar=True,
)
broker_option = click.option(
    "--broker",
    envvar="STREAMCORE_BROKER",
    metavar="HOST:PORT",
    help="A broker instead of a folder; several addresses as kafka://HOST:PORT,HOST:PORT.",
    show_envvar=True,
)
command_config_option = click.option(
    "--command-config",
    type=click.Path(path_type=Path),
    envvar="STREAMCORE_COMMAND_CONFIG",
    metavar="FILE",
    help="Login and certificates for the broker, in a properties file as Kafka's tools have it.",
    show_envvar=True,
)
log_level_option = click.option(
    "--log-level",
    metavar="debug|info|warning|error",
    help="The lowest level that is logged, to stderr, by the application's code and by StreamCore.",
    show_default="info",
)
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object a line, for programs.")


def log_options(function: Function) -> Function:
    """Add the options that name a log: ``--data``, ``--broker``, ``--command-config``."""
    return data_option(broker_option(command_config_option(function)))


class SectionOption(click.Option):
    """An option that the help page shows in a section of its own."""

    def __init__(self, *arguments: Any, section: str, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.section = section


class SectionedCommand(click.Command):
    """A command whose help page has its options in sections."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options without a section first."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            line = parameter.get_help_record(ctx)
            if line is not None:
                sections.setdefault(getattr(parameter, "section", "Options"), []).append(line)
        for section, lines in sections.items():
            with formatter.section(section):
                formatter.write_dl(lines)


class NegativeNumbers(click.Command):
    """A command whose last argument may be a negative number: ``tables get t -5``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Move negative numbers behind ``--``, except those that are an option's value."""
        if "--" not in args:
            with_value = {
                name
                for parameter in self.params
                if not getattr(parameter, "is_flag", True)
                for name in parameter.opts
            }
            numbers = [
                index
                for index, word in enumerate(args)
                if _NEGATIVE.fullmatch(word) and (index == 0 or args[index - 1] not in with_value)
            ]
            others = [word for index, word in enumerate(args) if index not in numbers]
            args = [*others, "--", *(args[index] for index in numbers)]
        return super().parse_args(ctx, args)


def settings_in(words: Sequence[str], option: str) -> dict[str, str]:
    """Parse ``NAME=VALUE`` words, each name once.

    Raises:
        UsageError: a word has another form, or a name is given twice.
    """
    settings: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        name = name.strip()
        if not equals or not name:
            raise UsageError(with_facts("a setting is written NAME=VALUE", option=option, given=repr(word)))
        if name in settings:
            raise UsageError(
                with_facts(
                    "a setting is given twice, leave one out",
                    option=option,
                    setting=name,
                    values=f"{settings[name]},{value.strip()}",
                )
            )
        settings[name] = value.strip()
    return settings


def refuse_broker(broker: str | None) -> None:
    """Refuse ``--broker`` for a command that reads the files of a log.

    Raises:
        UsageError: a broker is named.
    """
    if broker:
        raise UsageError(
            with_facts(
                "this reads the log's files, which lie where the broker runs: leave --broker "
                "(STREAMCORE_BROKER) out and name the folder with --data",
                broker=broker,
            )
        )


def security_of(broker: str | None, command_config: Path | None) -> dict[str, str] | None:
    """Read the settings for the connection to a broker from a properties file; ``None`` without a broker.

    Raises:
        UsageError: the file cannot be read, or no broker is named.
    """
    if not broker:
        if command_config is not None:
            raise UsageError(
                with_facts(
                    "a folder has no login: leave --command-config out, or name a --broker",
                    command_config=command_config,
                )
            )
        return None
    if command_config is None:
        return {}
    from streamcore.log.client.kafka.settings import read_properties

    return read_properties(command_config)


def open_log(
    data: Path, broker: str | None, command_config: Path | None, *, create: bool = False
) -> ConnectedLog:
    """Open the log in a data folder, or connect to a broker.

    Args:
        data: the folder.
        broker: used instead of the folder, if given.
        command_config: the properties file for the broker.
        create: create a log if the folder has none; commands that only read do not set it.

    Raises:
        UsageError: the folder has no log, another process has it open, or authentication failed.
    """
    from streamcore.log.connect import broker_place, connect

    security = security_of(broker, command_config)
    if broker:
        return connect(broker_place(broker), security=security)
    if not create and not (data / "log").is_dir():
        raise UsageError(
            with_facts("no log in this folder: name another with --data or STREAMCORE_DATA", data=data)
        )
    return connect(data)
