"""``streamcore users``: list, add and delete the users of a log that is served."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from streamcore.cli.options import (
    json_option,
    log_options,
    open_log,
)
from streamcore.cli.output import print_note, print_rows
from streamcore.errors import UsageError


@click.group("users")
def users() -> None:
    """Users who log in with a password: list, add, delete."""


name_argument = click.argument("name")


def register(group: click.Group) -> None:
    """Add the group of commands."""
    group.add_command(users)


@users.command("list")
@log_options
@json_option
def list_users(data: Path, broker: str | None, command_config: Path | None, as_json: bool) -> None:
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
@name_argument
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input, one line.")
@log_options
def add_user(
    name: str, password_stdin: bool, data: Path, broker: str | None, command_config: Path | None
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
@name_argument
@log_options
def delete_user(name: str, data: Path, broker: str | None, command_config: Path | None) -> None:
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
    password: str = click.prompt(f"password of {name}", hide_input=True, confirmation_prompt=True)
    return password
