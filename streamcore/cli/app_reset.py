"""``streamcore app MODULE:APP reset``: start an application over, or the part of it that makes a table.

The command prints the plan of the reset and asks, unless ``--yes`` is given. It refuses while the application
runs.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streamcore.cli.output import print_line, print_note
from streamcore.errors import UsageError, with_facts
from streamcore.model import Offset, TopicPartition

if TYPE_CHECKING:
    from streamcore.processing.dsl.app import App
    from streamcore.processing.runtime.reset import ResetPlan


@dataclass(frozen=True, slots=True)
class LogAddress:
    """The log that commands use: that of a folder, or that of a broker."""

    data: Path
    broker: str | None = None
    security: Mapping[str, str] | None = None


def add_reset(commands: typer.Typer, app: App, address: LogAddress) -> None:
    """Add the command ``reset``, unless the application declares one of this name."""
    if "reset" in app.commands:
        return

    @commands.command("reset")
    def reset(
        table: Annotated[
            str | None,
            typer.Option("--table", help="Only this table, and what is made from the same records."),
        ] = None,
        to: Annotated[
            str,
            typer.Option("--to", help="Where to read the inputs from: earliest, latest, a time, an offset."),
        ] = "earliest",
        offset: Annotated[
            list[str] | None,
            typer.Option("--offset", metavar="TOPIC:PARTITION:OFFSET", help="For one partition, repeatable."),
        ] = None,
        yes: Annotated[bool, typer.Option("--yes", help="Do it without asking.")] = False,
        dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print what would be done.")] = False,
        data: Annotated[
            Path, typer.Option("--data", help="The data folder of log and state.")
        ] = address.data,
    ) -> None:
        """Start the application over: empty its tables and read its inputs again."""
        _reset(
            app,
            LogAddress(data, address.broker, address.security),
            table=table,
            to=to,
            offsets=_offsets(offset or ()),
            yes=yes,
            dry_run=dry_run,
        )


def _reset(
    app: App,
    address: LogAddress,
    *,
    table: str | None,
    to: str,
    offsets: Mapping[TopicPartition, Offset],
    yes: bool,
    dry_run: bool,
) -> None:
    from streamcore.processing.runtime.resetting import ApplicationReset

    if address.broker is None and not (address.data / "log").is_dir():
        raise UsageError(
            with_facts(
                "no log in this folder: name another with --data or STREAMCORE_DATA", data=address.data
            )
        )
    with ApplicationReset(app, address.data, broker=address.broker, security=address.security) as reset:
        plan = reset.plan(table=table, to=to, offsets=offsets)
        for line in plan_lines(plan, reset.state_folders(plan)):
            print_line(line)
        if dry_run:
            print_note("nothing was changed: --dry-run")
            return
        if not yes:
            if not sys.stdin.isatty():
                raise UsageError(
                    with_facts("standard input is no terminal: give --yes to reset", app=app.app_id)
                )
            typer.confirm("Do it?", abort=True)
        reset.carry_out(plan)
    print_note(f"{app.app_id} was reset; the next worker starts over")


def plan_lines(plan: ResetPlan, folders: Sequence[Path]) -> list[str]:
    """Return the plan of a reset as lines for people."""
    lines = [f"reset of {plan.app_id}: {', '.join(plan.parts) or 'nothing'}"]
    if plan.tables:
        lines.append(f"  empties  {', '.join(plan.tables)}")
    if plan.deleted_topics:
        lines.append(f"  deletes  {', '.join(plan.deleted_topics)}")
    lines += [f"  deletes  {folder}" for folder in folders]
    lines += [f"  reads    {partition} from {offset}" for partition, offset in plan.start_offsets.items()]
    if plan.read_from_end:
        lines.append(f"  reads what it writes itself from the end: {', '.join(plan.read_from_end)}")
    if plan.written_again:
        lines.append(f"  these topics get their records again: {', '.join(plan.written_again)}")
    return lines


def _offsets(given: Sequence[str]) -> dict[TopicPartition, Offset]:
    found = {}
    for text in given:
        topic, partition, offset = ["", "", "", *text.rsplit(":", 2)][-3:]
        if not topic or not partition.isdigit() or not offset.isdigit():
            raise UsageError(with_facts("write --offset as TOPIC:PARTITION:OFFSET", given=text))
        found[TopicPartition(topic, int(partition))] = int(offset)
    return found
