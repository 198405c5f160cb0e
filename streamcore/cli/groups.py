"""``streamcore groups``: list and describe consumer groups, move their committed offsets, delete them."""

from __future__ import annotations

from pathlib import Path

import click

from streamcore.cli.options import (
    json_option,
    log_options,
    open_log,
)
from streamcore.cli.output import print_note, print_rows


@click.group("groups")
def groups() -> None:
    """Consumer groups: list, describe, reset, delete."""


yes_option = click.option(
    "--yes", is_flag=True, help="Also if the group is an application's; its tables then do not fit."
)
group_argument = click.argument("group")


def register(group: click.Group) -> None:
    """Add the group of commands."""
    group.add_command(groups)


@groups.command("list")
@log_options
@json_option
def list_groups(data: Path, broker: str | None, command_config: Path | None, as_json: bool) -> None:
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
@group_argument
@log_options
@json_option
def describe_group(
    group: str, data: Path, broker: str | None, command_config: Path | None, as_json: bool
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
@group_argument
@click.option("--to", help="earliest, latest, an offset, +n or -n, a time, or a duration back such as 2h.")
@click.option("--topic", multiple=True, help="Only this topic, repeatable; also for a new group.")
@click.option("--dry-run", is_flag=True, help="Only show what would be.")
@yes_option
@log_options
@json_option
def reset_group(
    group: str,
    to: str,
    topic: tuple[str, ...],
    dry_run: bool,
    yes: bool,
    data: Path,
    broker: str | None,
    command_config: Path | None,
    as_json: bool,
) -> None:
    """Move the committed offsets of a group that has no members now."""
    with open_log(data, broker, command_config) as log:
        before = log.committed(group)
        offsets = log.reset_group(group, to, topics=topic or None, dry_run=dry_run, of_application=yes)
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
@group_argument
@yes_option
@log_options
@json_option
def delete_group(
    group: str, yes: bool, data: Path, broker: str | None, command_config: Path | None, as_json: bool
) -> None:
    """Delete a group with its committed offsets."""
    with open_log(data, broker, command_config) as log:
        log.delete_group(group, of_application=yes)
        if as_json:
            print_rows([{"group": group, "deleted": True}], True)
        else:
            print_note(f"deleted {group}")
