"""``streamcore consume``: prints the records of a topic, up to its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from streamcore.cli.options import (
    DEFAULT_DATA,
    BrokerOption,
    CommandConfigOption,
    DataOption,
    JsonOption,
    open_log,
)
from streamcore.cli.output import bytes_json, bytes_text, print_json, print_line
from streamcore.durations import time_ms, time_text
from streamcore.model import Isolation, Offset, TopicPartition

if TYPE_CHECKING:
    from streamcore.log.client.consumer.consumer import Consumer
    from streamcore.log.client.consumer.fetch_state import BytesRecord, Start
    from streamcore.log.connect import ConnectedLog


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("consume")(consume)


def consume(
    topic: Annotated[str, typer.Argument(help="What to read.")],
    start: Annotated[
        str, typer.Option("--from", help="earliest, latest, an offset, or a time such as 2013-01-01T05:00Z.")
    ] = "earliest",
    records_max: Annotated[
        int | None, typer.Option("--max", min=1, help="Stop after so many records.")
    ] = None,
    partition: Annotated[int | None, typer.Option("--partition", min=0, help="Only this one.")] = None,
    group: Annotated[
        str | None, typer.Option("--group", help="Go on where this group stands, and commit what is printed.")
    ] = None,
    uncommitted: Annotated[
        bool, typer.Option("--uncommitted", help="Records of open and aborted transactions too.")
    ] = False,
    data: DataOption = DEFAULT_DATA,
    broker: BrokerOption = None,
    command_config: CommandConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print the records that are in a topic, then stop."""
    isolation = Isolation.READ_UNCOMMITTED if uncommitted else Isolation.READ_COMMITTED
    with (
        open_log(data, broker, command_config) as log,
        _consumer(log, topic, partition, group, _start(start), isolation) as consumer,
    ):
        ends: dict[TopicPartition, Offset] = {}
        left = records_max
        while left is None or left > 0:
            if _has_reached(consumer, log, isolation, ends):
                break
            records = consumer.poll("200ms", records_max=10_000 if left is None else min(left, 10_000))
            for record in records:
                if as_json:
                    print_json(record_row(record))
                else:
                    print_line(record_line(record))
            if group is not None and records:
                consumer.commit()
            if left is not None:
                left -= len(records)


def record_row(record: BytesRecord) -> dict[str, object]:
    """A record for programs."""
    return {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp_ms": record.timestamp_ms,
        "key": bytes_json(record.key),
        "value": bytes_json(record.value),
        "headers": [[name, bytes_json(value)] for name, value in record.headers],
    }


def record_line(record: BytesRecord) -> str:
    """A record for people: where, when, key, value, headers."""
    place = f"{record.topic}-{record.partition}@{record.offset}"
    parts = [f"{time_text(record.timestamp_ms):<24}", place, bytes_text(record.key), bytes_text(record.value)]
    parts.extend(f"{name}={bytes_text(value)}" for name, value in record.headers)
    return "  ".join(parts)


def _has_reached(
    consumer: Consumer, log: ConnectedLog, isolation: Isolation, ends: dict[TopicPartition, Offset]
) -> bool:
    """Whether all is read that was there when a partition was seen first; others may go on writing."""
    places = consumer.assignment()
    fresh = [place for place in places if place not in ends]
    if fresh:
        ends.update((place, marks.visible_end(isolation)) for place, marks in log.offsets(fresh).items())
    return bool(places) and all(consumer.position(place) >= ends[place] for place in places)


def _consumer(
    log: ConnectedLog,
    topic: str,
    partition: int | None,
    group: str | None,
    start: Start,
    isolation: Isolation,
) -> Consumer:
    if partition is not None:
        return log.consumer(assign=[(topic, partition)], group=group, start=start, isolation=isolation)
    return log.consumer(topic, group=group, start=start, isolation=isolation)


def _start(text: str) -> Start:
    if text in ("earliest", "latest"):
        return text
    if text.isdigit():
        return int(text)
    time_ms(text)
    return text
