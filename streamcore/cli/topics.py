"""``streamcore topics``: list, create, describe, alter and delete topics."""

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
    settings_in,
)
from streamcore.cli.output import print_note, print_rows
from streamcore.errors import UsageError, with_facts

topics = typer.Typer(help="Topics: list, create, describe, alter, delete.", no_args_is_help=True)

NameArgument = Annotated[str, typer.Argument(help="The topic.")]
ConfigOption = Annotated[
    list[str] | None,
    typer.Option("--config", "-c", metavar="NAME=VALUE", help="A setting by Kafka's name, repeatable."),
]


def register(app: typer.Typer) -> None:
    """Add the group."""
    app.add_typer(topics, name="topics")


@topics.command("list")
def list_topics(
    internal: Annotated[bool, typer.Option("--internal", help="The log's own topics too.")] = False,
    data: DataOption = DEFAULT_DATA,
    broker: BrokerOption = None,
    command_config: CommandConfigOption = None,
    as_json: JsonOption = False,
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
def create_topic(
    name: NameArgument,
    partitions: Annotated[int, typer.Option("--partitions", "-p", min=1)] = 1,
    config: ConfigOption = None,
    data: DataOption = DEFAULT_DATA,
    broker: BrokerOption = None,
    command_config: CommandConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Create a topic. It keeps its records for ever, unless --config retention.ms=... is given."""
    with open_log(data, broker, command_config, create=True) as log:
        topic = log.create_topic(name, partitions=partitions, config=settings_in(config or (), "--config"))
        if as_json:
            print_rows(
                [{"topic": name, "partitions": topic.partition_count, "config": dict(topic.config)}], True
            )
        else:
            print_note(f"created {name} with {topic.partition_count} partition{'s'[: partitions != 1]}")


@topics.command("describe")
def describe_topic(
    name: NameArgument,
    data: DataOption = DEFAULT_DATA,
    broker: BrokerOption = None,
    command_config: CommandConfigOption = None,
    as_json: JsonOption = False,
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
def alter_topic(
    name: NameArgument,
    partitions: Annotated[
        int | None, typer.Option("--partitions", "-p", min=1, help="The new number.")
    ] = None,
    config: ConfigOption = None,
    reset: Annotated[
        list[str] | None, typer.Option("--reset", help="Back to the default, repeatable.")
    ] = None,
    data: DataOption = DEFAULT_DATA,
    broker: BrokerOption = None,
    command_config: CommandConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add partitions or change settings."""
    changes: dict[str, str | None] = dict(settings_in(config or (), "--config"))
    both = [name for name in reset or () if name in changes]
    if both:
        raise UsageError(
            with_facts(
                "a setting gets a value or goes back to its default, leave --config or --reset out",
                settings=",".join(both),
            )
        )
    changes.update(dict.fromkeys(reset or ()))
    if partitions is None and not changes:
        raise UsageError("nothing to change: give --partitions, --config or --reset")
    with open_log(data, broker, command_config) as log:
        topic = log.alter_topic(name, partitions=partitions, config=changes or None)
        if as_json:
            print_rows(
                [{"topic": name, "partitions": topic.partition_count, "config": dict(topic.config)}], True
            )
        else:
            print_note(f"changed {name}")


@topics.command("delete")
def delete_topic(
    name: NameArgument,
    data: DataOption = DEFAULT_DATA,
    broker: BrokerOption = None,
    command_config: CommandConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete a topic with all its records."""
    with open_log(data, broker, command_config) as log:
        log.delete_topic(name)
        if as_json:
            print_rows([{"topic": name, "deleted": True}], True)
        else:
            print_note(f"deleted {name}")
