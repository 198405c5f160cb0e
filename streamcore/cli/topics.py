"""``streamcore topics``: list, create, describe, alter and delete topics."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from streamcore.cli.options import (
    json_option,
    log_options,
    open_log,
    settings_in,
)
from streamcore.cli.output import print_note, print_rows
from streamcore.errors import UsageError, with_facts

if TYPE_CHECKING:
    from streamcore.log.client.port import TopicDescription


@click.group("topics")
def topics() -> None:
    """Topics: list, create, describe, alter, delete."""


name_argument = click.argument("name")
config_option = click.option(
    "--config", "-c", multiple=True, metavar="NAME=VALUE", help="A setting by Kafka's name, repeatable."
)


def register(group: click.Group) -> None:
    """Add the group."""
    group.add_command(topics)


@topics.command("list")
@click.option("--internal", is_flag=True, help="The log's own topics too.")
@log_options
@json_option
def list_topics(
    internal: bool, data: Path, broker: str | None, command_config: Path | None, as_json: bool
) -> None:
    """List topics with their partitions, records and settings."""
    from streamcore.model import TopicPartition

    with open_log(data, broker, command_config) as log:
        rows: list[dict[str, object]] = []
        for name, topic in sorted(log.topics().items()):
            if name.startswith("__") and not internal:
                continue
            marks = log.offsets([TopicPartition(name, number) for number in range(topic.partition_count)])
            rows.append(
                {
                    "topic": name,
                    "partitions": topic.partition_count,
                    "offsets": sum(mark.high_watermark - mark.log_start for mark in marks.values()),
                    "config": dict(topic.config),
                }
            )
        print_rows(rows, as_json, empty="no topics")


@topics.command("create")
@name_argument
@click.option("--partitions", "-p", type=click.IntRange(min=1), default=1)
@config_option
@log_options
@json_option
def create_topic(
    name: str,
    partitions: int,
    config: tuple[str, ...],
    data: Path,
    broker: str | None,
    command_config: Path | None,
    as_json: bool,
) -> None:
    """Create a topic. It keeps its records for ever, unless --config retention.ms=... is given."""
    with open_log(data, broker, command_config, create=True) as log:
        topic = log.create_topic(name, partitions=partitions, config=settings_in(config, "--config"))
        if as_json:
            _print_topic(name, topic)
        else:
            print_note(f"created {name} with {topic.partition_count} partition{'s'[: partitions != 1]}")


@topics.command("describe")
@name_argument
@log_options
@json_option
def describe_topic(
    name: str, data: Path, broker: str | None, command_config: Path | None, as_json: bool
) -> None:
    """Show a topic's settings and the offsets of each partition."""
    from streamcore.errors import UnknownTopicError
    from streamcore.model import TopicPartition

    with open_log(data, broker, command_config) as log:
        topic = log.topics().get(name)
        if topic is None:
            raise UnknownTopicError(
                with_facts("there is no such topic: see `streamcore topics list`", topic=name)
            )
        marks = log.offsets([TopicPartition(name, number) for number in range(topic.partition_count)])
        if not as_json:
            print_note(f"{name}  id {topic.topic_id}")
            for setting, value in sorted(topic.config.items()):
                print_note(f"  {setting}={value}")
        print_rows(
            (
                {
                    **(
                        {"topic": name, "topic_id": str(topic.topic_id), "config": dict(topic.config)}
                        if as_json
                        else {}
                    ),
                    "partition": topic_partition.partition,
                    "log_start": mark.log_start,
                    "last_stable": mark.last_stable,
                    "high_watermark": mark.high_watermark,
                    "log_end": mark.log_end,
                }
                for topic_partition, mark in sorted(marks.items())
            ),
            as_json,
        )


@topics.command("alter")
@name_argument
@click.option("--partitions", "-p", type=click.IntRange(min=1), help="The new number.")
@config_option
@click.option("--reset", multiple=True, help="Back to the default, repeatable.")
@log_options
@json_option
def alter_topic(
    name: str,
    partitions: int | None,
    config: tuple[str, ...],
    reset: tuple[str, ...],
    data: Path,
    broker: str | None,
    command_config: Path | None,
    as_json: bool,
) -> None:
    """Add partitions or change settings."""
    changes: dict[str, str | None] = dict(settings_in(config, "--config"))
    both = [name for name in reset if name in changes]
    if both:
        raise UsageError(
            with_facts(
                "a setting gets a value or goes back to its default, leave --config or --reset out",
                settings=",".join(both),
            )
        )
    changes.update(dict.fromkeys(reset))
    if partitions is None and not changes:
        raise UsageError("nothing to change: give --partitions, --config or --reset")
    with open_log(data, broker, command_config) as log:
        topic = log.alter_topic(name, partitions=partitions, config=changes or None)
        if as_json:
            _print_topic(name, topic)
        else:
            print_note(f"changed {name}")


@topics.command("delete")
@name_argument
@log_options
@json_option
def delete_topic(
    name: str, data: Path, broker: str | None, command_config: Path | None, as_json: bool
) -> None:
    """Delete a topic with all its records."""
    with open_log(data, broker, command_config) as log:
        log.delete_topic(name)
        if as_json:
            print_rows([{"topic": name, "deleted": True}], True)
        else:
            print_note(f"deleted {name}")


def _print_topic(name: str, topic: TopicDescription) -> None:
    print_rows([{"topic": name, "partitions": topic.partition_count, "config": dict(topic.config)}], True)
