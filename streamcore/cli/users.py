"""``streamcore users``: list, add and delete the users of a log that is served."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from streamcore.cli.options import (
    DEFAULT_DATA,
    BrokerOption,
    CommandConfigOption,
    DataOption,
    JsonOption,
    open_log,
)
from streamcore.cli.output import print_note, print_rows
from streamcore.errors import UsageError

users = typer.Typer(help="Users who log in with a password: list, add, delete.", no_args_is_help=True)

NameArgument = Annotated[str, typer.Argument(help="The user.")]


def register(app: typer.Typer) -> None:
    """Add the group of commands."""
    app.add_typer(users, name="users")


@users.command("list")
def list_users(
    data: DataOption = DEFAULT_DATA,
    broker: BrokerOption = None,
    command_config: CommandConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """List users, and their login mechanisms. Passwords cannot be read."""
    with open_log(data, broker, command_config) as log:
        print_rows(
            (
                {"user": name, "mechanisms": sorted(mechanisms), "iterations": max(mechanisms.values())}
                for name, mechanisms in log.access.users().items()
            ),
            as_json,
            empty="no users",
        )


@users.command("add")
def add_user(
    name: NameArgument,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input, one line.")
    ] = False,
    data: DataOption = DEFAULT_DATA,
    broker: BrokerOption = None,
    command_config: CommandConfigOption = None,
) -> None:
    """Add a user, or change the password of one. The password is asked for, not taken from the command
    line.
    """
    password = _read_password() if password_stdin else _ask_password(name)
    with open_log(data, broker, command_config, create=True) as log:
        is_new = name not in log.access.users()
        log.access.set_password(name, password)
    print_note(f"added {name}" if is_new else f"{name} has a new password")


@users.command("delete")
def delete_user(
    name: NameArgument,
    data: DataOption = DEFAULT_DATA,
    broker: BrokerOption = None,
    command_config: CommandConfigOption = None,
) -> None:
    """Delete a user. Open connections stay until they have to authenticate again."""
    with open_log(data, broker, command_config) as log:
        log.access.delete_user(name)
    print_note(f"deleted {name}")


def _read_password() -> str:
    password = sys.stdin.readline().rstrip("\r\n")
    if not password:
        raise UsageError("standard input has no password: write it there as one line")
    return password


def _ask_password(name: str) -> str:
    if not sys.stdin.isatty():
        raise UsageError("standard input is no terminal: use --password-stdin")
    password: str = typer.prompt(f"password of {name}", hide_input=True, confirmation_prompt=True)
    return password
