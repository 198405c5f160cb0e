"""``streamcore app MODULE:APP replay-dead-letters``: send dead letters again to the topics they came from.

The command prints what it sends and asks, unless ``--yes`` is given. The application may run meanwhile, if it
shares the log with this process.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streamcore.cli.app_reset import LogAddress
from streamcore.cli.output import print_line, print_note
from streamcore.errors import UsageError, with_facts

if TYPE_CHECKING:
    from streamcore.processing.dsl.app import App
    from streamcore.processing.runtime.dead_letters import Replayed

COMMAND = "replay-dead-letters"


def add_replay(commands: typer.Typer, app: App, address: LogAddress) -> None:
    """Add the command, unless the application declares one of this name."""
    if COMMAND in app.commands:
        return

    @commands.command(COMMAND)
    def replay_dead_letters(
        topic: Annotated[
            str | None, typer.Option("--topic", help="Only the letters of this dead letter topic.")
        ] = None,
        count_max: Annotated[
            int | None, typer.Option("--max", metavar="N", min=0, help="Send at most N letters.")
        ] = None,
        yes: Annotated[bool, typer.Option("--yes", help="Do it without asking.")] = False,
        data: Annotated[Path, typer.Option("--data", help="The data folder of the log.")] = address.data,
    ) -> None:
        """Send dead letters again to the topics that their records came from, each once."""
        _replay(app, LogAddress(data, address.broker, address.security), topic, count_max, yes=yes)


def _replay(app: App, address: LogAddress, topic: str | None, count_max: int | None, *, yes: bool) -> None:
    from streamcore.processing.runtime.dead_letters import DeadLetterReplay

    if address.broker is None and not (address.data / "log").is_dir():
        raise UsageError(
            with_facts(
                "no log in this folder: name another with --data or STREAMCORE_DATA", data=address.data
            )
        )
    with DeadLetterReplay(app, address.data, broker=address.broker, security=address.security) as replay:
        planned = replay.plan(topic=topic, count_max=count_max)
        for line in replay_lines(planned):
            print_line(line)
        if not planned.count:
            print_note("no dead letters to send")
            if not planned.passed_over.total():
                return
        elif not yes:
            if not sys.stdin.isatty():
                raise UsageError(
                    with_facts("standard input is no terminal: give --yes to send", app=app.app_id)
                )
            typer.confirm("Send them?", abort=True)
        sent = replay.replay(topic=topic, count_max=count_max)
    letters = "1 dead letter was" if sent.count == 1 else f"{sent.count} dead letters were"
    print_note(f"{letters} sent again")


def replay_lines(planned: Replayed) -> list[str]:
    """Return what a replay sends as lines for people."""
    lines = [f"{count} of {letters} to {source}" for (letters, source), count in planned.sent.items()]
    return lines + [
        f"{count} of {letters} passed over: of no topic that the application reads"
        for letters, count in planned.passed_over.items()
        if count
    ]
