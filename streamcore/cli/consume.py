"""``streamcore consume``: prints the records of a topic, up to its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from streamcore.cli.options import DEFAULT_DATA, BrokerOption, DataOption, JsonOption, open_log
from streamcore.cli.output import bytes_json, bytes_text, print_json, print_line
from streamcore.durations import time_ms, time_text

if TYPE_CHECKING:
    from streamcore.log.client.consumer import Consumer
    from streamcore.log.client.readings import BytesRecord, Start
    from streamcore.log.connect import ConnectedLog, IsolationName


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
    as_json: JsonOption = False,
) -> None:
    """Print the records that are in a topic, then stop."""
    with (
        open_log(data, broker) as log,
        _consumer(log, topic, partition, group, _start(start), uncommitted) as consumer,
    ):
        left = records_max
        while left is None or left > 0:
            # Nobody else writes to a folder that this process holds, so its end stays where it is.
            if consumer.assignment() and not any(consumer.lag().values()):
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


def _consumer(
    log: ConnectedLog,
    topic: str,
    partition: int | None,
    group: str | None,
    start: Start,
    uncommitted: bool,
) -> Consumer:
    isolation: IsolationName = "read_uncommitted" if uncommitted else "read_committed"
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
