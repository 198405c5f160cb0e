"""``streamcore groups``: list and describe consumer groups, move their committed offsets, delete them."""

from __future__ import annotations

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

groups = typer.Typer(help="Consumer groups: list, describe, reset, delete.", no_args_is_help=True)

YesOption = Annotated[
    bool,
    typer.Option("--yes", help="Also if the group is an application's; its tables then do not fit."),
]
GroupArgument = Annotated[str, typer.Argument(help="The group.")]


def register(app: typer.Typer) -> None:
    """Add the group of commands."""
    app.add_typer(groups, name="groups")


@groups.command("list")
def list_groups(
    data: DataOption = DEFAULT_DATA,
    broker: BrokerOption = None,
    command_config: CommandConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """List groups with their state and their lag."""
    with open_log(data, broker, command_config) as log:
        summaries = [log.describe_group(name) for name in log.groups()]
        print_rows(
            (
                {
                    "group": summary.group,
                    "state": summary.state,
                    "members": len(summary.members),
                    "partitions": sum(position.committed is not None for position in summary.positions),
                    "lag": summary.lag,
                }
                for summary in summaries
            ),
            as_json,
            empty="no groups",
        )


@groups.command("describe")
def describe_group(
    group: GroupArgument,
    data: DataOption = DEFAULT_DATA,
    broker: BrokerOption = None,
    command_config: CommandConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a group's committed offset and lag in each partition, and the member that reads it."""
    with open_log(data, broker, command_config) as log:
        summary = log.describe_group(group)
        if not as_json:
            print_note(f"{group}  {summary.state}  members {len(summary.members)}  lag {summary.lag:,}")
        print_rows(
            (
                {
                    **({"group": group, "state": summary.state} if as_json else {}),
                    "topic": position.partition.topic,
                    "partition": position.partition.partition,
                    "committed": position.committed,
                    "log_end": position.log_end if position.log_end >= 0 else None,
                    "lag": position.lag,
                    "member": position.member_id,
                }
                for position in summary.positions
            ),
            as_json,
            empty="no committed offsets",
        )


@groups.command("reset")
def reset_group(
    group: GroupArgument,
    to: Annotated[
        str,
        typer.Option(
            "--to", help="earliest, latest, an offset, +n or -n, a time, or a duration back such as 2h."
        ),
    ],
    topic: Annotated[
        list[str] | None, typer.Option("--topic", help="Only this topic, repeatable; also for a new group.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be.")] = False,
    yes: YesOption = False,
    data: DataOption = DEFAULT_DATA,
    broker: BrokerOption = None,
    command_config: CommandConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Move the committed offsets of a group that has no members now."""
    with open_log(data, broker, command_config) as log:
        before = log.committed(group)
        offsets = log.reset_group(group, to, topics=topic, dry_run=dry_run, of_application=yes)
        print_rows(
            (
                {
                    "topic": partition.topic,
                    "partition": partition.partition,
                    "before": before[partition].offset if partition in before else None,
                    "after": committed.offset,
                }
                for partition, committed in sorted(offsets.items())
            ),
            as_json,
            empty="nothing to move",
        )
        if dry_run and not as_json:
            print_note("nothing was changed: --dry-run")


@groups.command("delete")
def delete_group(
    group: GroupArgument,
    yes: YesOption = False,
    data: DataOption = DEFAULT_DATA,
    broker: BrokerOption = None,
    command_config: CommandConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete a group with its committed offsets."""
    with open_log(data, broker, command_config) as log:
        log.delete_group(group, of_application=yes)
        if as_json:
            print_rows([{"group": group, "deleted": True}], True)
        else:
            print_note(f"deleted {group}")
